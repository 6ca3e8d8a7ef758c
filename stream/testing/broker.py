"""A simulated broker: topics, transactions, offsets and snapshots, with the isolation and fencing of a real one."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from stream.engine import journal
from stream.engine.effects import OutputBatch
from stream.engine.protocol import (
    CommittedOffset,
    OffsetAndMetadata,
    RowsFetched,
    SchemaFetched,
    SchemaRefused,
    TaskFound,
    TopicIdentity,
)
from stream.engine.restore import committed_cycles
from stream.engine.snapshot import Checkpoint
from stream.records import RecordBatch, RejectReason, TopicPartition
from stream.testing.partition_log import PartitionLog, Stored, Transaction, record_batch, stored_records

_KEPT_SNAPSHOTS = 2


class TransactionOver(Exception):
    """The transaction was aborted by the broker: it was open for too long, or its id was taken over."""


class SimulatedBroker:
    """Outlives all workers. Everything is synchronous; whoever uses it decides what takes time.

    Args:
        inputs: the app's input topics, the events' first.
        journal: its journal topic.
        partitions: of each of them.
        schemas: the registry's texts by id; other ids are refused.
        transaction_timeout_ms: after which an open transaction is aborted.
        features: the app's topic of feature rows that wait for labels.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        journal: str,
        partitions: int,
        schemas: Mapping[int, str],
        transaction_timeout_ms: int = 10_000,
        features: str = "",
    ) -> None:
        self.inputs = tuple(inputs)
        self.features = features
        self.journal = journal
        self.partitions = partitions
        self.logs: dict[TopicPartition, PartitionLog] = defaultdict(PartitionLog)
        self.checkpoints: dict[int, list[Checkpoint]] = defaultdict(list)  # in two slots, in no order
        self.damaged: dict[int, set[str]] = defaultdict(set)  # digests of snapshots that cannot be read
        self.offsets: dict[TopicPartition, CommittedOffset] = {}  # of the group
        self._journal_begins: dict[int, int] = defaultdict(int)
        self._schemas = schemas
        self._transaction_timeout_ms = transaction_timeout_ms
        self._owners: dict[str, Hashable] = {}
        self._open: dict[str, Transaction] = {}
        self._unmarked: list[tuple[Transaction, TopicPartition | None]] = []  # None: the group's offsets

    # --- topics --------------------------------------------------------------------------------------------------

    def append(self, source: TopicPartition, record: Stored) -> None:
        """Add a record as a producer without transactions does."""
        self.logs[source].append(record)

    def store(self, outputs: Iterable[OutputBatch], transaction: Transaction | None = None) -> None:
        """Add output records; those without a partition go to 0."""
        for batch in outputs:
            source = TopicPartition(batch.topic, max(batch.partition, 0))
            if transaction is not None:
                self._check_open(transaction)
                transaction.partitions.add(source)
            for record in stored_records(batch):
                self.logs[source].append(record, transaction)

    def read(self, source: TopicPartition, offset: int, records: int) -> RecordBatch:
        """At most `records` committed records from `offset` on."""
        found: list[tuple[int, Stored]] = []
        for item in self.logs[source].committed(offset):
            if len(found) == records:
                break
            found.append(item)
        return record_batch(source, found)

    def values(self, topic: str) -> list[bytes | None]:
        """Committed values of a topic, partition by partition."""
        return [
            record.value
            for source in sorted(self.logs)
            if source.topic == topic
            for _, record in self.logs[source].committed()
        ]

    # --- transactions --------------------------------------------------------------------------------------------

    def init_transactions(self, transactional_id: str, owner: Hashable) -> None:
        """Take an id over: what its last owner left open is aborted and marked, and the last owner is fenced."""
        if left := self._open.get(transactional_id):
            self.end_transaction(left, is_committed=False)
        for place in range(len(self._unmarked) - 1, -1, -1):
            if self._unmarked[place][0].transactional_id == transactional_id:
                self.mark_one(place)
        self._owners[transactional_id] = owner

    def is_fenced(self, transactional_id: str, owner: Hashable) -> bool:
        """Whether another client has taken the id over."""
        return self._owners.get(transactional_id) is not owner

    def has_ended(self, transactional_id: str) -> bool:
        """Whether the last transaction of an id has all its markers: before that none can begin."""
        return all(transaction.transactional_id != transactional_id for transaction, _ in self._unmarked)

    def begin_transaction(self, transactional_id: str, now_ms: int) -> Transaction:
        """Open a transaction; one is open for each id at most."""
        assert transactional_id not in self._open
        self._open[transactional_id] = Transaction(transactional_id, now_ms)
        return self._open[transactional_id]

    def send_offsets(self, transaction: Transaction, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Add offsets to a transaction: they become the group's if it is committed."""
        self._check_open(transaction)
        for source, offset in offsets.items():
            transaction.offsets[source] = CommittedOffset(offset.next_offset, offset.metadata)

    def end_transaction(self, transaction: Transaction, *, is_committed: bool) -> None:
        """Decide a transaction. Its markers come one by one (`mark_one`), in any order."""
        self._check_open(transaction)
        del self._open[transaction.transactional_id]
        transaction.is_committed = is_committed
        self._unmarked += [(transaction, source) for source in sorted(transaction.partitions)]
        if transaction.offsets:
            self._unmarked.append((transaction, None))

    def mark_one(self, choice: int) -> bool:
        """Write one of the markers that are still to come; False if there is none."""
        if not self._unmarked:
            return False
        transaction, source = self._unmarked.pop(choice % len(self._unmarked))
        if source is not None:
            self.logs[source].mark(transaction)
        elif transaction.is_committed:
            self.offsets |= transaction.offsets
        return True

    def expire_transactions(self, now_ms: int) -> None:
        """Abort what has been open for too long."""
        for transaction in list(self._open.values()):
            if now_ms - transaction.begun_ms > self._transaction_timeout_ms:
                self.end_transaction(transaction, is_committed=False)

    def _check_open(self, transaction: Transaction) -> None:
        if transaction.is_committed is not None:
            raise TransactionOver

    # --- what is remembered of a task ----------------------------------------------------------------------------

    def committed(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, CommittedOffset] | None:
        """Stable offsets of the group; None while a transaction that is not over holds others (rule 17)."""
        sources = tuple(sources)
        unfinished = [*self._open.values(), *(each for each, source in self._unmarked if source is None)]
        if any(source in transaction.offsets for transaction in unfinished for source in sources):
            return None
        return {source: self.offsets[source] for source in sources if source in self.offsets}

    def find(self, partition: int, without: Mapping[str, str]) -> TaskFound | None:
        """What is remembered of a task, but for snapshots of these digests; None while it is not stable, or not both of
        offsets and journal to be read.
        """
        sources = [TopicPartition(topic, partition) for topic in self.inputs]
        committed = self.committed(sources)
        if committed is None:
            return None
        log = self.logs[TopicPartition(self.journal, partition)]
        begin = self._journal_begins[partition]
        records = [record.value for _, record in log.committed(begin) if record.value is not None]
        if not (cycles := committed_cycles(committed)):
            if log.has_open_transaction:
                return None
        elif not records or _cycle_of(records[-1]) not in cycles:
            return None
        kept, damaged = self.checkpoints[partition], self.damaged[partition]
        by_cycle = sorted(kept, key=lambda each: each.cycle)
        return TaskFound(
            partition=partition,
            committed=committed,
            journal=tuple(records),
            checkpoints=tuple(each for each in reversed(by_cycle) if each.digest not in damaged | without.keys()),
            damaged=(
                *without.values(),
                *(f"cycle {each.cycle} is damaged" for each in kept if each.digest in damaged),
            ),
            beginnings=dict.fromkeys(sources, 0),
            ends={source: self.logs[source].end for source in sources},
            topics={topic: TopicIdentity(f"id of {topic}", self.partitions) for topic in self.inputs},
        )

    def rows(self, partition: int, names: Iterable[int]) -> RowsFetched | None:
        """Segments of feature rows (rule 36); None while one of them is not to be read yet."""
        log = self.logs[TopicPartition(self.features, partition)]
        found = {int(record.key or b""): record.value for _, record in log.committed()}
        return RowsFetched(partition, {name: found[name] for name in names}) if found.keys() >= set(names) else None

    def forget_offsets(self, sources: Iterable[TopicPartition]) -> None:
        """Offsets expire a week after the last member left."""
        for source in sources:
            self.offsets.pop(source, None)

    def publish(self, checkpoint: Checkpoint, seen: Sequence[Checkpoint]) -> None:
        """Write a snapshot over the older of those that its writer has seen, whatever stands there by now."""
        kept = self.checkpoints[checkpoint.partition]
        if len(seen) < _KEPT_SNAPSHOTS:
            kept[len(seen) :] = [checkpoint]
        else:
            kept[min(range(len(seen)), key=lambda slot: seen[slot].cycle)] = checkpoint

    def journal_end(self, partition: int) -> int:
        """Where a task's journal ends now."""
        return self.logs[TopicPartition(self.journal, partition)].end

    def journal_begin(self, partition: int) -> int:
        """Where a task's journal begins, since it was trimmed."""
        return self._journal_begins[partition]

    def trim_journal(self, partition: int, end: int) -> None:
        """No task finds what lies before `end` any more; whoever checks a run still reads it."""
        self._journal_begins[partition] = max(end, self._journal_begins[partition])

    def schema(self, schema_id: int) -> SchemaFetched | SchemaRefused:
        """The registry's answer."""
        if schema_id in self._schemas:
            return SchemaFetched(schema_id, self._schemas[schema_id])
        return SchemaRefused(schema_id, RejectReason.UNKNOWN_SCHEMA, f"the registry has no schema {schema_id}")


def _cycle_of(value: bytes) -> tuple[int, str]:
    record = journal.decode(value)
    return record.cycle, record.digest
