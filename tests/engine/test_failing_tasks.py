"""One task that cannot go on: it stops, the others of its worker do not (rule 12)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stream.engine.effects import Outputs
from stream.engine.lifecycle import TaskState
from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    Corrupted,
    FindTask,
    PublishSnapshot,
    Release,
    Revoked,
    Send,
    StopTask,
)
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.errors import StreamError, TaskCorrupted
from stream.records import RecordBatch, TopicPartition
from tests.engine.build import FORMAT, T0, payments, plan_with_labels
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import LABELS, Running, state_of, state_of_journal

TOO_LARGE = b"too large"


@pytest.fixture
def both(memory: MemoryBroker) -> MemoryBroker:
    """A second partition of 100 events, of which number 50 has outputs that are too large."""
    for number, (key, value) in enumerate(payments(100, seed=7)):
        memory.append(TopicPartition("payments", 1), TOO_LARGE if number == 50 else key, value, T0 + number)
    return memory


def run(running: Running, *partitions: int) -> Running:
    """Take these partitions, and go on until nothing is left to do."""
    running.tell(Assigned(partitions))
    while running.connection.stopped is None and running.step():
        pass
    running.step()
    return running


def states(running: Running) -> dict[int, TaskState]:
    """Where each task is."""
    return {slot.task.partition: slot.state for slot in running.worker.slots}


@pytest.mark.parametrize("is_immediate", [False, True])
def test_rule_12_effects_that_are_refused_twice_stop_their_task_and_not_the_worker(
    both: MemoryBroker, is_immediate: bool
) -> None:
    """The second attempt is task by task: the one whose record is too large stops behind its last good cycle."""
    running = Running(both, is_immediate=is_immediate)
    running.connection.unsendable = {TOO_LARGE}
    run(running, 0, 1)

    assert states(running) == {0: TaskState.RUNNING, 1: TaskState.FAILED}
    assert running.connection.stopped is None
    (stopped,) = (each for each in running.seen if isinstance(each, StopTask))
    assert stopped.partition == 1
    assert "was refused twice, the last with: a record is too large" in str(stopped.error)
    assert both.committed[TopicPartition("payments", 0)].next_offset == 400
    assert both.committed[TopicPartition("payments", 1)].next_offset == 37  # slices of 37: the second holds number 50
    assert {slot.task.partition: slot.task for slot in running.worker.slots}[0].state.digest() == state_of_journal(both)


def test_what_was_refused_once_and_passes_apart_is_committed_once(both: MemoryBroker) -> None:
    """Whatever it was, it was over the second time: both tasks go on."""
    running = Running(both, refusals=[CommitOutcome.UNSENDABLE])
    run(running, 0, 1)

    assert states(running) == {0: TaskState.RUNNING, 1: TaskState.RUNNING}
    assert both.committed[TopicPartition("payments", 1)].next_offset == 100
    predictions = both.values("app.predictions")
    assert len(predictions) == len(set(predictions)) > 450


def test_a_task_that_is_put_right_goes_on_where_it_stopped(both: MemoryBroker) -> None:
    """Another worker, and a broker that takes the record: nothing is lost of the partition."""
    running = Running(both)
    running.connection.unsendable = {TOO_LARGE}
    run(running, 0, 1)
    again = run(Running(both), 0, 1)

    assert states(again) == {0: TaskState.RUNNING, 1: TaskState.RUNNING}
    assert both.committed[TopicPartition("payments", 1)].next_offset == 100


def test_a_worker_whose_tasks_have_all_failed_ends_with_the_reason(both: MemoryBroker) -> None:
    """There is nobody left to go on."""
    running = Running(both)
    running.connection.unsendable = {TOO_LARGE}
    run(running, 1)

    assert running.connection.stopped is not None
    assert isinstance(running.connection.stopped.error, StreamError)
    assert "a record is too large" in str(running.connection.stopped.error)


def test_a_failed_task_is_given_back_like_any_other_and_tried_anew(both: MemoryBroker) -> None:
    """A revocation releases it; assigned again, it is looked for again."""
    running = Running(both)
    running.connection.unsendable = {TOO_LARGE}
    run(running, 0, 1)
    running.tell(Revoked((1,)))

    assert [each.partitions for each in running.seen if isinstance(each, Release)] == [(1,)]
    assert states(running) == {0: TaskState.RUNNING}
    running.connection.unsendable = set()
    run(running, 1)
    assert states(running) == {0: TaskState.RUNNING, 1: TaskState.RUNNING}


def test_nothing_leaves_beside_a_task_that_is_sent_apart(both: MemoryBroker) -> None:
    """What another sends at once could fail, and would be taken for its own failure."""
    running = Running(both, commit_interval_ms=1_000_000, is_immediate=True)
    running.tell(Assigned((0, 1)))
    while not {0, 1} <= {slot.task.partition for slot in running.worker.slots if slot.has_open_cycle}:
        running.step(5)
    running.worker.schedule.due_ms = 0
    instructions = running.worker.work(running.now_ms, 5)
    (commit,) = (each for each in instructions if isinstance(each, Commit))
    assert running.worker.has_work(running.now_ms)
    apart = running.worker.on(CommitReturned(commit.transaction, CommitOutcome.UNSENDABLE, "?"), running.now_ms)

    assert not running.worker.has_work(running.now_ms)
    assert not any(isinstance(each, Send) for each in running.worker.work(running.now_ms, 20))
    while commits := [each for each in apart if isinstance(each, Commit)]:
        apart = running.worker.on(CommitReturned(commits[0].transaction, CommitOutcome.COMMITTED), running.now_ms)
    assert running.worker.has_work(running.now_ms)


# --- corrupt state ---------------------------------------------------------------------------------------------------


class CorruptTask(Task):
    """Notices at event 200 that its state is wrong, as often as it is told to."""

    times = 1

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """Learns, and then says that it must not be believed."""
        outputs = super().process(batch, now_ms)
        if batch.topic == "payments" and 200 in batch.offsets[: outputs.taken] and CorruptTask.times:
            CorruptTask.times -= 1
            raise TaskCorrupted(f"partition {self.partition}: event 200")
        return outputs


def corrupt(memory: MemoryBroker, times: int, monkeypatch: pytest.MonkeyPatch, commit_interval_ms: int = 1) -> Running:
    """A worker whose tasks turn out corrupt so many times."""
    monkeypatch.setattr(CorruptTask, "times", times)
    running = Running(memory)
    chosen = WorkerSettings(commit_interval_ms=commit_interval_ms)
    running.worker = Worker(lambda part, epoch: CorruptTask(plan_with_labels(), part, epoch, FORMAT), chosen)
    return running


def test_a_task_that_turns_out_corrupt_is_restored_from_what_is_committed(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it learned behind its last commit is discarded with it, and nothing is lost."""
    running = run(corrupt(memory, 1, monkeypatch), 0)

    assert state_of(running) == state_of_journal(memory)
    assert memory.committed[TopicPartition("payments", 0)].next_offset == 400
    because = [each.because for each in running.seen if isinstance(each, FindTask)]
    assert because == ["", "partition 0: event 200"]


def test_a_task_that_is_corrupt_again_at_the_same_cycle_stops(
    both: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second restore would lead to the same place; the other task goes on."""
    running = run(corrupt(both, 2, monkeypatch), 0, 1)

    assert states(running) == {0: TaskState.FAILED, 1: TaskState.RUNNING}
    (stopped,) = (each for each in running.seen if isinstance(each, StopTask))
    assert (stopped.partition, str(stopped.error)) == (0, "partition 0: event 200")
    assert both.committed[TopicPartition("payments", 1)].next_offset == 100
    assert both.committed[TopicPartition("payments", 0)].next_offset <= 200
    again = run(Running(both), 0)
    assert state_of(again) == state_of_journal(both)


def test_a_corrupt_task_is_looked_for_once_its_commit_is_known(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that what Kafka remembers of it may be outdated while it is being read."""
    running = corrupt(memory, 1, monkeypatch, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    while not running.worker.slots[0].task.next_offsets[LABELS]:
        running.step(10)
    running.worker.schedule.due_ms = 0
    instructions = running.worker.work(running.now_ms, 30)
    (commit,) = (each for each in instructions if isinstance(each, Commit))
    running.perform(instructions, but_the_last=1)
    seen = [each for _ in range(40) for each in running.worker.work(running.now_ms, 30)]

    assert [slot.state for slot in running.worker.slots] == [TaskState.CREATED]
    assert not any(isinstance(each, FindTask) for each in seen)
    answered = running.worker.on(CommitReturned(commit.transaction, CommitOutcome.COMMITTED), running.now_ms)
    assert [each.partition for each in answered if isinstance(each, FindTask)] == [0]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_snapshot_that_cannot_be_loaded_falls_back_to_the_one_before_and_to_the_beginning(
    memory: MemoryBroker, kept: int
) -> None:
    """Its checksum is right and its arrays do not fit: the older one is loaded, without one the journal is replayed."""
    first = Running(memory, snapshot_interval_ms=3)
    run(first, 0)
    assert first.count(PublishSnapshot) > 2
    checkpoints = memory.checkpoints[0]
    newest = checkpoints[-1]
    spoilt = dict(newest.arrays) | {next(iter(newest.arrays)): np.zeros(3, np.int64)}
    checkpoints[:] = [*checkpoints[2 - kept : -1], replace(newest, arrays=spoilt)][-2:]

    second = run(Running(memory), 0)

    assert state_of(second) == state_of_journal(memory)
    looked = [each for each in second.seen if isinstance(each, FindTask)]
    assert [list(each.without) for each in looked] == [[], [newest.digest]]


def test_what_a_task_needs_and_cannot_read_stops_it_once_it_was_looked_for_again(both: MemoryBroker) -> None:
    """Records that retention removed: reading is tried once more, and then it is this task's end."""
    running = run(Running(both), 0, 1)
    running.tell(Corrupted(1, "offset 7 is not in the log"))
    while running.step():
        pass
    assert states(running) == {0: TaskState.RUNNING, 1: TaskState.RUNNING}
    running.tell(Corrupted(1, "offset 7 is not in the log"))

    assert states(running) == {0: TaskState.RUNNING, 1: TaskState.FAILED}


def unreadable_journal(memory: MemoryBroker) -> None:
    """Its first half is gone, and so are the snapshots."""
    topic = TopicPartition(FORMAT.topics.journal, 0)
    memory.topics[topic] = memory.topics[topic][len(memory.topics[topic]) // 2 :]
    memory.checkpoints[0].clear()


def damaged_journal(memory: MemoryBroker) -> None:
    """A record that is none."""
    records = memory.topics[TopicPartition(FORMAT.topics.journal, 0)]
    records[1] = replace(records[1], value=b"?")


@pytest.mark.parametrize("harm", [unreadable_journal, damaged_journal])
def test_a_task_that_cannot_be_restored_stops_and_the_others_are_served(
    both: MemoryBroker, harm: Callable[[MemoryBroker], None]
) -> None:
    """TaskCorrupted of one partition is no reason to stop another."""
    run(Running(both), 0)
    harm(both)
    running = run(Running(both), 0, 1)

    assert states(running) == {0: TaskState.FAILED, 1: TaskState.RUNNING}
    assert both.committed[TopicPartition("payments", 1)].next_offset == 100
