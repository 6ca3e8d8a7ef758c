"""What users of other systems complained about (a list kept with the design), one test each; here without a broker.

The others: a slow batch, a silent consumer (tests/runtime/test_complaints.py), the cardinality of metric labels
(tests/runtime/test_metrics.py), a snapshot of an older version (tests/storage/test_releases.py).
"""

import orjson
import pytest

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import Assigned, Release, Revoked
from stream.engine.small_avro import decode_small
from stream.records import TopicPartition
from stream.testing import Driver
from tests.engine.build import (
    EVENT_SCHEMA,
    FORMAT,
    LABEL_SCHEMA,
    T0,
    declare,
    payments,
)
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, state_of, state_of_journal

AMOUNT = 50.0


def test_a_rebalance_during_recovery(memory: MemoryBroker) -> None:
    """A task that is restored is taken away in the middle, and the next owner begins again: nothing shows."""
    first = Running(memory)
    first.tell(Assigned((0,)))
    for _ in range(8):
        first.step()
    crashed_at = len(predicted_offsets(memory))
    assert crashed_at > 0
    second = Running(memory)
    second.tell(Assigned((0,)))
    second.step(records=10)
    (slot,) = second.worker.slots
    assert slot.state is TaskState.RESTORING

    second.tell(Revoked((0,)))
    assert second.count(Release) == 1
    assert len(predicted_offsets(memory)) == crashed_at
    third = Running(memory).finish_from_the_start()

    offsets = predicted_offsets(memory)
    assert len(offsets) == len(set(offsets)) > crashed_at
    assert state_of(third) == state_of_journal(memory)


def test_a_committed_offset_expired(memory: MemoryBroker) -> None:
    """Brokers forget a group after a week: the journal says where the task was, and nothing is handled again."""
    Running(memory).finish_from_the_start()
    handled = predicted_offsets(memory)
    memory.committed.clear()
    after = Running(memory).finish_from_the_start()
    assert predicted_offsets(memory) == handled
    assert state_of(after) == state_of_journal(memory)


def test_a_bad_record_inside_a_batch() -> None:
    """One record in the middle is cut short: it alone is rejected, and the others score as if it had not been there."""
    good = [record for record in payments(60) if record[0] is not None][:40]
    damaged = [*good[:20], (b"card1", (good[20][1] or b"")[:9]), *good[20:]]
    scores = []
    for records in (good, damaged):
        broker = MemoryBroker(["payments", "chargebacks"], FORMAT.topics.journal, _schemas())
        for number, (key, value) in enumerate(records):
            broker.append(EVENTS, key, value, T0 + number)
        Running(broker).finish_from_the_start()
        scores.append(
            [decode_small("prediction", value[5:])["score"] for value in broker.values("app.predictions") if value]
        )
    assert scores[0] == scores[1]


def test_the_serving_copy_of_weights_really_changes() -> None:
    """What is learned shows in the next prediction, of a worker as users run it: the same event scores otherwise."""
    driver = Driver(declare(has_label_topic=False), start_ms=T0)
    scores = []
    for number in range(60):
        value = {
            "id": f"p{number}",
            "card": "c",
            "amount": AMOUNT,
            "at": T0,
            "text": "",
            "fraud": number % 30 != 29 or None,
        }
        driver.send("payments", value)
        scores.append(driver.predictions()[-1]["score"])
    assert scores[0] == pytest.approx(0.5)
    assert scores[-1] > 0.6
    assert len(set(scores[:29])) == 29


def test_a_second_replica_joining_with_large_state() -> None:
    """It restores for hundreds of steps; whoever has the other partition commits meanwhile as it did before."""
    broker = MemoryBroker(["payments", "chargebacks"], FORMAT.topics.journal, _schemas())
    for number, (key, value) in enumerate(payments(1000)):
        broker.append(TopicPartition("payments", 1), key, value, T0 + number)
    gone = Running(broker)
    gone.tell(Assigned((1,)))
    gone.finish()
    for number, (key, value) in enumerate(payments(400)):
        broker.append(EVENTS, key, value, T0 + number)

    first, second = Running(broker), Running(broker)
    first.tell(Assigned((0,)))
    second.tell(Assigned((1,)))
    committed = []
    while second.worker.slots[0].state is not TaskState.RUNNING:
        second.step(records=25)
        first.step(records=25)
        committed.append(broker.committed[EVENTS].next_offset if EVENTS in broker.committed else 0)
    assert len(committed) >= 1000 / 25
    assert committed[:16] == sorted(set(committed[:16])), "the first stood still"
    assert broker.committed[EVENTS].next_offset == 400


def test_a_save_that_changes_later_predictions(memory: MemoryBroker) -> None:
    """A worker that snapshots at every commit writes the same bytes as one that never does."""
    never, always = (Running(_copy(memory), snapshot_interval_ms=interval_ms) for interval_ms in (10**9, 0))
    written = []
    for running in (never, always):
        running.finish_from_the_start()
        written.append(running.connection.broker.values("app.predictions"))
    assert written[0] == written[1]
    assert len(always.connection.broker.checkpoints[0]) == 2
    assert state_of(never) == state_of(always)


def _schemas() -> dict[int, str]:
    return {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()}


def _copy(memory: MemoryBroker) -> MemoryBroker:
    copied = MemoryBroker(memory.inputs, memory.journal, memory.schemas)
    for source in (EVENTS, LABELS):
        copied.topics[source] = list(memory.topics[source])
    return copied
