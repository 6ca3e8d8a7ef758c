"""Where a task begins: the journal decides, and `offset_reset` only where there is none (rule 4)."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from stream.engine import journal
from stream.engine.journal import JournalRecord, Range
from stream.engine.protocol import Assigned, Commit, CommittedOffset, TaskFound
from stream.engine.restore import RESET, find_beginning, metadata_of
from stream.engine.snapshot import Checkpoint
from stream.errors import TaskCorrupted
from stream.records import TopicPartition
from tests.engine.build import T0
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, state_of, state_of_journal

SOURCES = (EVENTS, LABELS)


def found(committed: dict[str, int], records: tuple[JournalRecord, ...] = (), metadata: str = "") -> TaskFound:
    """A task whose topics begin at 10 and end at 90; `committed` are offsets by topic."""
    return TaskFound(
        partition=0,
        committed={
            each: CommittedOffset(committed[each.topic], metadata) for each in SOURCES if each.topic in committed
        },
        journal=tuple(journal.encode(record) for record in records),
        checkpoints=(),
        damaged=(),
        beginnings=dict.fromkeys(SOURCES, 10),
        ends=dict.fromkeys(SOURCES, 90),
    )


@pytest.mark.parametrize(("offset_reset", "start"), [("earliest", 10), ("latest", 90)])
@pytest.mark.parametrize("committed", [{}, {"payments": 50, "chargebacks": 50}])
def test_rule_4_a_task_without_a_journal_begins_where_the_settings_say(
    committed: dict[str, int], offset_reset: str, start: int
) -> None:
    """Whether or not the group has offsets that somebody else's tool set: those name no cycle."""
    beginning = find_beginning(found(committed), SOURCES, "plan", offset_reset)
    assert beginning.starts == {EVENTS: start, LABELS: start}
    assert beginning.replay == ()


@pytest.mark.parametrize("offset_reset", ["earliest", "latest"])
def test_rule_4_a_task_with_a_journal_begins_where_it_says(offset_reset: str) -> None:
    """One cycle, 20 to 29 of the events: they are replayed; labels, which it did not touch, go on at their offset."""
    record = JournalRecord(1, "", "plan", 1, (Range("payments", 0, 20, 29, 10, T0),), ()).sealed()
    metadata = metadata_of(1, record.digest)

    beginning = find_beginning(
        found({"payments": 30, "chargebacks": 40}, (record,), metadata), SOURCES, "plan", offset_reset
    )

    assert beginning.starts == {EVENTS: 20, LABELS: 40}
    assert beginning.replay == (record,)


def test_rule_4_a_journal_without_the_committed_cycle_is_corrupt() -> None:
    """Never a reset: the topic was deleted or trimmed by somebody, and a person has to decide."""
    with pytest.raises(TaskCorrupted, match=r"cycle 1 \(digest\) is committed, but its record is not in the journal"):
        find_beginning(found({"payments": 30}, (), metadata_of(1, "digest")), SOURCES, "plan", "latest")


def two_cycles() -> tuple[JournalRecord, JournalRecord]:
    """20 to 29 of the events, then 30 to 44 of the events and 12 of the labels."""
    first = JournalRecord(1, "", "plan", 1, (Range("payments", 0, 20, 29, 10, T0),), ()).sealed()
    ranges = (Range("payments", 0, 30, 44, 15, T0), Range("chargebacks", 0, 12, 12, 1, T0))
    return first, JournalRecord(2, first.digest, "plan", 1, ranges, ()).sealed()


def checkpoint_of(record: JournalRecord, next_offsets: dict[TopicPartition, int]) -> Checkpoint:
    """A snapshot without state."""
    return Checkpoint(0, record.cycle, record.digest, record.plan_digest, next_offsets, T0, {}, {})


@pytest.mark.parametrize("offset_reset", ["earliest", "latest"])
@pytest.mark.parametrize("committed", [{}, {"payments": 45}, {"chargebacks": 13}, {"payments": 45, "chargebacks": 13}])
@pytest.mark.parametrize("is_of_a_cycle", [True, False])
def test_rule_4_offsets_that_the_group_forgot_are_the_journal_s(
    committed: dict[str, int], is_of_a_cycle: bool, offset_reset: str
) -> None:
    """All, some or none of them are there, with or without their metadata: the same beginning."""
    records = two_cycles()
    metadata = metadata_of(2, records[-1].digest) if is_of_a_cycle else ""

    whole = find_beginning(found(committed, records, metadata), SOURCES, "plan", offset_reset)
    snapshot = checkpoint_of(records[-1], {EVENTS: 45, LABELS: 13})
    loaded = find_beginning(
        replace(found(committed, records, metadata), checkpoints=(snapshot,)), SOURCES, "plan", offset_reset
    )

    assert whole.starts == {EVENTS: 20, LABELS: 12}
    assert whole.replay == records
    assert loaded.starts == {EVENTS: 45, LABELS: 13}
    assert loaded.replay == ()


def test_rule_4_a_snapshot_says_where_inputs_go_on_that_no_cycle_after_it_touched() -> None:
    """The labels stand at 13 in the snapshot, and the one cycle behind it took events alone."""
    _, second = two_cycles()
    third = JournalRecord(3, second.digest, "plan", 1, (Range("payments", 0, 50, 59, 10, T0),), ()).sealed()
    snapshot = checkpoint_of(second, {EVENTS: 45, LABELS: 13})

    beginning = find_beginning(
        replace(found({}, (second, third)), checkpoints=(snapshot,)), SOURCES, "plan", "earliest"
    )

    assert beginning.starts == {EVENTS: 50, LABELS: 13}
    assert beginning.replay == (third,)


@pytest.mark.parametrize("committed", [{"payments": 20}, {"payments": 60}, {"payments": 45, "chargebacks": 10}])
@pytest.mark.parametrize("is_of_a_cycle", [True, False])
def test_rule_4_offsets_that_somebody_changed_are_refused(committed: dict[str, int], is_of_a_cycle: bool) -> None:
    """Back or forth: state would have learned twice from some events, or never from others."""
    records = two_cycles()
    metadata = metadata_of(2, records[-1].digest) if is_of_a_cycle else ""

    with pytest.raises(TaskCorrupted, match=r"the group's offset .* the journal ends at .* --delete-offsets"):
        find_beginning(found(committed, records, metadata), SOURCES, "plan", "earliest")


def test_rule_4_a_group_that_forgot_the_last_cycle_is_refused() -> None:
    """The journal goes on behind the committed cycle: to handle that cycle again would predict twice."""
    records = two_cycles()
    with pytest.raises(TaskCorrupted, match="cycle 1, but the journal ends with cycle 2"):
        find_beginning(found({"payments": 30}, records, metadata_of(1, records[0].digest)), SOURCES, "plan", "earliest")


def test_half_a_reset_says_so_and_how_to_end_it(memory: MemoryBroker) -> None:
    """Offsets are marked, the journal is whole: no start. Run again, the journal is gone; or offsets are given up."""
    first = Running(memory).finish_from_the_start()
    journal_source = TopicPartition(memory.journal, 0)
    whole, predictions = list(memory.topics[journal_source]), predicted_offsets(memory)
    memory.committed = dict.fromkeys(SOURCES, CommittedOffset(0, RESET))

    refused = Running(memory)
    refused.tell(Assigned((0,)))
    assert refused.connection.stopped is not None
    told = str(refused.connection.stopped.error)
    assert "a reset of this task was interrupted" in told
    assert "`stream state reset APP --partition 0`" in told

    memory.topics[journal_source] = []
    Running(memory).finish_from_the_start()
    assert predicted_offsets(memory) == sorted(predictions * 2)
    memory.topics[journal_source] = whole
    memory.committed = {}
    kept = Running(memory).finish_from_the_start()
    assert state_of(kept) == state_of(first)
    assert predicted_offsets(memory) == sorted(predictions * 2)


def test_a_mark_of_a_reset_on_one_input_is_no_half_of_one() -> None:
    """The app had no labels for a while since then: the events' cycle says that the task has begun anew."""
    records = two_cycles()[:1]
    task = found({"payments": 30}, records, metadata_of(1, records[0].digest))
    marked = replace(task, committed={**task.committed, LABELS: CommittedOffset(10, RESET)})
    assert find_beginning(marked, SOURCES, "plan", "earliest").starts == {EVENTS: 20, LABELS: 10}


def test_a_task_that_was_reset_begins_where_the_settings_say() -> None:
    """Marks without a journal are those of a whole reset."""
    for offset_reset, start in (("earliest", 10), ("latest", 90)):
        task = found({"payments": 10, "chargebacks": 10}, (), RESET)
        assert find_beginning(task, SOURCES, "plan", offset_reset).starts == {EVENTS: start, LABELS: start}


class Expiring(MemoryBroker):
    """A broker whose events before an offset are gone."""

    first_event = 0

    def find(self, partition: int, without: Mapping[str, str]) -> TaskFound:
        """With where they begin."""
        task = super().find(partition, without)
        return replace(task, beginnings={**task.beginnings, EVENTS: self.first_event})


def test_a_task_goes_on_behind_unread_records_that_expired_once_it_is_told_to(memory: MemoryBroker) -> None:
    """Snapshot of the last cycle, 150 events expired unread: the task stops and says that nothing learned is lost.

    Its offset is set to where the topic begins: it goes on there with all that it has learned, and so does a restart.
    """
    broker = Expiring(memory.inputs, memory.journal, memory.schemas)
    events = list(memory.topics[EVENTS])
    Running(memory).finish_from_the_start()
    broker.topics |= {EVENTS: events[:200], LABELS: list(memory.topics[LABELS])}
    Running(broker, snapshot_interval_ms=1).finish_from_the_start()
    broker.topics[EVENTS], broker.first_event = events, 350

    refused = Running(broker)
    refused.tell(Assigned((0,)))
    assert refused.connection.stopped is not None
    told = str(refused.connection.stopped.error)
    assert "payments[0]: the next record is that of offset 200, but the topic begins at 350" in told
    assert "Nothing that was learned is lost" in told
    assert "--reset-offsets --to-earliest --execute --topic payments:0" in told

    broker.committed[EVENTS] = CommittedOffset(350, "")
    running = Running(broker).finish_from_the_start()
    expected = [offset for offset in predicted_offsets(memory) if not 200 <= offset < 350]
    assert predicted_offsets(broker) == expected
    assert state_of(running) == state_of_journal(broker)
    assert state_of(Running(broker).finish_from_the_start()) == state_of(running)


@pytest.mark.parametrize(
    ("offset", "beginning", "reason"),
    [
        (10, 10, "the group's offset is 10, the journal ends at 30"),
        (29, 50, "the group's offset is 29, the journal ends at 30"),
        (49, 50, "the next record is that of offset 49, but the topic begins at 50"),
        (51, 50, "the group's offset is 51, the journal ends at 30"),
    ],
)
def test_nothing_that_is_there_or_was_learned_is_passed_over_or_read_again(
    offset: int, beginning: int, reason: str
) -> None:
    """Offsets that are not the journal's, nor where the topic begins behind it: each is refused."""
    first, _ = two_cycles()
    task = replace(
        found({"payments": offset}, (first,)),
        checkpoints=(checkpoint_of(first, {EVENTS: 30, LABELS: 12}),),
        beginnings={EVENTS: beginning, LABELS: 10},
    )
    with pytest.raises(TaskCorrupted, match=reason):
        find_beginning(task, SOURCES, "plan", "earliest")


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_gap_is_passed_by_a_later_cycle_and_never_where_records_are_replayed(is_lost: bool) -> None:
    """Went on at 50, a cycle of labels, a crash: the older snapshot once more. A replay of events needs them."""
    first, _ = two_cycles()
    labels = JournalRecord(2, first.digest, "plan", 1, (Range("chargebacks", 0, 12, 12, 1, T0),), ()).sealed()
    events = JournalRecord(2, first.digest, "plan", 1, (Range("payments", 0, 30, 34, 5, T0),), ()).sealed()
    last = events if is_lost else labels
    task = found({"payments": 50, "chargebacks": 13}, (first, last), metadata_of(2, last.digest))
    task = replace(
        task, checkpoints=(checkpoint_of(first, {EVENTS: 30, LABELS: 12}),), beginnings={EVENTS: 50, LABELS: 10}
    )
    if is_lost:
        with pytest.raises(TaskCorrupted, match="the group's offset is 50, the journal ends at 35"):
            find_beginning(task, SOURCES, "plan", "earliest")
        with pytest.raises(TaskCorrupted, match="records from offset 30 on are needed to rebuild the state"):
            find_beginning(replace(task, committed={}), SOURCES, "plan", "earliest")
    else:
        assert find_beginning(task, SOURCES, "plan", "earliest").starts == {EVENTS: 50, LABELS: 12}


@pytest.mark.parametrize("metadata", ["x:y", "7", "1:2:3", ":"])
def test_metadata_of_other_tools_names_no_cycle(metadata: str) -> None:
    """Offsets with whatever text are like offsets without."""
    assert find_beginning(found({"payments": 45}, two_cycles(), metadata), SOURCES, "plan", "latest").starts == {
        EVENTS: 20,
        LABELS: 12,
    }


@pytest.mark.parametrize("gone", [(EVENTS,), (LABELS,), (EVENTS, LABELS)])
@pytest.mark.parametrize("snapshot_interval_ms", [1_000_000, 5])
def test_rule_4_a_worker_whose_offsets_are_gone_goes_on(
    memory: MemoryBroker, gone: tuple[TopicPartition, ...], snapshot_interval_ms: int
) -> None:
    """Half is handled, then a crash, and the offsets expire: the rest is handled once, and a third start is like it."""
    first = Running(memory, snapshot_interval_ms=snapshot_interval_ms)
    first.tell(Assigned((0,)))
    for _ in range(5):
        first.step()
    before = len(predicted_offsets(memory))
    for _ in range(2):
        for source in gone:
            del memory.committed[source]
        running = Running(memory, snapshot_interval_ms=snapshot_interval_ms).finish_from_the_start()

    offsets = predicted_offsets(memory)
    assert 0 < before < len(offsets)
    assert offsets == sorted(set(offsets))
    assert state_of(running) == state_of_journal(memory)


def test_rule_4_every_commit_carries_all_inputs_of_a_task_with_its_cycle(memory: MemoryBroker) -> None:
    """Offsets of a topic that did not move would otherwise expire after a week: the group does not subscribe to it."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.finish()

    commits = [instruction for instruction in running.seen if isinstance(instruction, Commit)]
    cycles = [int(commit.offsets[EVENTS].metadata.split(":")[0]) for commit in commits]
    assert all(commit.offsets.keys() == {EVENTS, LABELS} for commit in commits)
    assert all(commit.offsets[EVENTS].metadata == commit.offsets[LABELS].metadata for commit in commits)
    assert cycles == list(range(1, len(commits) + 1))
