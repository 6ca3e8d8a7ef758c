"""Batches for tests."""

from collections.abc import Sequence

import numpy as np

from stream.records import RecordBatch


def batch_of(values: Sequence[bytes | None]) -> RecordBatch:
    """A batch of these values with null keys and no headers; None is a null value."""
    count = len(values)
    lengths = np.array([len(value or b"") for value in values], np.int64)
    ends = np.cumsum(lengths)
    spans = np.stack([ends - lengths, ends], axis=1).reshape(count, 2)
    spans[[value is None for value in values]] = -1
    none = np.full((count, 2), -1, np.int64)
    data = np.frombuffer(b"".join(value or b"" for value in values), np.uint8)
    zeros = np.zeros(count, np.int64)
    return RecordBatch("events", 0, data, none, spans, np.arange(count), zeros, none)
