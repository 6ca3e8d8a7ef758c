"""Where a task begins: which snapshot it loads, and which cycles of the journal it replays (rules 4, 5, 21)."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stream.engine import journal
from stream.engine.input_topics import check_same_topics
from stream.engine.journal import Backfill, JournalRecord, Range
from stream.engine.protocol import CommittedOffset, TaskFound
from stream.engine.snapshot import Checkpoint
from stream.errors import ConfigError, TaskCorrupted
from stream.records import Ints, TopicPartition

RESET = "reset"  # committed beside the offsets of a task whose reset has begun: they stand for no cycle
# For errors that a reset ends.
HOW_TO_RESET = '`stream state reset APP --partition NUMBER`; docs/guarantees.md, "Starting a task anew"'
_CHANGED_OFFSETS = (
    "To go on where the journal ends, delete the group's offsets (kafka-consumer-groups --delete-offsets): they are "
    f"then taken from the journal. To read from elsewhere, reset the task ({HOW_TO_RESET})"
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a task starts from."""

    checkpoint: Checkpoint | None  # None: empty state
    replay: tuple[JournalRecord, ...]  # cycles after it, oldest first
    starts: Mapping[TopicPartition, int]  # where fetching begins, of every input partition
    backfill: Backfill | None  # that the task was begun with


def metadata_of(cycle: int, digest: str) -> str:
    """What is committed beside every offset: the cycle it stands for."""
    return f"{cycle}:{digest}"


def committed_cycles(committed: Mapping[TopicPartition, CommittedOffset]) -> set[tuple[int, str]]:
    """Cycle and digest that committed offsets stand for; those that a task did not write stand for none."""
    parts = [offset.metadata.split(":") for offset in committed.values()]
    return {(int(part[0]), part[1]) for part in parts if len(part) == 2 and part[0].isdecimal()}


def find_beginning(
    found: TaskFound,
    sources: Sequence[TopicPartition],
    plan_digest: str,
    offset_reset: str,
    backfill: Backfill | None = None,
    handed_on: Collection[str] = (),
) -> Beginning:
    """Decide how a task begins. Where there is a journal, it says so, whatever the group has forgotten (rule 4).

    Args:
        found: what Kafka remembers of the task.
        sources: the task's input partitions.
        plan_digest: of the plan that is to run.
        offset_reset: "earliest" or "latest", for a task without a journal only.
        backfill: in place of it, what this start was told; a task that has a journal goes on with its own, and one that
            is told nothing takes over that of another stage.
        handed_on: topics that other stages write: they are read from their beginning, whatever is said of the others,
            and no gap in them is passed over.

    Raises:
        TaskCorrupted: neither a snapshot nor the journal leads to the committed cycle, or the group's offsets are not
            those of the journal.
        ConfigError: the app changed and its last worker did not stop cleanly, or the task has a journal and was not
            begun with this backfill.
    """
    records = _committed_journal(found)
    begun = records[-1].backfill if records else backfill or found.begun_elsewhere
    edges = _edges(found, begun, offset_reset)
    edges = {source: found.beginnings[source] if source.topic in handed_on else at for source, at in edges.items()}
    if not records:
        return Beginning(None, (), {source: edges[source] for source in sources}, begun)
    _check_reset(found)
    _check_backfill(found, records[-1], backfill)
    own = _records_of(plan_digest, records)
    checkpoint = _newest_checkpoint(found, own, plan_digest)
    if checkpoint is None and len(own) < len(records):  # no snapshot of this plan yet: the old one's last is taken over
        checkpoint = _at_upgrade(found, records[len(records) - len(own) - 1])
    replay = _records_after(checkpoint, own, found)
    if checkpoint is not None:
        checkpoint = _over_gaps(checkpoint, replay, found, handed_on)
    ends = _ends(checkpoint, replay)
    _check_group(found, ends)
    # The group alone knows of an input that no cycle touched; one that is new, as for a new plan, is read from its
    # beginning, or from where the backfill began.
    untouched = {source: offset.next_offset for source, offset in found.committed.items()}
    others = edges if checkpoint is None or begun is not None else found.beginnings
    starts = {source: {**others, **untouched, **ends}[source] for source in sources}
    for record in reversed(replay):
        for item in reversed(record.ranges):
            starts[item.source] = item.first
    if checkpoint is not None:
        check_same_topics(checkpoint, found.topics, HOW_TO_RESET)
    _check_handed_on(found, starts, handed_on)
    _check_retention(found, replay, starts)
    return Beginning(checkpoint, replay, starts, begun)


def _edges(found: TaskFound, begun: Backfill | None, offset_reset: str) -> Mapping[TopicPartition, int]:
    """Where an input is read from of which no cycle tells."""
    if begun is not None and begun.begin_ms is not None:
        return found.since
    return found.beginnings if begun is not None or offset_reset == "earliest" else found.ends


def _committed_journal(found: TaskFound) -> list[JournalRecord]:
    """The journal, whose last cycle is the committed one; cycle numbers are no identity, digests are (rule 22)."""
    records = [journal.decode(value) for value in found.journal]
    known = [(record.cycle, record.digest) for record in records]
    committed = committed_cycles(found.committed)
    if committed and committed.isdisjoint(known):
        cycle, digest = max(committed)
        raise TaskCorrupted(
            f"partition {found.partition}: cycle {cycle} ({digest}) is committed, but its record is not in the "
            "journal: the journal topic was deleted or trimmed. Reset the task, its group's offsets too "
            f"({HOW_TO_RESET})"
        )
    if committed and known[-1] not in committed:
        raise TaskCorrupted(
            f"partition {found.partition}: the group's offsets are those of cycle {max(committed)[0]}, but the journal "
            f"ends with cycle {known[-1][0]}: offsets were set back. {_CHANGED_OFFSETS}"
        )
    journal.check_chain(records)
    return records


def _check_reset(found: TaskFound) -> None:
    """A reset marks the offsets before it deletes the journal: marks beside a journal are those of half a reset."""
    if found.committed and all(offset.metadata == RESET for offset in found.committed.values()):
        raise TaskCorrupted(
            f"partition {found.partition}: a reset of this task was interrupted before its journal was deleted. Run "
            f"`stream state reset APP --partition {found.partition}` once more (without --partition where the app has "
            "stages). To keep what was learned instead, delete the group's offsets (kafka-consumer-groups "
            "--delete-offsets): they are then taken from the journal"
        )


def _check_backfill(found: TaskFound, last: JournalRecord, backfill: Backfill | None) -> None:
    """A task begins once; a worker that is started again with the same words goes on."""
    if backfill is not None and backfill != last.backfill:
        raise ConfigError(
            f"partition {found.partition}: it has a journal of {last.cycle} cycles, and was begun otherwise: --from "
            "and --emit-from are for tasks that have not begun. Leave them out to go on; to begin anew, and lose what "
            f"was learned: `stream state reset APP --partition {found.partition}` (without --partition where the app "
            "has stages)"
        )


def _ends(checkpoint: Checkpoint | None, replay: Sequence[JournalRecord]) -> dict[TopicPartition, int]:
    """Where the last cycle left each input that the snapshot or a cycle after it knows."""
    ends = dict(checkpoint.next_offsets) if checkpoint else {}
    for record in replay:
        ends |= {item.source: item.last + 1 for item in record.ranges}
    return ends


def _over_gaps(
    checkpoint: Checkpoint, replay: Sequence[JournalRecord], found: TaskFound, handed_on: Collection[str]
) -> Checkpoint:
    """The snapshot, behind unread records that are gone from their topic, where somebody set the group's offset there.

    As `_check_retention` tells them to: nothing that is still there is passed over, and what was learned stays. Later
    commits of a task that went on so say the same for as long as no record of that input has come. Not so between
    stages: what is missing there would be waited for.
    """
    ends, moved = _ends(checkpoint, replay), {}
    for source, offset in found.committed.items():
        if source.topic in handed_on or source not in checkpoint.next_offsets:
            continue
        if ends[source] < offset.next_offset <= found.beginnings[source]:
            moved[source] = offset.next_offset
    return replace(checkpoint, next_offsets={**checkpoint.next_offsets, **moved}) if moved else checkpoint


def _check_group(found: TaskFound, ends: Mapping[TopicPartition, int]) -> None:
    """Raise TaskCorrupted if the group has an offset that is not the journal's; to have none is no contradiction."""
    for source, offset in found.committed.items():
        if (end := ends.get(source, offset.next_offset)) != offset.next_offset:
            raise TaskCorrupted(
                f"{source.topic}[{source.partition}]: the group's offset is {offset.next_offset}, the journal ends at "
                f"{end}: offsets were changed from outside, and the state would not be that of what was read. "
                f"{_CHANGED_OFFSETS}"
            )


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
            f"{records[0].cycle}: the state cannot be rebuilt. Bring a snapshot back, or reset the task "
            f"({HOW_TO_RESET})"
        )
    return tuple(records)


def _at_upgrade(found: TaskFound, last: JournalRecord) -> Checkpoint:
    """The snapshot that the clean stop of the old plan left at its last cycle; the new one begins there."""
    for checkpoint in found.checkpoints:
        if (checkpoint.cycle, checkpoint.digest) == (last.cycle, last.digest):
            return checkpoint
    raise ConfigError(
        f"partition {found.partition}: the app, its budgets or a library changed since the last run, and that run did "
        f"not stop cleanly (no snapshot of its last cycle {last.cycle}). Run `stream state catch-up APP` with the old "
        "version of app and libraries, then start this one (rule 5)"
    )


def _check_handed_on(found: TaskFound, starts: Mapping[TopicPartition, int], handed_on: Collection[str]) -> None:
    """Raise TaskCorrupted if records are gone that another stage sent: only a reset of all leads on (rule 34)."""
    for source, start in starts.items():
        if source.topic in handed_on and start < found.beginnings[source]:
            raise TaskCorrupted(
                f"{source.topic}[{source.partition}]: the next record is that of offset {start}, but the topic begins "
                f"at {found.beginnings[source]}: records between stages were deleted before they were done with, and "
                "no stage goes on without what another has sent it. Reset all stages together (`stream state reset "
                "APP`), and let the topic keep its records (retention.ms=-1; `stream check` shows its settings)"
            )


def _check_retention(found: TaskFound, replay: Sequence[JournalRecord], starts: Mapping[TopicPartition, int]) -> None:
    """Raise TaskCorrupted if records are gone: those that the state is made of, or those that come next."""
    gone = [source for source, start in starts.items() if start < found.beginnings[source]]
    for source in {item.source for record in replay for item in record.ranges}.intersection(gone):
        raise TaskCorrupted(
            f"{source.topic}[{source.partition}]: records from offset {starts[source]} on are needed to rebuild the "
            f"state, but the topic begins at {found.beginnings[source]}: its retention is shorter than the time "
            f"between snapshots. Raise retention.ms, and reset the task ({HOW_TO_RESET})"
        )
    for source in gone:
        raise TaskCorrupted(
            f"{source.topic}[{source.partition}]: the next record is that of offset {starts[source]}, but the topic "
            f"begins at {found.beginnings[source]}: retention removed what was not read yet. Nothing that was learned "
            "is lost. To go on without those records, stop all workers and set the group's offset to where the topic "
            "begins (kafka-consumer-groups --reset-offsets --to-earliest --execute --topic "
            f"{source.topic}:{source.partition}), then start again. Raise retention.ms"
        )


class Replay:
    """The ranges still to be replayed, in their order."""

    def __init__(self, records: Sequence[JournalRecord]) -> None:
        self._records = deque(records)
        self._range = 0
        self._taken = 0
        self.total = sum(item.count for record in records for item in record.ranges)
        self.done = 0

    def extend(self, records: Sequence[JournalRecord]) -> None:
        """More cycles were committed."""
        self._records += records
        self.total += sum(item.count for record in records for item in record.ranges)

    def resumed(self, records: Sequence[JournalRecord]) -> "Replay":
        """A replay of these cycles that goes on in the midst of the first, as far as this one had come."""
        other = Replay(records)
        other._range, other._taken = self._range, self._taken
        return other

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

    def wanted(self, at_most: int) -> int:
        """Records that may be replayed at once: of this range, and of those behind it that go on where it ends.

        Results do not depend on where a batch ends, so neither the time of a range (it only stamps outputs, which a
        replay suppresses) nor the end of a cycle parts them; another partition does, an answer about a schema, and
        another count of partitions.
        """
        wanted = -self._taken
        for item in self._in_a_row():
            wanted += item.count
            if wanted >= at_most:
                break
        return min(wanted, at_most)

    def _in_a_row(self) -> Iterator[Range]:
        first, begin = self.range, self._range
        for record in self._records:
            if record.partitions != self._records[0].partitions:  # where keys belong has changed (rule 19)
                return
            answered_at = record.answered_at
            for index in range(begin, len(record.ranges)):
                item = record.ranges[index]
                if first is None or item.source != first.source or (index in answered_at and item is not first):
                    return
                yield item
            if len(record.ranges) in answered_at:
                return
            begin = 0

    def take(self, offsets: Ints) -> list[JournalRecord]:
        """Note that the records at these offsets were replayed; returns the cycles that ended with them, but for the
        last one: its schema answers may be still to come, and `finish_cycle` ends it.

        Raises:
            TaskCorrupted: they are not what was journaled.
        """
        ended: list[JournalRecord] = []
        while True:
            item = self.range
            assert item is not None
            count = min(len(offsets), item.count - self._taken)
            self._take(item, offsets[:count])
            offsets = offsets[count:]
            if not len(offsets):
                return ended
            if self.range is None:
                ended.append(self.finish_cycle())

    def _take(self, item: Range, offsets: Ints) -> None:
        first, last = int(offsets[0]), int(offsets[-1])
        is_wrong_start = self._taken == 0 and first != item.first
        is_wrong_end = self._taken + len(offsets) == item.count and last != item.last
        if is_wrong_start or is_wrong_end:
            raise TaskCorrupted(
                f"{item.topic}[{item.partition}]: the journal names records {item.first} to {item.last} "
                f"({item.count}), the topic delivered {first} to {last} instead: records were deleted"
            )
        self._taken += len(offsets)
        self.done += len(offsets)
        if self._taken == item.count:
            self._range, self._taken = self._range + 1, 0

    def finish_cycle(self) -> JournalRecord:
        """The cycle whose ranges are all replayed; the next one is begun."""
        self._range = 0
        return self._records.popleft()
