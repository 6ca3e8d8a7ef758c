"""What the engine asks of the outside: records to send, and the effects of a whole cycle."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream.engine.journal import JournalRecord
from stream.records import Bools, Bytes, FeatureBatch, Floats, Ints, RecordBatch, TopicPartition


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

    def chosen(self, rows: Bools) -> "OutputBatch":
        """The records that are marked, on the same buffer."""
        return OutputBatch(
            self.topic,
            self.partition,
            self.data,
            self.keys[rows],
            self.values[rows],
            self.headers[rows],
            self.timestamps_ms[rows],
        )


@dataclass(frozen=True, slots=True)
class Outputs:
    """What processing one batch gave. Fewer records taken than given: the engine lacks a writer's schema or
    rows, or wants the rest by itself."""

    predictions: tuple[OutputBatch, ...]  # may leave before their commit (delivery="immediate")
    transactional: tuple[OutputBatch, ...]  # alerts and dead letters: always in the transaction
    taken: int  # records of the batch that were handled, from its first
    needs_schema: int | None = None  # the writer's schema id that the record behind them wants
    sent_on: tuple[OutputBatch, ...] = ()  # events on their way to the next stage: in the transaction, always
    measured: RecordBatch | None = None  # the events that were scored, where those are not the records taken
    rows: tuple[OutputBatch, ...] = ()  # features that wait for labels outside of memory: always in the transaction
    needs_rows: tuple[int, ...] = ()  # names of segments of such rows that the labels behind them want (rule 36)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a batch of events gave, for whoever evaluates: one row per accepted event."""

    offsets: Ints  # (n,): in the event topic
    times_ms: Ints  # (n,)
    features: FeatureBatch
    scores: Floats  # (n, models * scores per model)
    targets: Floats  # (n,): NaN where no label is known yet


@dataclass(frozen=True, slots=True)
class Effects:
    """What a whole cycle of one task asks of the outside, kept until its commit is known (rule 9)."""

    partition: int
    outputs: tuple[OutputBatch, ...]  # of the transaction: alerts, dead letters, predictions unless sent already
    journal_output: OutputBatch  # the journal record, encoded; produced last
    next_offsets: Mapping[TopicPartition, int]  # of every input partition of the task, moved or not (rule 4)
    journal: JournalRecord
    epoch: int  # the task's ownership count: unchanged while the task is kept, whatever the group's generation does
