"""A state too large to be copied at once: a snapshot waits until little of it is left, and is right all the same."""

from stream.engine.protocol import Assigned, PublishSnapshot
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.records import TopicPartition
from tests.engine.build import FORMAT, plan_with_labels
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, Running, state_of, state_of_journal

LITTLE = 30_000  # the rows that wait for labels alone are more


class CopyingAhead(Running):
    """Snapshots are always due; of a state at most `LITTLE` bytes are copied at a cycle's end, and so many a turn."""

    def __init__(self, broker: MemoryBroker, ahead_bytes: int) -> None:
        super().__init__(broker)
        settings = WorkerSettings(commit_interval_ms=1, snapshot_interval_ms=0, copied_bytes=LITTLE)
        self.worker = Worker(lambda partition, epoch: Task(plan_with_labels(), partition, epoch, FORMAT), settings)
        self.ahead_bytes = ahead_bytes
        self.copied = 0

    def step(self, records: int = 37) -> bool:
        """As the runtime: a slice of work, then a piece of the copy."""
        did_something = super().step(records)
        copied = self.worker.copy_ahead(self.ahead_bytes)
        assert copied < self.ahead_bytes + (1 << 20)
        self.copied += copied
        return did_something


def test_a_snapshot_that_is_copied_ahead_is_that_of_its_cycle(memory: MemoryBroker) -> None:
    """Several are published on the way; a worker that begins with the last one ends where the journal does."""
    running = CopyingAhead(memory, LITTLE)
    running.tell(Assigned((0,)))
    for _ in range(25):
        running.step()
    snapshots = running.count(PublishSnapshot)
    assert snapshots > 1
    assert running.copied > 4 * LITTLE

    again = CopyingAhead(memory, LITTLE).finish_from_the_start()  # the first one has crashed
    assert state_of(again) == state_of_journal(memory)


def test_until_enough_is_copied_there_is_no_snapshot(memory: MemoryBroker) -> None:
    """And none that would hold the task up."""
    running = CopyingAhead(memory, 0)
    running.finish_from_the_start()
    assert running.count(PublishSnapshot) == 0
    assert running.copied == 0


def test_each_task_has_its_turn_however_little_is_copied_at_once(memory: MemoryBroker) -> None:
    """Two tasks that are due together: one piece is copied of the one, the next of the other."""
    memory.topics[TopicPartition("payments", 1)] = list(memory.topics[EVENTS])
    running = CopyingAhead(memory, 0)
    running.tell(Assigned((0, 1)))
    running.finish()
    copied = [running.worker.copy_ahead(1) for _ in range(2)]
    assert all(0 < piece <= 1 << 20 for piece in copied)
