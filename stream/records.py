"""The values that every room speaks of: records as fetched, columns as decoded, features, and what was rejected.

All are frozen; their arrays are not copied and must not be written to by whoever receives them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Array = NDArray[np.generic]  # of any dtype: state that is saved and loaded


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, as fetched: one byte buffer, and arrays that say where each record lies.

    Offsets ascend and may have holes (transaction markers, aborted records, compaction): count records, never
    subtract offsets.
    """

    topic: str
    partition: int
    data: Bytes  # (bytes,): keys, values and headers, as they came
    keys: Ints  # (n, 2): start and end in data; -1, -1 where null
    values: Ints  # (n, 2): the same for values
    offsets: Ints  # (n,)
    timestamps_ms: Ints  # (n,): as the record carries it (CreateTime or LogAppendTime)
    headers: Ints  # (n, 2): start and end in data of the packed headers (see stream.headers); -1, -1 where none

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, first: int, end: int) -> "RecordBatch":
        """Records first to end - 1, on the same buffer."""
        return self.chosen(slice(first, end))

    def chosen(self, rows: slice | Ints) -> "RecordBatch":
        """These records, on the same buffer."""
        return RecordBatch(
            self.topic,
            self.partition,
            self.data,
            self.keys[rows],
            self.values[rows],
            self.offsets[rows],
            self.timestamps_ms[rows],
            self.headers[rows],
        )


def joined(batches: Sequence[RecordBatch]) -> RecordBatch:
    """Batches of one partition, one behind the other, on one buffer that holds no more than lies between their records.

    Each batch's records lie in its buffer in their order, as they were fetched.
    """
    data, spans, size = [], [], 0
    for batch in batches:
        own = np.concatenate([batch.keys, batch.values, batch.headers], axis=1)
        is_there = own >= 0
        first, end = (int(own[is_there].min()), int(own.max())) if is_there.any() else (0, 0)
        data.append(batch.data[first:end])
        spans.append(np.where(is_there, own - first + size, -1))
        size += end - first
    every = np.concatenate(spans)
    return RecordBatch(
        batches[-1].topic,
        batches[-1].partition,
        np.concatenate(data),
        np.ascontiguousarray(every[:, 0:2]),
        np.ascontiguousarray(every[:, 2:4]),
        np.concatenate([batch.offsets for batch in batches]),
        np.concatenate([batch.timestamps_ms for batch in batches]),
        np.ascontiguousarray(every[:, 4:6]),
    )


class Kind(Enum):
    """How a column's cells are to be read."""

    BOOLEAN = "boolean"  # one cell: 0 or 1
    LONG = "long"  # one cell: int64 (Avro int and long, date, time and timestamps in their own unit)
    DOUBLE = "double"  # one cell: the bits of a float64 (Avro float, double, decimal)
    ENUM = "enum"  # one cell: index among the reader's symbols
    BYTES = "bytes"  # two cells: start and end in data (bytes, fixed)
    STRING = "string"  # two cells: start and end in data of the UTF-8 text (string, uuid)
    LIST = "list"  # two cells: first and past-the-last row in ColumnBatch.items of this column (arrays, map values)


@dataclass(frozen=True, slots=True)
class Column:
    """One leaf of the reader's schema. Nested records have dotted names (`merchant.address.city`)."""

    name: str
    kind: Kind
    slot: int  # its first cell in a row of ColumnBatch.cells
    index: int  # its place in ColumnBatch.present
    nullable: bool
    logical: str | None = None  # Avro's logicalType, e.g. "timestamp-millis"
    symbols: tuple[str, ...] = ()  # of an enum
    item: Kind | None = None  # of a list: the kind of its items


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Decoded events, row after row. A rejected record has no row: `rows` says which record each row came from."""

    columns: tuple[Column, ...]
    rows: Ints  # (n,): index in the RecordBatch
    cells: Ints  # (n, cells a row): float64 columns lie here as bits (`cells.view(np.float64)`)
    present: Bools  # (n, columns): False where null; the cells are 0 there
    data: Bytes  # what starts and ends of BYTES and STRING cells refer to: the batch's buffer, perhaps with more behind
    items: Mapping[str, Ints]  # by list column: (items, 1 or 2) cells, as for a column of kind Column.item

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, end: int) -> "ColumnBatch":
        """Rows first to end - 1, on the same buffer and items."""
        at = slice(first, end)
        return ColumnBatch(self.columns, self.rows[at], self.cells[at], self.present[at], self.data, self.items)


class RejectReason(Enum):
    """Why a record was not accepted; the value is the error class in a dead letter's headers and in metrics' labels."""

    FRAMING = "framing"  # not the declared wire format: too short, wrong magic byte
    UNKNOWN_SCHEMA = "unknown_schema"  # the registry knows no schema of this id
    UNRESOLVABLE_SCHEMA = "unresolvable_schema"  # the writer's schema does not resolve to the reader's
    TRUNCATED = "truncated"  # the record ends inside a field
    TRAILING_BYTES = "trailing_bytes"  # bytes are left behind the last field
    INVALID_VALUE = "invalid_value"  # not what the schema allows (enum, union branch, boolean, UTF-8, a length)
    INVALID_JSON = "invalid_json"
    NULL_VALUE = "null_value"  # a tombstone
    NULL_KEY = "null_key"  # the key field is null and the app rejects such events
    TIME_AHEAD = "time_ahead"  # the event's time is further ahead of the broker's timestamp than the limit
    TOO_LARGE = "too_large"  # event id and record key, which its prediction repeats, are longer than the limit


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that was not accepted, and what would have been right."""

    row: int  # index in the RecordBatch
    reason: RejectReason
    field: str  # dotted name; "" where no field is to blame
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class SparseGroup:
    """A feature whose values live among the sparse inputs: indices base to base + size - 1."""

    name: str
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class FeatureLayout:
    """What the columns of a FeatureBatch are."""

    dense: tuple[str, ...]  # names of the dense features, in order
    sparse: tuple[SparseGroup, ...]  # hashed, one-hot and text features

    @property
    def sparse_size(self) -> int:
        """Number of distinct sparse indices."""
        return sum(group.size for group in self.sparse)


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """Raw outputs of the features for n events: the one input of every model, and what is kept for labels.

    NaN means missing. Sparse entries of row i are at indptr[i] to indptr[i + 1], each index at most once in a row and
    ascending.
    """

    dense: Floats  # (n, d)
    indptr: Ints  # (n + 1,)
    indices: Ints  # (entries,)
    values: Floats  # (entries,)

    def __len__(self) -> int:
        return len(self.dense)
