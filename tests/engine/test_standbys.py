"""Tasks of other workers that are followed, and taken over (rule 25)."""

from dataclasses import replace

import pytest

from stream.engine import journal
from stream.engine.lifecycle import TaskState
from stream.engine.protocol import (
    Assigned,
    Commit,
    FindTask,
    Follow,
    Following,
    JournalGrew,
    Produce,
    PublishSnapshot,
    Send,
    StopRequested,
    Unfollow,
)
from stream.engine.task import Task
from stream.records import TopicPartition
from tests.engine.build import FORMAT, T0, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, Running, predicted_offsets, state_of, state_of_journal


def tell_journal(standby: Running, memory: MemoryBroker, first: int = 0) -> None:
    """The whole journal, from this record on: what is known of it already is told again, as by a reader."""
    values = [value for value in memory.values(FORMAT.topics.journal)[first:] if value is not None]
    standby.tell(JournalGrew(0, tuple(values)))


def half_done(memory: MemoryBroker) -> Running:
    """An owner that has committed some cycles, and has most of the records still before it."""
    owner = Running(memory, snapshot_interval_ms=5)
    owner.tell(Assigned((0,)))
    for _ in range(8):
        owner.step(20)
    assert 5 <= len(memory.values(FORMAT.topics.journal)) < 12
    return owner


def following(memory: MemoryBroker) -> Running:
    """A worker that follows the task, and has replayed all that is committed."""
    standby = Running(memory)
    standby.tell(Following((0,)))
    while standby.step():
        pass
    return standby


def followed_whole(memory: MemoryBroker) -> Running:
    """A standby that has replayed all that the owner committed."""
    owner = half_done(memory)
    standby = following(memory)
    owner.finish()
    tell_journal(standby, memory)
    while standby.step():
        pass
    return standby


def test_rule_25_a_followed_task_is_taken_over_with_the_state_that_it_has(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was loaded once, replayed what its owner committed, and goes on from there without being loaded again."""
    standby = followed_whole(memory)
    (slot,) = standby.worker.standbys
    assert (slot.state, slot.task.state.digest()) == (TaskState.STANDBY, state_of_journal(memory))
    assert not [each for each in standby.seen if isinstance(each, Produce | Send | Commit | PublishSnapshot)]

    def load(*_: object) -> None:
        pytest.fail("loaded again")

    monkeypatch.setattr(Task, "load", load)
    standby.tell(Assigned((0,)))
    assert [slot.state for slot in standby.worker.slots] == [TaskState.RUNNING]
    assert [isinstance(each, Unfollow) for each in standby.seen].count(True) == 1
    for number, (key, value) in enumerate(payments(30, seed=5)):
        memory.append(EVENTS, key, value, T0 + 500 + number)
    standby.finish()

    assert state_of(standby) == state_of_journal(memory)
    assert len(predicted_offsets(memory)) == len(set(predicted_offsets(memory)))
    assert journal.decode(memory.values(FORMAT.topics.journal)[-1] or b"").epoch == 1
    assert standby.worker.standbys == ()


def test_what_was_taken_over_has_a_snapshot_behind_a_stop_though_nothing_came(memory: MemoryBroker) -> None:
    """Its owner's last snapshot is older: a start behind the stop would replay what came since."""
    standby = followed_whole(memory)
    standby.tell(Assigned((0,)))
    (slot,) = standby.worker.slots
    standby.tell(StopRequested())
    written = [each.checkpoint.cycle for each in standby.seen if isinstance(each, PublishSnapshot)]
    assert written == [slot.task.cycle]


@pytest.mark.parametrize("replayed", [0, 7, 30])
def test_a_takeover_in_the_midst_of_a_cycle_goes_on_in_its_midst(memory: MemoryBroker, replayed: int) -> None:
    """So many records of what was committed are replayed; the rest follows after the assignment, none twice."""
    owner = half_done(memory)
    standby = following(memory)
    owner.finish()
    tell_journal(standby, memory)
    for event in standby.connection.fetch(100):
        standby.tell(event)
    if replayed:
        standby.perform(standby.worker.work(standby.now_ms, replayed))
    standby.tell(Assigned((0,)))
    standby.finish()

    (found,) = (each for each in standby.seen if isinstance(each, FindTask))
    assert len(found.warm) == 2
    assert state_of(standby) == state_of_journal(memory)


def test_a_followed_state_that_is_not_what_was_committed_is_loaded_anew(memory: MemoryBroker) -> None:
    """A journal that was made anew meanwhile, say: what was followed is of no use, and no harm."""
    owner = half_done(memory)
    standby = following(memory)
    owner.finish()
    standby.worker.standbys[0]._newest = (3, "of another journal")
    standby.tell(Assigned((0,)))
    standby.finish()

    reasons = [each.because for each in standby.seen if isinstance(each, FindTask)]
    assert reasons == ["", "cycle 3, which was followed, is not one of those that are committed"]
    assert state_of(standby) == state_of_journal(memory)


def other_chain(value: bytes) -> bytes:
    """The same cycle behind another predecessor."""
    return journal.encode(replace(journal.decode(value), previous="0" * 32).sealed())


def other_plan(value: bytes) -> bytes:
    """The same cycle of another version of the app."""
    return journal.encode(replace(journal.decode(value), plan_digest="another").sealed())


def damaged(value: bytes) -> bytes:
    """No cycle at all."""
    return value[:-3]


@pytest.mark.parametrize("harm", [other_chain, other_plan, damaged])
def test_a_journal_that_does_not_go_on_costs_the_followed_state_and_nothing_else(
    memory: MemoryBroker, harm: "type[bytes]"
) -> None:
    """It is dropped with the reason, and followed anew when the group is looked at next; own tasks are not touched."""
    for number, (key, value) in enumerate(payments(100, seed=7)):
        memory.append(TopicPartition("payments", 1), key, value, T0 + number)
    owner = half_done(memory)
    standby = following(memory)
    standby.tell(Assigned((1,)))
    known = len(memory.values(FORMAT.topics.journal))
    owner.finish()
    value = memory.values(FORMAT.topics.journal)[known]
    assert value is not None
    standby.tell(JournalGrew(0, (harm(value),)))

    (dropped,) = (each for each in standby.seen if isinstance(each, Unfollow))
    assert (dropped.partition, bool(dropped.because)) == (0, True)
    standby.tell(Following((0,)))
    standby.finish()
    assert [slot.state for slot in (*standby.worker.slots, *standby.worker.standbys)] == [
        TaskState.RUNNING,
        TaskState.STANDBY,
    ]
    assert standby.worker.standbys[0].task.state.digest() == state_of_journal(memory)


def test_own_tasks_go_before_followed_ones(memory: MemoryBroker) -> None:
    """A slice of a followed task is replayed when none of the worker's own has anything to do."""
    for number, (key, value) in enumerate(payments(100, seed=7)):
        memory.append(TopicPartition("payments", 1), key, value, T0 + number)
    half_done(memory)
    standby = Running(memory)
    standby.tell(Assigned((1,)))
    standby.tell(Following((0,)))
    while not standby.worker.slots[0].task.next_offsets[TopicPartition("payments", 1)]:
        standby.step(5)
    for event in standby.connection.fetch(100):
        standby.tell(event)
    followed = standby.worker.standbys[0].task.next_offsets
    standby.perform(standby.worker.work(standby.now_ms, 5))

    assert standby.worker.slots[0].has_work(standby.now_ms)
    assert standby.worker.standbys[0].task.next_offsets == followed


def test_a_followed_task_says_how_many_committed_records_it_is_behind(memory: MemoryBroker) -> None:
    """By the cycles that it has heard of: as many as it replays next."""
    owner = half_done(memory)
    standby = following(memory)
    (slot,) = standby.worker.standbys
    assert slot.records_behind == 0
    before = slot.task.next_offsets
    owner.finish()
    tell_journal(standby, memory)
    behind = slot.records_behind
    while standby.step():
        pass

    replayed = sum(end - before[source] for source, end in slot.task.next_offsets.items())
    assert behind == replayed > 100
    assert slot.records_behind == 0


def test_tasks_that_others_are_to_follow_are_dropped_and_a_stop_drops_all(memory: MemoryBroker) -> None:
    """What the group looks like says whom to follow; own tasks are never among them."""
    half_done(memory)
    standby = following(memory)
    standby.tell(Following(()))
    standby.tell(Following((0,)))
    standby.tell(StopRequested())
    standby.tell(Following((0,)))

    assert [type(each) for each in standby.seen if isinstance(each, Follow | Unfollow)] == [
        Follow,
        Unfollow,
        Follow,
        Unfollow,
    ]
    owner = Running(memory)
    owner.tell(Assigned((0,)))
    owner.tell(Following((0,)))
    assert owner.count(Follow) == 0
