"""When snapshots are written: at a stop, after a failure, when a clock was set back, and when nothing comes."""

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import (
    Assigned,
    Commit,
    Corrupted,
    Instruction,
    PublishSnapshot,
    Revoked,
    SnapshotPublished,
    Stop,
    StopRequested,
)
from stream.records import TopicPartition
from tests.engine.build import T0, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, Running


class SlowStore(Running):
    """A worker whose snapshots are stored when the test says so."""

    withheld: list[SnapshotPublished]

    def perform(self, instructions: list[Instruction], but_the_last: int = 0) -> None:
        """Perform them; of snapshots nothing is told yet."""
        super().perform(instructions, but_the_last)
        answers = [event for event in self._events if isinstance(event, SnapshotPublished)]
        self.withheld = [*getattr(self, "withheld", []), *answers]
        for answer in answers:
            self._events.remove(answer)


def cycles_written(running: Running) -> list[int]:
    """Cycles of the snapshots that were asked for."""
    return [each.checkpoint.cycle for each in running.seen if isinstance(each, PublishSnapshot)]


def ended(running: Running) -> Stop | None:
    """How the worker ended, if it did."""
    return running.connection.stopped


def test_a_stop_waits_for_the_last_snapshot_behind_one_that_is_being_written(memory: MemoryBroker) -> None:
    """An upgrade needs that of the last cycle: the answer to the one before is not the answer to it."""
    running = SlowStore(memory, snapshot_interval_ms=0)
    running.finish_from_the_start()
    assert cycles_written(running) == [1]
    running.tell(StopRequested())
    (slot,) = running.worker.slots
    assert cycles_written(running) == [1, slot.task.cycle]

    running.tell(running.withheld[0])
    assert ended(running) is None
    running.tell(running.withheld[1])
    assert ended(running) == Stop(None)


def test_a_stop_writes_again_what_could_not_be_written_and_tries_that_once(memory: MemoryBroker) -> None:
    """The disk was full at the last cycle's snapshot; it still is."""
    running = SlowStore(memory, snapshot_interval_ms=0)
    running.finish_from_the_start()
    running.tell(running.withheld[0])
    key, value = payments(1)[0]
    memory.append(EVENTS, key, value, T0 + 1000)
    running.finish()
    last = running.worker.slots[0].task.cycle
    assert cycles_written(running) == [1, last]
    running.tell(SnapshotPublished(0, last, "no space left on device"))

    running.tell(StopRequested())
    assert cycles_written(running) == [1, last, last]
    running.tell(SnapshotPublished(0, last, "no space left on device"))
    assert cycles_written(running) == [1, last, last]
    assert ended(running) == Stop(None)


def test_a_clock_that_was_set_back_puts_no_snapshot_off(memory: MemoryBroker) -> None:
    """By an hour, where they are due every minute."""
    running = Running(memory, snapshot_interval_ms=60_000)
    running.tell(Assigned((0,)))
    for _ in range(4):
        running.step()
    assert cycles_written(running) == []
    running.now_ms -= 3_600_000
    running.finish()
    assert len(cycles_written(running)) == 1


def test_rule_22_what_came_before_a_silence_is_in_a_snapshot_an_interval_later(memory: MemoryBroker) -> None:
    """A kill behind it replays nothing; and what does not change is not written again."""
    running = Running(memory, snapshot_interval_ms=60_000)
    running.finish_from_the_start()
    cycle = running.worker.slots[0].task.cycle
    assert cycles_written(running) == []
    running.now_ms += 59_000
    running.step()
    assert cycles_written(running) == []
    for _ in range(3):
        running.now_ms += 60_000
        running.step()
    assert cycles_written(running) == [cycle]

    restarted = Running(memory)
    restarted.tell(Assigned((0,)))
    assert [slot.state for slot in restarted.worker.slots] == [TaskState.RUNNING]


def test_a_silence_is_no_reason_to_snapshot_what_is_not_committed_yet(memory: MemoryBroker) -> None:
    """The commit takes longer than the interval: its cycle is in no snapshot before it has returned."""
    running = Running(memory, snapshot_interval_ms=60_000)
    running.finish_from_the_start()
    key, value = payments(1)[0]
    memory.append(EVENTS, key, value, T0 + 1000)
    for event in running.connection.fetch(1):
        running.tell(event)
    running.now_ms += 10
    commit = running.worker.work(running.now_ms, 1)
    running.perform(commit, but_the_last=1)
    assert isinstance(commit[-1], Commit)
    running.now_ms += 120_000
    running.perform(running.worker.work(running.now_ms, 1000))
    assert cycles_written(running) == []

    running.perform(commit[-1:])
    running.finish()
    assert cycles_written(running) == [running.worker.slots[0].task.cycle]


def test_rule_22_a_silent_task_is_snapshotted_though_another_of_its_worker_is_never_silent(
    memory: MemoryBroker,
) -> None:
    """One task or the other is committed at each interval: nothing waits for a moment without a commit."""
    other = TopicPartition("payments", 1)
    running = Running(memory, snapshot_interval_ms=60_000)
    running.tell(Assigned((0, 1)))
    running.finish()
    silent, busy = running.worker.slots
    for number, (key, value) in enumerate(payments(200, seed=9)):
        memory.append(other, key, value, T0 + number)
        running.now_ms += 1000
        running.step()
    written = [each.checkpoint for each in running.seen if isinstance(each, PublishSnapshot)]
    assert [each.cycle for each in written if each.partition == 0] == [silent.task.cycle]
    assert len([each for each in written if each.partition == 1]) == 3
    assert busy.task.cycle > 3


def test_a_worker_that_is_left_with_failed_tasks_alone_ends_with_the_reason(memory: MemoryBroker) -> None:
    """The one that was well is given back: nobody would serve the other, and few would notice."""
    other = TopicPartition("payments", 1)
    for number, (key, value) in enumerate(payments(100, seed=9)):
        memory.append(other, key, value, T0 + number)
    running = Running(memory)
    running.tell(Assigned((0, 1)))
    running.finish()
    for _ in range(2):
        running.tell(Corrupted(1, "its records are gone"))
    assert {slot.task.partition: slot.state for slot in running.worker.slots} == {
        0: TaskState.RUNNING,
        1: TaskState.FAILED,
    }
    assert ended(running) is None
    running.tell(Revoked((0,)))
    stop = ended(running)
    assert stop is not None
    assert "its records are gone" in str(stop.error)
