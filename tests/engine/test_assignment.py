"""A task that is assigned while a transaction is open (rule 7)."""

from stream.engine.effects import OutputBatch
from stream.engine.protocol import Assigned, Commit, CommitOutcome, CommitReturned, FindTask, Produce, Release, Revoked
from stream.engine.small_avro import decode_small
from stream.records import TopicPartition
from tests.engine.build import FORMAT, T0, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import Running, predicted_offsets, state_of, state_of_journal

INTERVAL_MS = 1_000_000


def test_rule_7_outputs_of_a_task_never_enter_a_transaction_begun_before_it_was_assigned(memory: MemoryBroker) -> None:
    """Such a transaction's membership is older than the assignment: the new task waits until it is over."""
    other = TopicPartition("payments", 1)
    for number, (key, value) in enumerate(payments(100, seed=9)):
        memory.append(other, key, value, T0 + number)
    running = Running(memory, commit_interval_ms=INTERVAL_MS)
    running.tell(Assigned((0,)))
    while not produced(running, transaction=2):
        running.step(20)

    running.tell(Assigned((1,)))
    for _ in range(40):
        running.step(20)
    before = running.seen.copy()
    running.now_ms += INTERVAL_MS
    running.finish()

    assert not any(isinstance(instruction, Commit) and instruction.transaction == 2 for instruction in before)
    assert partitions(produced(running, transaction=2)) == {0}
    assert partitions(produced(running, transaction=3)) == {1}
    (second,) = (each for each in running.seen if isinstance(each, Commit) and each.transaction == 2)
    assert {source.partition for source in second.offsets} == {0}


def test_rule_16_whoever_was_expelled_while_it_holds_what_was_asked_back_lets_go_of_it(memory: MemoryBroker) -> None:
    """Its commits are refused until then. Of what it gives up nothing is committed, of the rest everything."""
    other = TopicPartition("payments", 1)
    for number, (key, value) in enumerate(payments(100, seed=9)):
        memory.append(other, key, value, T0 + number)
    running = Running(memory, commit_interval_ms=INTERVAL_MS)
    running.tell(Assigned((0, 1)))
    running.step(20)
    while not {0, 1} <= {slot.task.partition for slot in running.worker.slots if slot.has_open_cycle}:
        running.step(20)
    before, predicted = memory.values(FORMAT.topics.journal), memory.values(FORMAT.topics.predictions)

    instructions = running.worker.on(Revoked((0,)), running.now_ms)
    for _ in range(3):
        assert not any(isinstance(each, Release) for each in instructions)
        running.perform(instructions, but_the_last=1)
        commit = instructions[-1]
        assert isinstance(commit, Commit)
        assert {source.partition for source in commit.offsets} == {0, 1}
        refused = CommitReturned(commit.transaction, CommitOutcome.REFUSED)
        instructions = running.worker.on(refused, running.now_ms)
    assert [each for each in instructions if isinstance(each, Release)] == [Release((0,))]
    running.perform(instructions)
    running.now_ms += INTERVAL_MS
    running.finish()

    assert memory.values(FORMAT.topics.journal) == before
    later = [value for value in memory.values(FORMAT.topics.predictions)[len(predicted) :] if value]
    assert {decode_small("prediction", value[5:])["partition"] for value in later} == {1}
    (left,) = running.worker.slots
    assert left.task.next_offsets[other] == 100


def produced(running: Running, transaction: int) -> list[OutputBatch]:
    """The predictions that went into a transaction so far."""
    batches = [
        batch
        for each in running.seen
        if isinstance(each, Produce) and each.transaction == transaction
        for batch in each.outputs
    ]
    return [batch for batch in batches if batch.topic == FORMAT.topics.predictions]


def partitions(predictions: list[OutputBatch]) -> set[int]:
    """Of the events that were predicted."""
    return {
        decode_small("prediction", batch.data[start + 5 : end].tobytes())["partition"]
        for batch in predictions
        for start, end in batch.values.tolist()
    }


def test_records_that_were_handed_over_before_are_not_learned_again(memory: MemoryBroker) -> None:
    """Whoever fetches must not repeat any; should it, the task is restored from what is committed."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    first = running.connection.fetch(100)
    running.tell(first[0])
    running.tell(first[0])
    assert running.count(FindTask) == 2
    running.finish()
    offsets = predicted_offsets(memory)
    assert len(offsets) == len(set(offsets)) > 300
    assert state_of(running) == state_of_journal(memory)
