"""Inputs that change under a task (rule 20): another topic of the same name is refused, gone records hold it back."""

from dataclasses import replace

import orjson
import pytest

from stream.engine.input_topics import topics_of
from stream.engine.journal import JournalRecord, Range
from stream.engine.protocol import (
    Assigned,
    CommitReturned,
    InputsWatched,
    PublishSnapshot,
    SnapshotPublished,
    Stop,
    TopicIdentity,
)
from stream.engine.restore import Replay
from stream.errors import TaskCorrupted
from tests.engine.build import EVENT_SCHEMA, LABEL_SCHEMA, T0, chargebacks, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, state_of, state_of_journal

SCHEMAS = {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()}


@pytest.fixture
def broker() -> MemoryBroker:
    """With 300 payments and some of their labels."""
    broker = MemoryBroker(["payments", "chargebacks"], "app.journal", SCHEMAS)
    broker.identities = {"payments": TopicIdentity("one", 4), "chargebacks": TopicIdentity("two", 4)}
    append(broker, 300)
    for key, value in chargebacks(range(0, 100, 3)):
        broker.append(LABELS, key, value, T0 + 400)
    return broker


def append(broker: MemoryBroker, count: int, seed: int = 1) -> None:
    """Payments, a millisecond apart."""
    for number, (key, value) in enumerate(payments(count, seed)):
        broker.append(EVENTS, key, value, T0 + number)


def test_rule_20_a_topic_made_anew_is_refused(broker: MemoryBroker) -> None:
    """Between stop and start the events' topic was deleted and made again: the task does not begin, and says so."""
    running = Running(broker, snapshot_interval_ms=1).finish_from_the_start()
    assert topics_of(broker.checkpoints[0][-1]) == broker.identities
    del running
    broker.identities["payments"] = TopicIdentity("another", 4)

    again = Running(broker)
    again.tell(Assigned((0,)))

    assert again.connection.stopped is not None
    assert isinstance(again.connection.stopped.error, TaskCorrupted)
    assert "topic payments was deleted and made again" in str(again.connection.stopped.error)
    assert "(its id was one, now it is another)" in str(again.connection.stopped.error)
    assert "Starting a task anew" in str(again.connection.stopped.error)


def test_more_partitions_are_no_other_topic(broker: MemoryBroker) -> None:
    """The records that a snapshot is of are still there: the task goes on, and its next snapshot has the new count."""
    Running(broker, snapshot_interval_ms=1).finish_from_the_start()
    broker.identities["payments"] = TopicIdentity("one", 8)
    append(broker, 100, seed=2)
    again = Running(broker, snapshot_interval_ms=1).finish_from_the_start()
    assert topics_of(broker.checkpoints[0][-1])["payments"] == TopicIdentity("one", 8)
    assert state_of(again) == state_of_journal(broker)


def test_rule_20_a_task_that_is_held_back_takes_nothing_and_makes_a_snapshot(broker: MemoryBroker) -> None:
    """Its open cycle is committed, then a snapshot is due whatever the interval; once it may, it goes on as ever."""
    running = Running(broker, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    for _ in range(4):
        running.step()
    (slot,) = running.worker.slots
    before = slot.task.next_offsets[EVENTS]
    assert 0 < before < 300
    assert slot.task.has_open_cycle

    running.tell(InputsWatched(0, "records are gone"))
    for _ in range(4):
        running.step()

    assert (slot.task.next_offsets[EVENTS], slot.task.has_open_cycle) == (before, False)
    assert running.count(PublishSnapshot) == 0
    running.tell(InputsWatched(0, "records are gone"))  # told again and again
    running.step()
    assert broker.checkpoints[0][-1].next_offsets[EVENTS] == before
    running.tell(InputsWatched(0, "records are gone"))  # the older of the two snapshots is in the way as well
    running.step()
    assert [each.cycle for each in broker.checkpoints[0]] == [slot.task.cycle] * 2
    running.tell(InputsWatched(0, "the topic was made anew"))  # both are of this cycle: one more could not help
    assert running.count(PublishSnapshot) == 2
    assert running.count(Stop) == 0

    running.tell(InputsWatched(0, ""))
    running.finish()
    running.tell(InputsWatched(0, "records are gone"))  # commits what is open
    assert len(predicted_offsets(broker)) > 250
    assert state_of(running) == state_of_journal(broker)


def test_a_snapshot_of_a_task_that_is_held_back_waits_for_the_commit_and_for_the_one_before(
    broker: MemoryBroker,
) -> None:
    """Rule 22: it leaves once its cycle's commit has returned; and one at a time."""
    running = Running(broker, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    for _ in range(4):
        running.step()
    committing = running.worker.on(InputsWatched(0, "gone"), running.now_ms)
    assert committing
    assert running.worker.is_committing
    assert running.worker.on(InputsWatched(0, "gone"), running.now_ms) == []
    events = [event for instruction in committing for event in running.connection.perform(instruction)]
    (returned,) = (event for event in events if isinstance(event, CommitReturned))
    running.worker.on(returned, running.now_ms)
    (publish,) = running.worker.on(InputsWatched(0, "gone"), running.now_ms)
    assert isinstance(publish, PublishSnapshot)
    assert running.worker.on(InputsWatched(0, "gone"), running.now_ms) == []
    running.worker.on(SnapshotPublished(0, publish.checkpoint.cycle), running.now_ms)
    for error in ("the broker does not answer", "", "nobody asks for more"):
        again = running.worker.on(InputsWatched(0, "gone"), running.now_ms)
        assert [type(each) for each in again] == ([] if error.startswith("nobody") else [PublishSnapshot])
        running.worker.on(SnapshotPublished(0, publish.checkpoint.cycle, error), running.now_ms)
    assert running.worker.on(InputsWatched(7, "gone"), running.now_ms) == []  # another worker's by now


def test_what_is_replayed_is_not_held_back(broker: MemoryBroker) -> None:
    """A restore reads what was committed: it ends, and then the task waits."""
    Running(broker, snapshot_interval_ms=1_000_000).finish_from_the_start()
    append(broker, 100, seed=2)
    again = Running(broker)
    again.tell(Assigned((0,)))
    again.tell(InputsWatched(0, "gone"))
    while again.step():
        pass
    assert state_of(again) == state_of_journal(broker)
    again.tell(InputsWatched(0, ""))
    again.finish()
    assert len(predicted_offsets(broker)) > 350
    assert state_of(again) == state_of_journal(broker)


def test_the_journal_says_how_many_partitions_keys_were_spread_over(broker: MemoryBroker) -> None:
    """Records are compared with the count of their cycle: a replay under another count gives the same state."""
    Running(broker, snapshot_interval_ms=1_000_000).finish_from_the_start()
    broker.identities = {name: replace(topic, partitions=6) for name, topic in broker.identities.items()}
    append(broker, 200, seed=2)
    again = Running(broker, snapshot_interval_ms=1_000_000).finish_from_the_start()
    assert state_of(again) == state_of_journal(broker)
    (slot,) = again.worker.slots
    seen, misplaced = slot.task.state.other_partitions.counters[:2].tolist()
    assert 20 < seen < 100  # one in eight of 500
    assert 0 < misplaced < seen


@pytest.mark.parametrize(("partitions", "at_once"), [((4, 4), 50), ((4, 6), 20)])
def test_cycles_of_other_partition_counts_are_replayed_apart(partitions: tuple[int, int], at_once: int) -> None:
    """20 records of one cycle and 30 of the next: at once where keys were spread over as many partitions."""
    cycles = [
        JournalRecord(1, "", "plan", 1, (Range("payments", 0, 0, 19, 20, T0),), (), partitions=partitions[0]),
        JournalRecord(2, "", "plan", 1, (Range("payments", 0, 20, 49, 30, T0),), (), partitions=partitions[1]),
    ]
    assert Replay(cycles).wanted(1_000) == at_once
