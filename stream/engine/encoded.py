"""Encoded records gathered into an output batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.engine.effects import OutputBatch
from stream.records import Ints

_NULL = (-1, -1)


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """One record to send; for the few that are made one by one (alerts, dead letters, journal)."""

    key: bytes | None
    value: bytes | None
    headers: bytes | None  # packed (stream.headers)
    timestamp_ms: int


def output_batch(topic: str, partition: int, records: Sequence[EncodedRecord]) -> OutputBatch:
    """The records as one batch; partition -1 lets the key decide."""
    data = bytearray()

    def place(part: bytes | None) -> tuple[int, int]:
        if part is None:
            return _NULL
        data.extend(part)
        return len(data) - len(part), len(data)

    places = [(place(record.key), place(record.value), place(record.headers)) for record in records]
    columns: Ints = np.array(places, np.int64).reshape(len(records), 3, 2)
    return OutputBatch(
        topic,
        partition,
        np.frombuffer(bytes(data), np.uint8),
        np.ascontiguousarray(columns[:, 0]),
        np.ascontiguousarray(columns[:, 1]),
        np.ascontiguousarray(columns[:, 2]),
        np.array([record.timestamp_ms for record in records], np.int64),
    )
