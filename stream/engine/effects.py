"""What the engine asks of the outside: records to send, and the effects of a whole cycle."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream.engine.journal import JournalRecord
from stream.records import Bytes, Ints, TopicPartition


@dataclass(frozen=True, slots=True)
class OutputBatch:
    """Encoded records for one topic: one byte buffer, and arrays that say where each record lies."""

    topic: str
    partition: int  # -1: each record goes where Java's partitioner puts its key (murmur2)
    data: Bytes  # (bytes,)
    keys: Ints  # (n, 2): start and end in data; -1, -1 where null
    values: Ints  # (n, 2)
    headers: Ints  # (n, 2): packed (stream.headers); -1, -1 where none
    timestamps_ms: Ints  # (n,)

    def __len__(self) -> int:
        return len(self.timestamps_ms)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What processing one batch gave: predictions may leave before their commit, the rest never does."""

    predictions: tuple[OutputBatch, ...]
    transactional: tuple[OutputBatch, ...]  # alerts, dead letters


@dataclass(frozen=True, slots=True)
class Effects:
    """What a whole cycle of one task asks of the outside, kept until its commit is known."""

    predictions: tuple[OutputBatch, ...]
    transactional: tuple[OutputBatch, ...]  # alerts, dead letters and the journal record
    next_offsets: Mapping[TopicPartition, int]  # of every input partition of the task, moved or not
    journal: JournalRecord
    epoch: int  # the task's ownership count: unchanged while the task is kept, whatever the group's generation does
