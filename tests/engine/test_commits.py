"""What a commit that is slow or refused means: for snapshots, epochs and the worker."""

from dataclasses import replace

import pytest

from stream.engine import journal
from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    CommittedOffset,
    Lost,
    PublishSnapshot,
    Release,
    Revoked,
    Send,
)
from stream.engine.restore import metadata_of
from stream.errors import TaskCorrupted
from stream.records import TopicPartition
from stream.testing.partition_log import Stored
from tests.engine.build import (
    FORMAT,
    T0,
    batch,
    payments,
    plan_with_labels,
    task_of,
)
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import Running, state_of, state_of_journal


@pytest.mark.parametrize("refusals", [0, 3])
def test_rule_22_a_snapshot_leaves_only_after_its_commit(memory: MemoryBroker, refusals: int) -> None:
    """While the commit of a cycle is refused, or not yet answered, its snapshot waits."""
    running = Running(memory, refusals=[CommitOutcome.REFUSED] * refusals, snapshot_interval_ms=0)
    running.tell(Assigned((0,)))
    running.finish()

    committed: set[str] = set()
    snapshots = commits = 0
    for instruction in running.seen:
        if isinstance(instruction, Commit):
            commits += 1
            if commits > refusals:
                committed |= {offset.metadata for offset in instruction.offsets.values()}
        if isinstance(instruction, PublishSnapshot):
            snapshots += 1
            assert metadata_of(instruction.checkpoint.cycle, instruction.checkpoint.digest) in committed
    assert snapshots > 3
    assert commits > refusals


def test_rule_22_a_snapshot_of_a_cycle_that_was_never_committed_is_dropped(memory: MemoryBroker) -> None:
    """The partition is lost while its commit is refused: nothing of that cycle is published."""
    running = Running(memory, commit_interval_ms=1_000_000, snapshot_interval_ms=0)
    running.tell(Assigned((0,)))
    running.step()
    running.worker.schedule.due_ms = 0
    instructions = running.worker.work(running.now_ms, 20)
    (commit,) = (instruction for instruction in instructions if isinstance(instruction, Commit))

    assert not any(isinstance(instruction, PublishSnapshot) for instruction in instructions)
    running.tell(Lost((0,)))
    running.tell(CommitReturned(commit.transaction, CommitOutcome.REFUSED))

    assert running.count(PublishSnapshot) == 0
    assert not running.worker.is_committing


def test_the_journal_says_how_often_a_worker_has_owned_the_task(memory: MemoryBroker) -> None:
    """Assigned, given back and assigned again: the cycles of the second time carry epoch 2."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.step()
    running.step()
    running.tell(Revoked((0,)))
    before = len(memory.values(FORMAT.topics.journal))
    running.tell(Assigned((0,)))
    running.finish()

    epochs = [journal.decode(value).epoch for value in memory.values(FORMAT.topics.journal) if value]
    assert before > 0
    assert epochs == [1] * before + [2] * (len(epochs) - before)
    assert len(epochs) > before
    (slot,) = running.worker.slots
    assert slot.task.epoch == 2


def test_effects_carry_the_epoch_of_their_task() -> None:
    """So that what an earlier ownership computed is told from what the present one did."""
    task = task_of(plan_with_labels(), epoch=7)
    task.process(batch("payments", payments(3)), T0)

    effects = task.close_cycle()

    assert (effects.epoch, effects.journal.epoch) == (7, 7)


def test_a_commit_that_is_refused_again_and_again_stops_the_worker_with_the_reason(memory: MemoryBroker) -> None:
    """Rule 12: after 20 refusals in a row of the same effects the last reason is told, and nothing is lost."""
    running = Running(memory, refusals=[CommitOutcome.REFUSED] * 21)
    running.tell(Assigned((0,)))
    for _ in range(100):
        running.step()
        if running.connection.stopped is not None:
            break

    assert running.connection.stopped is not None
    assert running.connection.stopped.error is not None
    assert str(running.connection.stopped.error) == (
        "20 commits in a row were refused, the last with: refused by the test"
    )
    assert memory.committed == {}
    again = Running(memory).finish_from_the_start()
    assert state_of(again) == state_of_journal(memory)


def test_twenty_refusals_in_a_row_are_borne(memory: MemoryBroker) -> None:
    """One less: the twenty-first attempt succeeds, and counting begins anew with the next commit."""
    running = Running(memory, refusals=[CommitOutcome.REFUSED] * 20)
    running.finish_from_the_start()

    assert running.connection.refusals == []
    assert state_of(running) == state_of_journal(memory)


def test_a_refusal_sends_again_what_the_next_cycle_sent_meanwhile(memory: MemoryBroker) -> None:
    """What did not arrive may be of either cycle: the client's flush before a commit covers all that was sent."""
    running = Running(memory, is_immediate=True, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    running.step()
    running.worker.schedule.due_ms = 0
    instructions = running.worker.work(running.now_ms, 20)
    (commit,) = (instruction for instruction in instructions if isinstance(instruction, Commit))
    (first,) = (instruction for instruction in instructions if isinstance(instruction, Send))
    (second,) = (each for each in running.worker.work(running.now_ms, 20) if isinstance(each, Send))

    refused = CommitReturned(commit.transaction, CommitOutcome.REFUSED, "a batch did not arrive")
    again = [each for each in running.worker.on(refused, running.now_ms) if isinstance(each, Send)]

    assert again == [first, second]


def test_what_is_lost_in_a_revocation_and_assigned_again_stays(memory: MemoryBroker) -> None:
    """The answer to a commit of before releases nothing of the new assignment."""
    running = Running(memory, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    running.step()
    running.worker.schedule.began(running.now_ms)
    running.worker.work(running.now_ms, 20)
    revoked = running.worker.on(Revoked((0,)), running.now_ms)
    (commit,) = (instruction for instruction in revoked if isinstance(instruction, Commit))

    lost = running.worker.on(Lost((0,)), running.now_ms)
    running.worker.on(Assigned((0,)), running.now_ms)
    answered = running.worker.on(CommitReturned(commit.transaction, CommitOutcome.REFUSED), running.now_ms)

    assert not any(isinstance(instruction, Release) for instruction in (*lost, *answered))
    assert [slot.task.partition for slot in running.worker.slots] == [0]


def test_only_committed_cycles_are_told_to_the_metrics(memory: MemoryBroker) -> None:
    """A cycle whose task is lost while its commit is refused was for nothing."""
    running = Running(memory, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    running.step()
    running.worker.take_committed()
    running.worker.schedule.due_ms = 0
    instructions = running.worker.work(running.now_ms, 20)
    (commit,) = (instruction for instruction in instructions if isinstance(instruction, Commit))

    assert running.worker.take_committed() == []
    running.tell(Lost((0,)))
    running.tell(CommitReturned(commit.transaction, CommitOutcome.REFUSED))
    assert running.worker.take_committed() == []


def test_a_replay_that_lacks_a_schema_is_corrupt(memory: MemoryBroker) -> None:
    """Its records are not passed over: the state would be another one, without a word."""
    Running(memory).finish_from_the_start()
    topic = TopicPartition(FORMAT.topics.journal, 0)
    cycles = [journal.decode(value) for value in memory.values(topic.topic) if value is not None]
    memory.topics[topic], previous = [], ""
    for cycle in cycles:
        forgetful = replace(cycle, schemas=(), previous=previous).sealed()
        previous = forgetful.digest
        memory.topics[topic].append(Stored(None, journal.encode(forgetful), None, T0))
    for source, at in memory.committed.items():
        memory.committed[source] = CommittedOffset(at.next_offset, metadata_of(cycles[-1].cycle, previous))

    second = Running(memory)
    second.tell(Assigned((0,)))
    while second.connection.stopped is None and second.step():
        pass

    assert second.connection.stopped is not None
    assert isinstance(second.connection.stopped.error, TaskCorrupted)
    assert "schema" in str(second.connection.stopped.error)
