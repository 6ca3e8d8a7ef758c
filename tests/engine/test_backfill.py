"""A backfill learns from the past without a word of it, whatever happens on the way."""

from dataclasses import replace
from typing import Any

import pytest

from stream.engine import journal
from stream.engine.journal import Backfill, JournalRecord, Range
from stream.engine.protocol import Assigned, FindTask, Produce, TaskFound
from stream.engine.restore import find_beginning
from stream.engine.small_avro import decode_small
from stream.engine.snapshot import Checkpoint
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.errors import ConfigError
from tests.engine.build import FORMAT, T0, plan_with_labels
from tests.engine.memory_broker import MemoryBroker, MemoryConnection
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, state_of, state_of_journal

# Events of the broker in memory come one a millisecond from T0 on, 400 of them.
EMIT_FROM = T0 + 250
BACKFILL = Backfill(None, EMIT_FROM)
TOLD = WorkerSettings(commit_interval_ms=1, snapshot_interval_ms=1_000_000, backfill=BACKFILL)


class Backfilling(Running):
    """A worker that was told to backfill."""

    def __init__(self, broker: MemoryBroker, settings: WorkerSettings = TOLD) -> None:
        super().__init__(broker)
        self.worker = Worker(lambda partition, epoch: Task(plan_with_labels(), partition, epoch, FORMAT), settings)


def cycles(memory: MemoryBroker) -> list[JournalRecord]:
    """The committed journal."""
    return [journal.decode(value) for value in memory.values(FORMAT.topics.journal) if value is not None]


def timestamps(memory: MemoryBroker, offsets: list[int]) -> list[int]:
    """Of these events."""
    return [memory.topics[EVENTS][offset].timestamp_ms for offset in offsets]


def test_the_past_is_learned_and_not_told(memory: MemoryBroker) -> None:
    """State is that of a run that tells everything; predictions and dead letters begin at the time that was said."""
    everything = copy_of(memory)
    state = state_of(Running(everything).finish_from_the_start())
    running = Backfilling(memory).finish_from_the_start()
    expected = [offset for offset in predicted_offsets(everything) if offset >= 250]
    assert predicted_offsets(memory) == expected != []
    assert state_of(running) == state_of_journal(memory) == state
    assert {record.backfill for record in cycles(memory)} == {BACKFILL}


def test_dead_letters_and_alerts_of_the_past_are_not_written(memory: MemoryBroker) -> None:
    """Rejected events on each side of the time, in their order: those of the later side are what everybody reads."""
    for number in range(1_000):
        memory.append(EVENTS, b"card", b"\0\0\0\0\x01?", EMIT_FROM + (1 if number % 100 == 50 else -1))
    everything = copy_of(memory)
    Running(everything).finish_from_the_start()
    Backfilling(memory).finish_from_the_start()
    topic = EVENTS._replace(topic=FORMAT.topics.dead_letters)
    letters = [letter for letter in everything.topics[topic] if letter.timestamp_ms >= EMIT_FROM]
    assert 10 <= len(letters) < len(everything.topics[topic])
    assert [letter.value for letter in memory.topics[topic]] == [letter.value for letter in letters]
    alerts = FORMAT.topics.alerts
    assert (len(memory.values(alerts)), len(everything.values(alerts))) == (0, 1)


def copy_of(memory: MemoryBroker) -> MemoryBroker:
    """Another broker with the same inputs."""
    other = MemoryBroker(memory.inputs, memory.journal, memory.schemas)
    other.topics |= {source: list(records) for source, records in memory.topics.items()}
    return other


@pytest.mark.parametrize("is_told_again", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_a_restart_goes_on_with_what_was_said_first(memory: MemoryBroker, steps: int, is_told_again: bool) -> None:
    """A crash in the middle; the next start is told the same, or nothing: none of the past is told, nothing twice."""
    first = Backfilling(memory)
    first.tell(Assigned((0,)))
    for _ in range(steps):
        first.step(20)
    again = Backfilling(memory) if is_told_again else Running(memory)
    again.finish_from_the_start()
    told = timestamps(memory, predicted_offsets(memory))
    assert min(told) == EMIT_FROM
    assert len(told) == len(set(told))
    assert state_of_journal(memory) == state_of(again)


def test_what_was_said_is_journaled_before_the_first_record(memory: MemoryBroker) -> None:
    """A partition without records: its first cycle says so, and holds for a start that is told nothing."""
    events, labels = memory.topics.pop(EVENTS), memory.topics.pop(LABELS)
    Backfilling(memory).finish_from_the_start()
    (record,) = cycles(memory)
    assert (record.cycle, record.ranges, record.backfill) == (1, (), BACKFILL)
    assert {source: at.next_offset for source, at in memory.committed.items()} == {EVENTS: 0, LABELS: 0}
    memory.topics |= {EVENTS: events, LABELS: labels}
    running = Running(memory).finish_from_the_start()
    assert min(timestamps(memory, predicted_offsets(memory))) == EMIT_FROM
    assert state_of_journal(memory) == state_of(running)


def test_rule_7_the_first_cycle_waits_as_outputs_do(memory: MemoryBroker) -> None:
    """It never enters a transaction that was begun before the task was assigned."""
    running = Backfilling(memory)
    running.tell(Assigned((0,)))
    slot = running.worker.slots[0]
    slot.ready_after = 1  # a transaction that is not over
    running.perform(running.worker.work(running.now_ms + 1, 10))
    assert running.count(Produce) == 0
    slot.ready_after = 0
    running.perform(running.worker.work(running.now_ms + 2, 10))
    assert running.count(Produce) == 1


def found(memory: MemoryBroker, **changes: Any) -> TaskFound:
    """A task of the broker in memory."""
    (task,) = MemoryConnection(memory).perform(FindTask(0))
    assert isinstance(task, TaskFound)
    return replace(task, **changes)


def begin(task: TaskFound, backfill: Backfill | None, offset_reset: str = "latest") -> Any:
    """Where it begins."""
    plan = plan_with_labels()
    return find_beginning(task, (EVENTS, LABELS), plan.digest, offset_reset, backfill)


def test_reading_begins_where_it_was_said(memory: MemoryBroker) -> None:
    """From the beginning whatever offset_reset says; from a time at the offsets of that time, in every input."""
    new = found(memory, beginnings={EVENTS: 7, LABELS: 3}, since={EVENTS: 40, LABELS: 12})
    assert begin(new, Backfill(None, 0)).starts == {EVENTS: 7, LABELS: 3}
    assert begin(new, Backfill(T0 + 5, 0)).starts == {EVENTS: 40, LABELS: 12}
    assert begin(new, None).starts == new.ends


@pytest.mark.parametrize("is_told_again", [True, False])
@pytest.mark.parametrize("has_snapshot", [True, False])
def test_an_input_that_no_cycle_touched_begins_where_it_was_said_at_first(
    memory: MemoryBroker, has_snapshot: bool, is_told_again: bool
) -> None:
    """A first cycle without records, or events alone in it, and a group that has forgotten: from the time on."""
    told = Backfill(T0 + 5, 0)
    plan = plan_with_labels()
    empty = JournalRecord(1, "", plan.digest, 1, (), (), backfill=told).sealed()
    one = JournalRecord(1, "", plan.digest, 1, (Range(*EVENTS, 40, 44, 5, T0),), (), backfill=told).sealed()
    edges = {"beginnings": {EVENTS: 7, LABELS: 3}, "since": {EVENTS: 40, LABELS: 12}}
    # A snapshot knows of all inputs of its plan: this one is of a plan without labels.
    snapshot = Checkpoint(0, 1, one.digest, plan.digest, {EVENTS: 45}, T0, {}, {})
    record, checkpoints = (one, (snapshot,)) if has_snapshot else (empty, ())
    task = found(memory, journal=(journal.encode(record),), checkpoints=checkpoints, **edges)
    for offset_reset in ("earliest", "latest"):
        starts = begin(task, told if is_told_again else None, offset_reset).starts
        assert starts == {EVENTS: 45 if has_snapshot else 40, LABELS: 12}


def test_a_task_that_has_begun_otherwise_is_refused(memory: MemoryBroker) -> None:
    """With what to do; the same words again are no contradiction, nor is silence."""
    Backfilling(memory).finish_from_the_start()
    task = found(memory)
    assert begin(task, BACKFILL).backfill == begin(task, None).backfill == BACKFILL
    for other in (Backfill(None, EMIT_FROM + 1), Backfill(T0, EMIT_FROM)):
        with pytest.raises(ConfigError, match=r"was begun otherwise.*`stream state reset APP --partition 0`"):
            begin(task, other)


def test_a_task_that_was_begun_without_a_backfill_is_refused(memory: MemoryBroker) -> None:
    """It has learned already, and told."""
    Running(memory).finish_from_the_start()
    assert begin(found(memory), None).backfill is None
    with pytest.raises(ConfigError, match="are for tasks that have not begun"):
        begin(found(memory), BACKFILL)


def test_a_prediction_that_is_told_is_that_of_a_run_that_tells_all(memory: MemoryBroker) -> None:
    """Scores and decisions are the same bits: nothing was learned otherwise."""
    everything = copy_of(memory)
    Backfilling(memory).finish_from_the_start()
    Running(everything).finish_from_the_start()

    def scores(broker: MemoryBroker) -> dict[int, Any]:
        found = [decode_small("prediction", value[5:]) for value in broker.values("app.predictions") if value]
        return {each["offset"]: each["score"] for each in found}

    told, all_of_them = scores(memory), scores(everything)
    assert 0 < len(told) < len(all_of_them)
    assert told == {offset: all_of_them[offset] for offset in told}
