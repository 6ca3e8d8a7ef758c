"""A simulated broker: topics, transactions and offsets, with the isolation and fencing of a real one."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping

from stream.engine.effects import OutputBatch
from stream.engine.protocol import CommittedOffset, OffsetAndMetadata, SchemaFetched, SchemaRefused
from stream.records import RecordBatch, RejectReason, TopicPartition
from stream.testing.partition_log import (
    PartitionLog,
    Stored,
    Transaction,
    partition_of,
    record_batch,
    stored_records,
)


class TransactionOver(Exception):
    """The transaction was aborted by the broker: it was open for too long, or its id was taken over."""


class SimulatedBroker:
    """Outlives all workers. Everything is synchronous; whoever uses it decides what takes time.

    Args:
        partitions: of the app's input topics, and of what else goes by partition.
        schemas: the registry's texts by id; other ids are refused.
        spread: topics of so many partitions whose records lie by their keys; what else is sent without a partition goes
            to topics that have one.
        transaction_timeout_ms: after which an open transaction is aborted.
    """

    def __init__(
        self,
        partitions: int,
        schemas: Mapping[int, str],
        spread: Collection[str] = (),
        transaction_timeout_ms: int = 10_000,
    ) -> None:
        self.partitions = partitions
        self.logs: dict[TopicPartition, PartitionLog] = defaultdict(PartitionLog)
        self.offsets: dict[TopicPartition, CommittedOffset] = {}  # of all groups: no two read the same topic
        self._spread = frozenset(spread)
        self._without_key = 0  # records of such topics that had none
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
        """Add output records, where they say or where their keys belong."""
        for batch in outputs:
            if transaction is not None:
                self._check_open(transaction)
            for record in stored_records(batch):
                source = TopicPartition(batch.topic, self._place(batch, record))
                if transaction is not None:
                    transaction.partitions.add(source)
                self.logs[source].append(record, transaction)

    def _place(self, batch: OutputBatch, record: Stored) -> int:
        if batch.partition >= 0 or batch.topic not in self._spread:
            return max(batch.partition, 0)
        if record.key is not None:
            return partition_of(record.key, self.partitions)
        self._without_key += 1
        return self._without_key % self.partitions

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

    # --- groups and registry -------------------------------------------------------------------------------------

    def committed(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, CommittedOffset] | None:
        """Stable offsets of a group; None while a transaction that is not over holds others (rule 17)."""
        sources = tuple(sources)
        unfinished = [*self._open.values(), *(each for each, source in self._unmarked if source is None)]
        if any(source in transaction.offsets for transaction in unfinished for source in sources):
            return None
        return {source: self.offsets[source] for source in sources if source in self.offsets}

    def forget_offsets(self, sources: Iterable[TopicPartition]) -> None:
        """Offsets expire a week after the last member left."""
        for source in sources:
            self.offsets.pop(source, None)

    def schema(self, schema_id: int) -> SchemaFetched | SchemaRefused:
        """The registry's answer."""
        if schema_id in self._schemas:
            return SchemaFetched(schema_id, self._schemas[schema_id])
        return SchemaRefused(schema_id, RejectReason.UNKNOWN_SCHEMA, f"the registry has no schema {schema_id}")
