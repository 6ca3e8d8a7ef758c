"""A partition of a simulated broker: records, transaction markers, and what a `read_committed` reader sees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.engine.effects import OutputBatch
from stream.engine.protocol import CommittedOffset
from stream.kernels.hashing import murmur2
from stream.records import RecordBatch, TopicPartition


@dataclass(frozen=True, slots=True)
class Stored:
    """One record of a topic."""

    key: bytes | None
    value: bytes | None
    headers: bytes | None
    timestamp_ms: int


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction: what it wrote, and how it ended once that is decided."""

    transactional_id: str
    begun_ms: int
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[TopicPartition, CommittedOffset] = field(default_factory=dict)  # visible when it is committed
    is_committed: bool | None = None  # None: open


class PartitionLog:
    """Entries by offset. A record of a transaction is visible once the transaction's marker stands behind it."""

    def __init__(self) -> None:
        self._entries: list[tuple[Stored | None, Transaction | None]] = []  # without a record: a marker
        self._open: dict[Transaction, int] = {}  # transactions without their marker, and their first offset here

    def append(self, record: Stored, transaction: Transaction | None = None) -> None:
        """Add a record at the end."""
        if transaction is not None:
            self._open.setdefault(transaction, len(self._entries))
        self._entries.append((record, transaction))

    def mark(self, transaction: Transaction) -> None:
        """Add the marker of a transaction that was committed or aborted: it takes an offset of its own."""
        self._open.pop(transaction, None)
        self._entries.append((None, transaction))

    @property
    def end(self) -> int:
        """Last stable offset: behind it somebody's transaction is still open."""
        return min(self._open.values(), default=len(self._entries))

    @property
    def has_open_transaction(self) -> bool:
        """Whether a transaction that is not over, or has no marker here yet, hides what lies behind it."""
        return bool(self._open)

    def committed(self, offset: int = 0) -> Iterator[tuple[int, Stored]]:
        """Offsets and records from `offset` on, as a `read_committed` reader gets them."""
        for place in range(offset, self.end):
            record, transaction = self._entries[place]
            if record is not None and (transaction is None or transaction.is_committed):
                yield place, record


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's Java client, and whoever places records as it does, puts a key."""
    # Of one kind for the compiler: what `np.frombuffer` makes of bytes is read-only.
    return int(murmur2(np.frombuffer(bytearray(key), np.uint8), 0, len(key)) & 0x7FFFFFFF) % partitions


def stored_records(batch: OutputBatch) -> list[Stored]:
    """The records of an output batch."""

    def part(span: Sequence[int]) -> bytes | None:
        return None if span[0] < 0 else batch.data[span[0] : span[1]].tobytes()

    return [
        Stored(part(key), part(value), part(headers), int(timestamp))
        for key, value, headers, timestamp in zip(
            batch.keys, batch.values, batch.headers, batch.timestamps_ms, strict=True
        )
    ]


def record_batch(source: TopicPartition, records: Sequence[tuple[int, Stored]]) -> RecordBatch:
    """Records with their offsets as they are fetched."""
    data = bytearray()
    spans = np.full((3, len(records), 2), -1, np.int64)
    for row, (_, record) in enumerate(records):
        for kind, part in enumerate((record.key, record.value, record.headers)):
            if part is not None:
                spans[kind, row] = (len(data), len(data) + len(part))
                data.extend(part)
    return RecordBatch(
        source.topic,
        source.partition,
        np.frombuffer(bytes(data), np.uint8),
        spans[0],
        spans[1],
        np.array([offset for offset, _ in records], np.int64),
        np.array([record.timestamp_ms for _, record in records], np.int64),
        spans[2],
    )
