"""Blocks become records: Avro in Confluent's wire format, events and labels in the order of their times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.avro import Encoded, Encoder, Framing, Schema, column_batch
from stream.cli.demo.blocks import Block
from stream.records import Ints

NO_EVENT = -1


class Record(NamedTuple):
    """One record to send. A tuple, since thousands are made at once while others wait to be sent."""

    is_label: bool
    key: bytes | None
    value: bytes
    event: int  # number of the event that it is, or that it labels; NO_EVENT for a poisoned record


@dataclass(frozen=True, slots=True)
class Waiting:
    """Labels that are not known yet, in the order in which they will be."""

    times_ms: Ints
    records: tuple[Record, ...]


class RecordWriter:
    """Writes the records of a demo's stream.

    Args:
        events: the event schema, and its id in the registry.
        labels: the same of labels; None where events carry theirs.
    """

    def __init__(self, events: tuple[Schema, int], labels: tuple[Schema, int] | None) -> None:
        self._events = Encoder(events[0], Framing.CONFLUENT, events[1])
        self._labels = Encoder(labels[0], Framing.CONFLUENT, labels[1]) if labels else None

    def write(self, blocks: Iterable[Block]) -> Iterator[tuple[list[Record], Block]]:
        """The records of each block, with the labels that became known meanwhile among them, and the block."""
        waiting = Waiting(np.zeros(0, np.int64), ())
        first = 0
        for block in blocks:
            events = self._events_of(block, first)
            waiting = self._with_labels_of(block, events, waiting)
            known = int(np.searchsorted(waiting.times_ms, block.times_ms[-1], "right"))
            places = np.searchsorted(block.times_ms, waiting.times_ms[:known], "right")
            yield _merged(events, waiting.records[:known], places), block
            waiting = Waiting(waiting.times_ms[known:], waiting.records[known:])
            first += len(block)

    def _events_of(self, block: Block, first: int) -> list[Record]:
        values = _pieces(
            self._events.encode(column_batch(self._events.columns, block.columns, block.present, len(block)))
        )
        keys: list[bytes | None] = [None] * len(block)
        if block.keys is not None:
            data = block.keys.data.tobytes()
            keys = [data[start:end] for start, end in block.keys.bounds.tolist()]
        return [
            Record(False, key, value, number)
            for number, (key, value) in enumerate(zip(keys, values, strict=True), first)
        ]

    def _with_labels_of(self, block: Block, events: list[Record], waiting: Waiting) -> Waiting:
        if self._labels is None or block.labels is None:
            return waiting
        batch = column_batch(self._labels.columns, block.labels.columns, {}, len(block))
        values = _pieces(self._labels.encode(batch))
        new = [Record(True, event.key, value, event.event) for event, value in zip(events, values, strict=True)]
        times_ms = np.concatenate([waiting.times_ms, block.labels.times_ms])
        records = [*waiting.records, *new]
        order = np.argsort(times_ms, kind="stable")
        return Waiting(times_ms[order], tuple(records[place] for place in order.tolist()))


def _pieces(encoded: Encoded) -> list[bytes]:
    assert not encoded.rejections, encoded.rejections[0]  # the demo's own data fits its own schemas
    data = encoded.data.tobytes()
    return [data[start:end] for start, end in encoded.values.tolist()]


def _merged(events: list[Record], labels: tuple[Record, ...], places: Ints) -> list[Record]:
    """Each label behind so many events as its place says."""
    merged, done = [], 0
    for label, place in zip(labels, places.tolist(), strict=True):
        merged += events[done:place]
        merged.append(label)
        done = place
    return merged + events[done:]
