"""Where a task begins: the journal decides, and `offset_reset` only where there is none (rule 4)."""

import pytest

from stream.engine import journal
from stream.engine.journal import JournalRecord, Range
from stream.engine.protocol import Assigned, Commit, CommittedOffset, TaskFound
from stream.engine.restore import find_beginning, metadata_of
from stream.errors import TaskCorrupted
from stream.testing.memory_broker import MemoryBroker
from tests.engine.build import T0
from tests.engine.running import EVENTS, LABELS, Running

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


def test_rule_4_every_commit_carries_all_inputs_of_a_task_with_its_cycle(broker: MemoryBroker) -> None:
    """Offsets of a topic that did not move would otherwise expire after a week: the group does not subscribe to it."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.finish()

    commits = [instruction for instruction in running.seen if isinstance(instruction, Commit)]
    cycles = [int(commit.offsets[EVENTS].metadata.split(":")[0]) for commit in commits]
    assert all(commit.offsets.keys() == {EVENTS, LABELS} for commit in commits)
    assert all(commit.offsets[EVENTS].metadata == commit.offsets[LABELS].metadata for commit in commits)
    assert cycles == list(range(1, len(commits) + 1))
