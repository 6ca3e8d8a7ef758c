"""Rows of a file as records that lie in memory, in the app's own wire format, as if a topic had held them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from stream.avro import Framing, Schema, header, json_text
from stream.avro.logical_values import integer_from_iso
from stream.records import Bytes, Ints, RecordBatch

SCHEMA_ID = 1  # of the only writer's schema of a topic, in place of a registry's
_PER_MS = {"millis": 1, "micros": 1000, "nanos": 1_000_000}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Records of one partition, one behind the other; a record's offset is its place here."""

    topic: str
    data: Bytes
    keys: Ints  # (n, 2): start and end in data; -1 where null
    values: Ints  # (n, 2)
    times_ms: Ints  # (n,): the records' timestamps
    rows: Ints  # (n,): the row of the file that each came from, counted from 1

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, first: int, end: int) -> RecordBatch:
        """Records first to end - 1."""
        here = slice(first, end)
        keys, values = self.keys[here], self.values[here]
        # Only their own bytes, as a fetch would bring them: whoever copies a batch's buffer copies no more than that.
        start, behind = _first_byte(keys[0], values[0]), int(values[-1, 1])
        return RecordBatch(
            self.topic,
            0,
            self.data[start:behind],
            np.where(keys < 0, keys, keys - start),
            values - start,
            np.arange(first, end, dtype=np.int64),
            self.times_ms[here],
            np.full((end - first, 2), -1, np.int64),
        )

    def ordered(self, order: Ints) -> "Recorded":
        """The same records in another order."""
        keys, values = self.keys[order], self.values[order]
        starts = [_first_byte(key, value) for key, value in zip(keys, values, strict=True)]
        parts = [self.data[start:end] for start, end in zip(starts, values[:, 1].tolist(), strict=True)]
        shifts = np.cumsum([0, *map(len, parts)], dtype=np.int64)[:-1] - np.array(starts, np.int64)
        return Recorded(
            self.topic,
            np.concatenate([np.zeros(0, np.uint8), *parts]),
            np.where(keys < 0, keys, keys + shifts[:, None]),
            values + shifts[:, None],
            self.times_ms[order],
            self.rows[order],
        )


def _first_byte(key: Ints, value: Ints) -> int:
    """Where a record begins: its key stands before its value."""
    return int(value[0] if key[0] < 0 else key[0])


class Recorder:
    """Gathers records.

    Args:
        topic: which topic they stand for.
        schema: that wrote them.
        framing: of the topic.
    """

    def __init__(self, topic: str, schema: Schema, framing: Framing) -> None:
        self._topic = topic
        self._schema = schema
        self._framing = framing
        self._header = header(framing, schema.fingerprint if framing is Framing.SINGLE_OBJECT else SCHEMA_ID)
        self._data = bytearray()
        self._spans: list[tuple[int, int, int, int]] = []
        self._times_ms: list[int] = []
        self._rows: list[int] = []

    def add(self, row: int, key: bytes | None, avro: bytes, time_ms: int) -> None:
        """Append one record."""
        body = json_text(self._schema, avro) if self._framing is Framing.JSON else avro
        start = len(self._data)
        self._data += key or b""
        middle = len(self._data)
        self._data += self._header
        self._data += body
        is_null = key is None
        self._spans.append((-1 if is_null else start, -1 if is_null else middle, middle, len(self._data)))
        self._times_ms.append(time_ms)
        self._rows.append(row)

    def recorded(self) -> Recorded:
        """All of them."""
        spans = np.array(self._spans, np.int64).reshape(-1, 4)
        return Recorded(
            self._topic,
            np.frombuffer(bytes(self._data), np.uint8),
            np.ascontiguousarray(spans[:, :2]),
            np.ascontiguousarray(spans[:, 2:]),
            np.array(self._times_ms, np.int64),
            np.array(self._rows, np.int64),
        )


def milliseconds(value: Any, logical: str) -> int | None:
    """A time of a row as milliseconds since 1970; None where it is none.

    Args:
        value: a number in the logical type's unit, ISO 8601 text, or a datetime (UTC where it says nothing).
        logical: e.g. "timestamp-millis".
    """
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, date):
        value = value.isoformat()
    unit = _PER_MS.get(logical.rpartition("-")[2], 1)
    if isinstance(value, str):
        if value.strip().lstrip("-").isdecimal():
            return int(value) // unit
        try:
            return integer_from_iso(value.strip(), "timestamp-millis")
        except ValueError:
            return None
    return value // unit if type(value) is int else None


def places_by_time(clock_ms: Ints, label_times_ms: Ints, events: Sequence[int] | Ints) -> Ints:
    """Before which event each label arrives: after the last event that is not later, and after its own.

    Args:
        clock_ms: (n,), ascending: the stream's time at each event.
        label_times_ms: (m,).
        events: (m,): the event that each label belongs to; -1 for one that is not there.
    """
    arrived = np.searchsorted(clock_ms, label_times_ms, "right")
    return np.maximum(arrived, np.asarray(events, np.int64) + 1)
