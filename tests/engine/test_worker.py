"""The worker's protocol against a broker in memory: restart, refusals, revocation, snapshots, a clean stop."""

import random
from dataclasses import replace

import pytest

from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    Event,
    Instruction,
    Lost,
    Produce,
    PublishSnapshot,
    Release,
    Revoked,
    Send,
    Stop,
    StopRequested,
)
from stream.errors import TaskCorrupted
from stream.records import TopicPartition
from tests.engine.build import (
    FORMAT,
)
from tests.engine.memory_broker import MemoryBroker, MemoryConnection
from tests.engine.running import EVENTS, LABELS, Running, predicted_offsets, state_of, state_of_journal


def test_every_event_is_predicted_once_and_state_is_the_journal_s(memory: MemoryBroker) -> None:
    """The plain run: 400 events in, each a prediction or a dead letter, and the state is a function of the journal."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.finish()

    offsets = predicted_offsets(memory)
    assert len(offsets) == len(set(offsets))
    assert len(offsets) + len(memory.values("app.dead-letters")) == 400
    assert memory.committed[EVENTS].next_offset == 400
    assert memory.committed[LABELS].next_offset == 100
    assert state_of(running) == state_of_journal(memory)


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(memory: MemoryBroker, seed: int) -> None:
    """Crashes at random places, with snapshots now and then: the end is that of an engine run over the journal."""
    draw = random.Random(seed)
    for _ in range(5):
        crashing = Running(memory, snapshot_interval_ms=4)
        crashing.tell(Assigned((0,)))
        for _ in range(draw.randrange(8)):
            crashing.step(draw.randrange(1, 60))
        crashing.perform(crashing.worker.work(crashing.now_ms, 20), but_the_last=draw.randrange(1, 3))
    last = Running(memory)
    last.tell(Assigned((0,)))
    last.finish()

    offsets = predicted_offsets(memory)
    assert len(offsets) == len(set(offsets))
    assert len(offsets) + len(memory.values("app.dead-letters")) == 400
    assert state_of(last) == state_of_journal(memory)


def test_a_refused_commit_is_sent_again_and_state_is_untouched(memory: MemoryBroker) -> None:
    """Rule 9: the same effects in a new transaction; nothing is computed anew."""
    calm = Running(memory, refusals=[CommitOutcome.REFUSED, CommitOutcome.REFUSED])
    calm.tell(Assigned((0,)))
    calm.finish()

    assert calm.connection.refusals == []
    assert len(set(predicted_offsets(memory))) == len(predicted_offsets(memory))
    assert len(predicted_offsets(memory)) + len(memory.values("app.dead-letters")) == 400
    assert state_of(calm) == state_of_journal(memory)


class LosingConnection(MemoryConnection):
    """Loses the first batch that is sent outside a transaction."""

    has_lost = False

    def perform(self, instruction: Instruction) -> list[Event]:
        """Perform all but that."""
        if isinstance(instruction, Send) and not self.has_lost:
            self.has_lost = True
            return []
        return super().perform(instruction)


def test_immediate_predictions_that_did_not_arrive_are_sent_again(memory: MemoryBroker) -> None:
    """The first batch is lost on its way, for which the commit is refused: its predictions come with the next try."""
    running = Running(memory, is_immediate=True)
    running.connection = losing = LosingConnection(memory, [CommitOutcome.REFUSED])
    running.tell(Assigned((0,)))
    running.finish()

    assert losing.has_lost
    offsets = predicted_offsets(memory)
    assert len(set(offsets)) + len(memory.values("app.dead-letters")) == 400
    assert state_of(running) == state_of_journal(memory)


def test_a_revocation_commits_before_it_releases(memory: MemoryBroker) -> None:
    """Rule 16: the open cycle is committed, then the partition is given back; the next owner goes on there."""
    first = Running(memory, commit_interval_ms=1_000_000)
    first.tell(Assigned((0,)))
    first.step()
    first.worker.schedule.began(first.now_ms)
    first.step()
    first.tell(Revoked((0,)))

    assert isinstance(first.seen[-1], Release)
    assert any(isinstance(instruction, Commit) for instruction in first.seen)
    second = Running(memory)
    second.tell(Assigned((0,)))
    second.finish()
    assert len(predicted_offsets(memory)) == len(set(predicted_offsets(memory)))
    assert state_of(second) == state_of_journal(memory)


def test_a_lost_partition_leaves_nothing_behind(memory: MemoryBroker) -> None:
    """What was computed for a lost task never reaches a transaction that commits."""
    first = Running(memory, commit_interval_ms=1_000_000)
    first.tell(Assigned((0,)))
    first.worker.schedule.began(first.now_ms)
    first.step()
    first.tell(Lost((0,)))
    first.step()

    assert memory.committed == {}
    assert predicted_offsets(memory) == []


def test_a_clean_stop_leaves_a_snapshot_of_the_last_cycle(memory: MemoryBroker) -> None:
    """The next start replays nothing."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.finish()
    running.tell(StopRequested())

    assert running.connection.stopped == Stop(None)
    assert running.count(PublishSnapshot) == 1
    again = Running(memory)
    again.tell(Assigned((0,)))
    (slot,) = again.worker.slots
    assert slot.restored_share == 1.0
    assert state_of(again) == state_of_journal(memory)


def test_a_stop_in_the_middle_commits_what_was_handled(memory: MemoryBroker) -> None:
    """SIGTERM: the open cycle is committed and a snapshot taken; what was only fetched is left for the next run."""
    running = Running(memory, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    running.worker.schedule.began(running.now_ms)
    running.step(20)
    running.step(20)
    running.tell(StopRequested())

    assert running.connection.stopped == Stop(None)
    assert memory.committed[EVENTS].next_offset == len(predicted_offsets(memory)) + len(
        memory.values("app.dead-letters")
    )
    assert memory.checkpoints[0][-1].cycle == 1


def test_a_journal_that_lost_its_end_is_corrupt(memory: MemoryBroker) -> None:
    """Rule 21: the committed cycle must stand in the journal; otherwise the worker stops and says what to do."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.finish()
    memory.topics[TopicPartition(FORMAT.topics.journal, 0)].pop()

    again = Running(memory)
    again.tell(Assigned((0,)))

    assert again.connection.stopped is not None
    assert isinstance(again.connection.stopped.error, TaskCorrupted)
    assert "Reset the task" in str(again.connection.stopped.error)


def test_outputs_of_the_next_cycle_wait_for_the_commit_before_them(memory: MemoryBroker) -> None:
    """Rule 11: while cycle n is being committed nothing of n + 1 is produced."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    for event in running.connection.fetch(100):
        running.tell(event)
    while not running.worker.is_committing:
        running.now_ms += 1
        instructions = running.worker.work(running.now_ms, 20)
        running.perform(instructions, but_the_last=int(running.worker.is_committing))
        while running._events:
            running.perform(running.worker.on(running._events.popleft(), running.now_ms))
    assert isinstance(instructions[-1], Commit)

    meanwhile = running.worker.work(running.now_ms, 20)

    assert not any(isinstance(instruction, Produce | Commit) for instruction in meanwhile)


def test_rule_11_the_cycle_ahead_of_a_commit_is_bounded_in_bytes(memory: MemoryBroker) -> None:
    """A commit whose answer does not come: outputs of some 10,000 bytes are held, then no record is taken more."""
    running = Running(memory)
    running.worker._settings = replace(running.worker._settings, held_bytes=10_000)
    running.tell(Assigned((0,)))
    for event in running.connection.fetch(1000):
        running.tell(event)
    while not running.worker.is_committing:
        running.now_ms += 1
        instructions = running.worker.work(running.now_ms, 20)
        running.perform(instructions, but_the_last=int(running.worker.is_committing))
        while running._events:
            running.perform(running.worker.on(running._events.popleft(), running.now_ms))

    while running.worker.has_work(running.now_ms):
        assert running.worker.work(running.now_ms, 20) == []
    ahead = sum(batch.data.nbytes for batch in running.worker.slots[0].task.cycle_outputs)
    assert 10_000 < ahead < 20_000
    assert running.worker.work(running.now_ms, 20) == []

    running.perform(instructions[-1:])
    running.tell(running._events.popleft())
    assert running.worker.has_work(running.now_ms)
    running.finish()
    assert memory.committed[EVENTS].next_offset == 400
    assert state_of(running) == state_of_journal(memory)


def test_what_was_fetched_in_time_is_committed_together(memory: MemoryBroker) -> None:
    """A commit that is due waits for the records at hand, for a tenth of its interval."""
    running = Running(memory, commit_interval_ms=100)
    running.tell(Assigned((0,)))
    for event in running.connection.fetch(100):
        running.tell(event)
    running.step(20)
    while running.worker.is_committing:
        running.step(20)
    began_ms = running.worker.schedule.due_ms - 100

    running.now_ms = began_ms + 100
    while running.worker.has_work(running.now_ms):
        last = running.worker.work(running.now_ms, 20)
        assert any(isinstance(each, Commit) for each in last) == (not running.worker.has_work(running.now_ms))

    assert isinstance(last[-1], Commit)
    assert running.worker.schedule.due_ms == began_ms + 200
