"""Where a task begins: which snapshot it loads, and which cycles of the journal it replays (rules 4, 5, 21)."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.engine import journal
from stream.engine.journal import JournalRecord, Range
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.errors import ConfigError, TaskCorrupted
from stream.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a task starts from."""

    checkpoint: Checkpoint | None  # None: empty state
    replay: tuple[JournalRecord, ...]  # cycles after it, oldest first
    starts: Mapping[TopicPartition, int]  # where fetching begins, of every input partition
    is_new_plan: bool  # the checkpoint is of another plan: parts whose definition changed start anew


def metadata_of(cycle: int, digest: str) -> str:
    """What is committed beside every offset: the cycle it stands for."""
    return f"{cycle}:{digest}"


def find_beginning(
    found: TaskFound, sources: Sequence[TopicPartition], plan_digest: str, offset_reset: str
) -> Beginning:
    """Decide how a task begins.

    Args:
        found: what Kafka remembers of the task.
        sources: the task's input partitions.
        plan_digest: of the plan that is to run.
        offset_reset: "earliest" or "latest", for a task without a journal only.

    Raises:
        TaskCorrupted: neither a snapshot nor the journal leads to the committed cycle.
        ConfigError: the app changed and its last worker did not stop cleanly.
    """
    committed = _committed_cycle(found, sources)
    if committed is None:
        edges = found.beginnings if offset_reset == "earliest" else found.ends
        return Beginning(None, (), {source: edges[source] for source in sources}, is_new_plan=False)
    records = _committed_journal(found, *committed)
    positions = {source: found.committed[source].next_offset for source in sources if source in found.committed}
    starts = {source: positions.get(source, found.beginnings[source]) for source in sources}
    own = _records_of(plan_digest, records)
    if not own:
        return Beginning(_at_upgrade(found, records[-1]), (), starts, is_new_plan=True)
    checkpoint = _newest_checkpoint(found, own, plan_digest)
    is_new_plan = checkpoint is None and len(own) < len(records)
    if is_new_plan:  # it crashed before its first snapshot: it takes over from the old plan's last one once more
        checkpoint = _at_upgrade(found, records[-len(own) - 1])
    replay = _records_after(checkpoint, records, found)
    for record in reversed(replay):
        for item in reversed(record.ranges):
            starts[item.source] = item.first
    _check_retention(found, starts)
    return Beginning(checkpoint, replay, starts, is_new_plan)


def _committed_cycle(found: TaskFound, sources: Sequence[TopicPartition]) -> tuple[int, str] | None:
    """Cycle and digest of the last commit, or None for a task that never committed."""
    for source in sources:
        offset = found.committed.get(source)
        if offset and ":" in offset.metadata:
            cycle, digest = offset.metadata.split(":", 1)
            return int(cycle), digest
    return None


def _committed_journal(found: TaskFound, cycle: int, digest: str) -> list[JournalRecord]:
    """The journal up to the committed cycle; cycle numbers are no identity, digests are (rule 22)."""
    records = [journal.decode(value) for value in found.journal]
    ends = [place for place, record in enumerate(records) if (record.cycle, record.digest) == (cycle, digest)]
    if not ends:
        raise TaskCorrupted(
            f"partition {found.partition}: cycle {cycle} ({digest}) is committed, but its record is not in the "
            "journal: the journal topic was deleted or trimmed. Reset the task, and choose where it is to read from"
        )
    records = records[: ends[-1] + 1]
    journal.check_chain(records)
    return records


def _records_of(plan_digest: str, records: Sequence[JournalRecord]) -> Sequence[JournalRecord]:
    """The cycles since the plan was last changed: no replay across digests (rule 5)."""
    others = [place for place, record in enumerate(records) if record.plan_digest != plan_digest]
    return records[others[-1] + 1 :] if others else records


def _newest_checkpoint(found: TaskFound, records: Sequence[JournalRecord], plan_digest: str) -> Checkpoint | None:
    known = {(record.cycle, record.digest) for record in records}
    for checkpoint in found.checkpoints:
        if checkpoint.plan_digest == plan_digest and (checkpoint.cycle, checkpoint.digest) in known:
            return checkpoint
    return None


def _records_after(
    checkpoint: Checkpoint | None, records: Sequence[JournalRecord], found: TaskFound
) -> tuple[JournalRecord, ...]:
    if checkpoint is not None:
        return tuple(record for record in records if record.cycle > checkpoint.cycle)
    if records[0].cycle != 1:
        damaged = f" ({'; '.join(found.damaged)})" if found.damaged else ""
        raise TaskCorrupted(
            f"partition {found.partition}: no usable snapshot{damaged}, and the journal begins at cycle "
            f"{records[0].cycle}: the state cannot be rebuilt. Reset the task, or bring a snapshot back"
        )
    return tuple(records)


def _at_upgrade(found: TaskFound, last: JournalRecord) -> Checkpoint:
    """The snapshot that the clean stop of the old plan left at its last cycle; the new one begins there."""
    for checkpoint in found.checkpoints:
        if (checkpoint.cycle, checkpoint.digest) == (last.cycle, last.digest):
            return checkpoint
    raise ConfigError(
        f"partition {found.partition}: the app, its budgets or a library changed since the last run, and that run did "
        f"not stop cleanly (no snapshot of its last cycle {last.cycle}). Run the old version once more and stop it "
        "with Ctrl-C or SIGTERM, then start this one"
    )


def _check_retention(found: TaskFound, starts: Mapping[TopicPartition, int]) -> None:
    for source, start in starts.items():
        if start < found.beginnings[source]:
            raise TaskCorrupted(
                f"{source.topic}[{source.partition}]: records from offset {start} on are needed to rebuild the state, "
                f"but the topic begins at {found.beginnings[source]}: its retention is shorter than the time between "
                "snapshots. Raise retention.ms, or reset the task"
            )


class Replay:
    """The ranges still to be replayed, in their order."""

    def __init__(self, records: Sequence[JournalRecord]) -> None:
        self._records = deque(records)
        self._range = 0
        self._taken = 0
        self.total = sum(item.count for record in records for item in record.ranges)
        self.done = 0

    @property
    def record(self) -> JournalRecord | None:
        """The cycle being replayed; None when all are."""
        return self._records[0] if self._records else None

    @property
    def range(self) -> Range | None:
        """The range whose records are wanted next; None at the end of a cycle."""
        record = self.record
        return record.ranges[self._range] if record and self._range < len(record.ranges) else None

    @property
    def at_range_start(self) -> int | None:
        """Index of the next range if none of its records was taken yet."""
        return self._range if self._taken == 0 else None

    @property
    def wanted(self) -> int:
        """Records of the range that are still to be taken."""
        return self.range.count - self._taken if self.range else 0

    def take(self, first: int, last: int, count: int) -> None:
        """Note that records first to last were replayed; raises TaskCorrupted if they are not what was journaled."""
        item = self.range
        assert item is not None
        is_wrong_start = self._taken == 0 and first != item.first
        is_wrong_end = count == self.wanted and last != item.last
        if is_wrong_start or is_wrong_end:
            raise TaskCorrupted(
                f"{item.topic}[{item.partition}]: the journal names records {item.first} to {item.last} "
                f"({item.count}), the topic delivered {first} to {last} instead: records were deleted"
            )
        self._taken += count
        self.done += count
        if self._taken == item.count:
            self._range, self._taken = self._range + 1, 0

    def finish_cycle(self) -> JournalRecord:
        """The cycle whose ranges are all replayed; the next one is begun."""
        self._range = 0
        return self._records.popleft()
