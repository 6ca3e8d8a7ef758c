"""A broker in memory that performs a worker's instructions at once; stream.testing.broker takes its time."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stream.engine.effects import OutputBatch
from stream.engine.protocol import (
    Abort,
    Commit,
    CommitOutcome,
    CommitReturned,
    CommittedOffset,
    Event,
    Fetch,
    Fetched,
    FetchRows,
    FetchSchema,
    FindTask,
    Follow,
    Instruction,
    Pause,
    Produce,
    PublishSnapshot,
    Release,
    Resume,
    RowsFetched,
    SchemaFetched,
    SchemaRefused,
    Send,
    SnapshotPublished,
    StandbyFound,
    Stop,
    StopTask,
    TaskFound,
    TopicIdentity,
    Unfollow,
)
from stream.engine.snapshot import Checkpoint
from stream.records import RecordBatch, RejectReason, TopicPartition
from stream.testing.partition_log import Stored, record_batch, stored_records

_KEPT_SNAPSHOTS = 2


@dataclass(slots=True)
class MemoryBroker:
    """Topics, committed offsets and snapshots, which outlive any worker.

    Args:
        inputs: the app's input topics, the events' first.
        journal: its journal topic.
        schemas: text by registry id; other ids are refused.
    """

    inputs: Sequence[str]
    journal: str
    schemas: Mapping[int, str]
    topics: dict[TopicPartition, list[Stored]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[TopicPartition, CommittedOffset] = field(default_factory=dict)
    checkpoints: dict[int, list[Checkpoint]] = field(default_factory=lambda: defaultdict(list))
    identities: dict[str, TopicIdentity] = field(default_factory=dict)  # of the inputs
    gone: set[int] = field(default_factory=set)  # segments of feature rows that were deleted

    def append(self, source: TopicPartition, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Add a record as a producer would."""
        self.topics[source].append(Stored(key, value, None, timestamp_ms))

    def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        """The values in a partition."""
        return [record.value for record in self.topics[TopicPartition(topic, partition)]]

    def store(self, outputs: Sequence[OutputBatch]) -> None:
        """Append output records; those without a partition go to 0."""
        for batch in outputs:
            source = TopicPartition(batch.topic, max(batch.partition, 0))
            self.topics[source] += stored_records(batch)

    def find(self, partition: int, without: Mapping[str, str]) -> TaskFound:
        """What is remembered of a task, but for snapshots of these digests."""
        sources = [TopicPartition(topic, partition) for topic in self.inputs]
        journal = self.topics[TopicPartition(self.journal, partition)]
        return TaskFound(
            partition=partition,
            committed={source: self.committed[source] for source in sources if source in self.committed},
            journal=tuple(record.value for record in journal if record.value is not None),
            checkpoints=tuple(each for each in reversed(self.checkpoints[partition]) if each.digest not in without),
            damaged=tuple(without.values()),
            beginnings=dict.fromkeys(sources, 0),
            ends={source: len(self.topics[source]) for source in sources},
            topics=self.identities,
        )

    def rows(self, partition: int, names: Sequence[int]) -> RowsFetched:
        """Segments of feature rows, but for those that are gone."""
        stored = self.topics[TopicPartition("app.features", partition)]
        there = {int(record.key or b""): record.value for record in stored}
        return RowsFetched(partition, {name: None if name in self.gone else there.get(name) for name in names})

    def read(self, source: TopicPartition, offset: int, records: int) -> RecordBatch:
        """Records of a partition from `offset` on."""
        return record_batch(source, list(enumerate(self.topics[source][offset : offset + records], offset)))


@dataclass(slots=True)
class MemoryConnection:
    """One worker's view of the broker: its positions and its open transactions. Dropped with the worker.

    Args:
        broker: what outlives it.
        refusals: outcomes for the next commits, before they succeed again.
        unsendable: keys of records that the broker refuses, each time.
    """

    broker: MemoryBroker
    refusals: list[CommitOutcome] = field(default_factory=list)
    unsendable: Collection[bytes] = ()
    stopped: Stop | None = None
    _positions: dict[TopicPartition, int] = field(default_factory=dict)
    _paused: set[TopicPartition] = field(default_factory=set)
    _transactions: dict[int, list[OutputBatch]] = field(default_factory=lambda: defaultdict(list))
    _was_refused: bool = False  # something that left at once

    def fetch(self, records: int) -> list[Event]:
        """At most `records` new records of each flowing partition."""
        events: list[Event] = []
        for source, position in self._positions.items():
            batch = self.broker.read(source, position, records)
            if source not in self._paused and len(batch):
                self._positions[source] = position + len(batch)
                events.append(Fetched(batch))
        return events

    def perform(self, instruction: Instruction) -> list[Event]:
        """Do what a worker asks; returns the answers."""
        match instruction:
            case FindTask(partition, without):
                return [self.broker.find(partition, without)]
            case Follow(partition):
                return [StandbyFound(self.broker.find(partition, {}))]
            case Unfollow(partition):
                self._positions = {
                    source: at for source, at in self._positions.items() if source.partition != partition
                }
            case Fetch(source, offset):
                self._positions[source] = offset
                self._paused.discard(source)
            case StopTask(partition):
                self._paused |= {source for source in self._positions if source.partition == partition}
            case Pause(source):
                self._paused.add(source)
            case Resume(source):
                self._paused.discard(source)
            case FetchSchema(schema_id):
                return [self._schema(schema_id)]
            case FetchRows(partition, names):
                return [self.broker.rows(partition, names)]
            case Send(outputs):
                self._was_refused |= self._is_refused(outputs)
                self.broker.store([batch for batch in outputs if not self._is_refused([batch])])
            case Produce(transaction, outputs):
                self._transactions[transaction] += outputs
            case Commit():
                return [self._commit(instruction)]
            case Abort(transaction):
                self._transactions.pop(transaction, None)
            case PublishSnapshot(checkpoint):
                kept = self.broker.checkpoints[checkpoint.partition]
                kept[:] = [*kept, checkpoint][-_KEPT_SNAPSHOTS:]
                return [SnapshotPublished(checkpoint.partition, checkpoint.cycle)]
            case Release(partitions):
                self._positions = {
                    source: at for source, at in self._positions.items() if source.partition not in partitions
                }
            case Stop():
                self.stopped = instruction
        return []

    def _is_refused(self, outputs: Sequence[OutputBatch]) -> bool:
        return any(record.key in self.unsendable for batch in outputs for record in stored_records(batch))

    def _schema(self, schema_id: int) -> Event:
        if schema_id in self.broker.schemas:
            return SchemaFetched(schema_id, self.broker.schemas[schema_id])
        return SchemaRefused(schema_id, RejectReason.UNKNOWN_SCHEMA, f"the registry has no schema {schema_id}")

    def _commit(self, commit: Commit) -> CommitReturned:
        outputs = self._transactions.pop(commit.transaction, [])
        if self.refusals:
            return CommitReturned(commit.transaction, self.refusals.pop(0), "refused by the test")
        was_refused, self._was_refused = self._was_refused, False
        if was_refused or self._is_refused(outputs):
            return CommitReturned(commit.transaction, CommitOutcome.UNSENDABLE, "a record is too large")
        self.broker.store(outputs)
        self.broker.committed |= {
            source: CommittedOffset(offset.next_offset, offset.metadata) for source, offset in commit.offsets.items()
        }
        return CommitReturned(commit.transaction, CommitOutcome.COMMITTED)
