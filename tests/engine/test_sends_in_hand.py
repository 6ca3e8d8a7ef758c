"""What left at once stays in hand until its cycle is committed, whatever became of the commit that told of its loss."""

from stream.engine.protocol import Assigned, CommitOutcome, CommitReturned, Instruction, Lost, Send
from stream.records import TopicPartition
from tests.engine.build import T0, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import Running


class SlowCommits(Running):
    """A worker whose commits are answered when the test says so."""

    withheld: CommitReturned | None = None

    def perform(self, instructions: list[Instruction], but_the_last: int = 0) -> None:
        """Perform them; of a commit nothing is told yet."""
        super().perform(instructions, but_the_last)
        for event in list(self._events):
            if isinstance(event, CommitReturned):
                self._events.remove(event)
                self.withheld = event


def test_a_loss_that_another_task_s_commit_tells_of_is_made_good_though_that_task_is_gone(memory: MemoryBroker) -> None:
    """Task 0's commit is in flight, task 1 sends, task 0 is lost, and the answer is that a batch did not arrive."""
    running = SlowCommits(memory, is_immediate=True)
    running.tell(Assigned((0, 1)))
    while running.withheld is None:
        running.step()
    for number, (key, value) in enumerate(payments(10, seed=9)):
        memory.append(TopicPartition("payments", 1), key, value, T0 + number)
    sent = running.worker._transactions._open.sent
    while not (mine := [item.outputs for item in sent if item.task[0] == 1]):
        running.step()

    running.tell(Lost((0,)))
    before = len(running.seen)
    running.tell(CommitReturned(running.withheld.transaction, CommitOutcome.REFUSED, "a batch did not arrive"))
    assert [each.outputs for each in running.seen[before:] if isinstance(each, Send)] == mine
