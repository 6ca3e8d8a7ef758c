"""The worker's protocol against a broker in memory: restart, refusals, revocation, snapshots, a clean stop."""

import random
from collections import deque

import orjson
import pytest

from stream.engine import journal
from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    Event,
    Fetched,
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
from stream.engine.restore import metadata_of
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.engine.worker import Worker, WorkerSettings
from stream.errors import TaskCorrupted
from stream.records import TopicPartition
from stream.testing.memory_broker import MemoryBroker, MemoryConnection
from tests.engine.build import (
    EVENT_SCHEMA,
    FORMAT,
    LABEL_SCHEMA,
    T0,
    batch,
    chargebacks,
    payments,
    plan_with_labels,
    task_of,
)

EVENTS, LABELS = TopicPartition("payments", 0), TopicPartition("chargebacks", 0)


class Running:
    """A worker at work on a broker in memory; dropping it is a crash."""

    def __init__(
        self,
        broker: MemoryBroker,
        refusals: list[CommitOutcome] | None = None,
        commit_interval_ms: int = 1,
        snapshot_interval_ms: int = 1_000_000,
        is_immediate: bool = False,
    ) -> None:
        settings = WorkerSettings(is_immediate, commit_interval_ms, snapshot_interval_ms)
        self.worker = Worker(lambda partition, epoch: Task(plan_with_labels(), partition, epoch, FORMAT), settings)
        self.connection = MemoryConnection(broker, refusals or [])
        self.now_ms = T0
        self.seen: list[Instruction] = []
        self._events: deque[Event] = deque()

    def tell(self, event: Event) -> None:
        """Let something happen, and perform what follows from it."""
        self._events.append(event)
        while self._events:
            self.perform(self.worker.on(self._events.popleft(), self.now_ms))

    def perform(self, instructions: list[Instruction], but_the_last: int = 0) -> None:
        """Perform instructions; answers wait until `tell` or `step`."""
        for instruction in instructions[: len(instructions) - but_the_last]:
            self.seen.append(instruction)
            self._events.extend(self.connection.perform(instruction))

    def step(self, records: int = 37) -> bool:
        """Fetch, handle one slice, perform; False when there is nothing left to do."""
        self.now_ms += 1
        for event in self.connection.fetch(100):
            self.tell(event)
        had_work = self.worker.has_work(self.now_ms)
        self.perform(self.worker.work(self.now_ms, records))
        while self._events:
            self.perform(self.worker.on(self._events.popleft(), self.now_ms))
        return had_work or self.worker.is_committing

    def finish(self) -> "Running":
        """Go on until all is handled and committed."""
        while self.step():
            pass
        self.step()
        assert self.connection.stopped is None, self.connection.stopped
        return self

    def finish_from_the_start(self) -> "Running":
        """Take the partition and finish."""
        self.tell(Assigned((0,)))
        return self.finish()

    def count(self, kind: type) -> int:
        """How many instructions of this kind there were."""
        return sum(isinstance(instruction, kind) for instruction in self.seen)


@pytest.fixture
def broker() -> MemoryBroker:
    """400 events with 100 labels behind them."""
    made = MemoryBroker(
        ["payments", "chargebacks"],
        FORMAT.topics.journal,
        {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()},
    )
    for number, (key, value) in enumerate(payments(400)):
        made.append(EVENTS, key, value, T0 + number)
    for number, (key, value) in enumerate(chargebacks(range(50, 150))):
        made.append(LABELS, key, value, T0 + 100 + number)
    return made


def state_of_journal(broker: MemoryBroker) -> str:
    """Digest of a fresh engine run over the committed journal."""
    task = Task(plan_with_labels(), 0, 1, FORMAT)
    task.start_at({EVENTS: 0, LABELS: 0})
    for value in broker.values(FORMAT.topics.journal):
        assert value is not None
        record = journal.decode(value)
        for place, taken in enumerate(record.ranges):
            task.replay_schemas(record, place)
            task.process(broker.read(taken.source, taken.first, taken.count), taken.now_ms)
        task.replay_schemas(record, len(record.ranges))
        task.close_replayed(record)
    return task.state.digest()


def predicted_offsets(broker: MemoryBroker) -> list[int]:
    """Offsets of the events that have a committed prediction or dead letter, in order of the topics."""
    predicted = [decode_small("prediction", value[5:])["offset"] for value in broker.values("app.predictions") if value]
    return sorted(predicted)


def state_of(running: Running) -> str:
    """Digest of the worker's one task."""
    (slot,) = running.worker.slots
    return slot.task.state.digest()


def test_every_event_is_predicted_once_and_state_is_the_journal_s(broker: MemoryBroker) -> None:
    """The plain run: 400 events in, each a prediction or a dead letter, and the state is a function of the journal."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.finish()

    offsets = predicted_offsets(broker)
    assert len(offsets) == len(set(offsets))
    assert len(offsets) + len(broker.values("app.dead-letters")) == 400
    assert broker.committed[EVENTS].next_offset == 400
    assert broker.committed[LABELS].next_offset == 100
    assert state_of(running) == state_of_journal(broker)


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(broker: MemoryBroker, seed: int) -> None:
    """Crashes at random places, with snapshots now and then: the end is that of an engine run over the journal."""
    draw = random.Random(seed)
    for _ in range(5):
        crashing = Running(broker, snapshot_interval_ms=4)
        crashing.tell(Assigned((0,)))
        for _ in range(draw.randrange(8)):
            crashing.step(draw.randrange(1, 60))
        crashing.perform(crashing.worker.work(crashing.now_ms, 20), but_the_last=draw.randrange(1, 3))
    last = Running(broker)
    last.tell(Assigned((0,)))
    last.finish()

    offsets = predicted_offsets(broker)
    assert len(offsets) == len(set(offsets))
    assert len(offsets) + len(broker.values("app.dead-letters")) == 400
    assert state_of(last) == state_of_journal(broker)


def test_a_refused_commit_is_sent_again_and_state_is_untouched(broker: MemoryBroker) -> None:
    """Rule 9: the same effects in a new transaction; nothing is computed anew."""
    calm = Running(broker, refusals=[CommitOutcome.REFUSED, CommitOutcome.REFUSED])
    calm.tell(Assigned((0,)))
    calm.finish()

    assert calm.connection.refusals == []
    assert len(set(predicted_offsets(broker))) == len(predicted_offsets(broker))
    assert len(predicted_offsets(broker)) + len(broker.values("app.dead-letters")) == 400
    assert state_of(calm) == state_of_journal(broker)


class LosingConnection(MemoryConnection):
    """Loses the first batch that is sent outside a transaction."""

    has_lost = False

    def perform(self, instruction: Instruction) -> list[Event]:
        """Perform all but that."""
        if isinstance(instruction, Send) and not self.has_lost:
            self.has_lost = True
            return []
        return super().perform(instruction)


def test_immediate_predictions_that_did_not_arrive_are_sent_again(broker: MemoryBroker) -> None:
    """The first batch is lost on its way, for which the commit is refused: its predictions come with the next try."""
    running = Running(broker, is_immediate=True)
    running.connection = losing = LosingConnection(broker, [CommitOutcome.REFUSED])
    running.tell(Assigned((0,)))
    running.finish()

    assert losing.has_lost
    offsets = predicted_offsets(broker)
    assert len(set(offsets)) + len(broker.values("app.dead-letters")) == 400
    assert state_of(running) == state_of_journal(broker)


def test_a_revocation_commits_before_it_releases(broker: MemoryBroker) -> None:
    """Rule 16: the open cycle is committed, then the partition is given back; the next owner goes on there."""
    first = Running(broker, commit_interval_ms=1_000_000)
    first.tell(Assigned((0,)))
    first.step()
    first.worker._committed_ms = first.now_ms
    first.step()
    first.tell(Revoked((0,)))

    assert isinstance(first.seen[-1], Release)
    assert any(isinstance(instruction, Commit) for instruction in first.seen)
    second = Running(broker)
    second.tell(Assigned((0,)))
    second.finish()
    assert len(predicted_offsets(broker)) == len(set(predicted_offsets(broker)))
    assert state_of(second) == state_of_journal(broker)


def test_a_lost_partition_leaves_nothing_behind(broker: MemoryBroker) -> None:
    """What was computed for a lost task never reaches a transaction that commits."""
    first = Running(broker, commit_interval_ms=1_000_000)
    first.tell(Assigned((0,)))
    first.worker._committed_ms = first.now_ms
    first.step()
    first.tell(Lost((0,)))
    first.step()

    assert broker.committed == {}
    assert predicted_offsets(broker) == []


def test_a_clean_stop_leaves_a_snapshot_of_the_last_cycle(broker: MemoryBroker) -> None:
    """The next start replays nothing."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.finish()
    running.tell(StopRequested())

    assert running.connection.stopped == Stop(None)
    assert running.count(PublishSnapshot) == 1
    again = Running(broker)
    again.tell(Assigned((0,)))
    (slot,) = again.worker.slots
    assert slot.restored_share == 1.0
    assert state_of(again) == state_of_journal(broker)


def test_a_stop_in_the_middle_commits_what_was_handled(broker: MemoryBroker) -> None:
    """SIGTERM: the open cycle is committed and a snapshot taken; what was only fetched is left for the next run."""
    running = Running(broker, commit_interval_ms=1_000_000)
    running.tell(Assigned((0,)))
    running.worker._committed_ms = running.now_ms
    running.step(20)
    running.step(20)
    running.tell(StopRequested())

    assert running.connection.stopped == Stop(None)
    assert broker.committed[EVENTS].next_offset == len(predicted_offsets(broker)) + len(
        broker.values("app.dead-letters")
    )
    assert broker.checkpoints[0][-1].cycle == 1


def test_a_journal_that_lost_its_end_is_corrupt(broker: MemoryBroker) -> None:
    """Rule 21: the committed cycle must stand in the journal; otherwise the worker stops and says what to do."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.finish()
    broker.topics[TopicPartition(FORMAT.topics.journal, 0)].pop()

    again = Running(broker)
    again.tell(Assigned((0,)))

    assert again.connection.stopped is not None
    assert isinstance(again.connection.stopped.error, TaskCorrupted)
    assert "Reset the task" in str(again.connection.stopped.error)


def test_outputs_of_the_next_cycle_wait_for_the_commit_before_them(broker: MemoryBroker) -> None:
    """Rule 11: while cycle n is being committed nothing of n + 1 is produced."""
    running = Running(broker)
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


def test_in_a_backlog_labels_are_learned_about_when_they_came(broker: MemoryBroker) -> None:
    """Events and labels that both wait take turns of 100 ms of record time, however large a slice may be."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    for event in running.connection.fetch(1000):
        running.tell(event)
    while running.step(1000):
        pass

    handled: list[journal.Range] = []
    newest = 0
    for value in broker.values(FORMAT.topics.journal):
        assert value is not None
        handled += journal.decode(value).ranges
    for taken in handled:
        work = broker.read(taken.source, taken.first, taken.count)
        assert int(work.timestamps_ms[0]) >= newest - 100
        newest = max(newest, int(work.timestamps_ms[-1]))
    assert len({taken.topic for taken in handled[:4]}) == 2


def without_labels(running: Running) -> list[Event]:
    """What was fetched of the events; the first fetch of the labels is not answered yet."""
    fetched = running.connection.fetch(1000)
    return [event for event in fetched if not isinstance(event, Fetched) or event.batch.topic != LABELS.topic]


def test_events_wait_for_labels_that_were_there_before(broker: MemoryBroker) -> None:
    """Whichever partition's first fetch is answered first: no event is scored before the labels from before it."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    for event in without_labels(running):
        running.tell(event)

    assert not running.worker.has_work(running.now_ms)
    assert running.worker.work(running.now_ms, 1000) == []
    running.tell(Fetched(broker.read(LABELS, 0, 10)))

    assert running.worker.has_work(running.now_ms)


def test_events_do_not_wait_for_ever(broker: MemoryBroker) -> None:
    """Labels whose partition has no leader are given up after a second: predictions go on."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    for event in without_labels(running):
        running.tell(event)

    assert not running.worker.has_work(running.now_ms + 999)
    assert running.worker.has_work(running.now_ms + 1_000)


def test_labels_at_their_end_are_not_waited_for(broker: MemoryBroker) -> None:
    """Once all labels that were there are handled, events go on at once."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.finish()
    for number, (key, value) in enumerate(payments(10)):
        broker.append(EVENTS, key, value, T0 + 1_000 + number)

    for event in running.connection.fetch(1000):
        running.tell(event)

    assert running.worker.has_work(running.now_ms)


@pytest.mark.parametrize("refusals", [0, 3])
def test_rule_22_a_snapshot_leaves_only_after_its_commit(broker: MemoryBroker, refusals: int) -> None:
    """While the commit of a cycle is refused, or not yet answered, its snapshot waits."""
    running = Running(broker, refusals=[CommitOutcome.REFUSED] * refusals, snapshot_interval_ms=0)
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


def test_rule_22_a_snapshot_of_a_cycle_that_was_never_committed_is_dropped(broker: MemoryBroker) -> None:
    """The partition is lost while its commit is refused: nothing of that cycle is published."""
    running = Running(broker, commit_interval_ms=1_000_000, snapshot_interval_ms=0)
    running.tell(Assigned((0,)))
    running.step()
    running.worker._committed_ms = 0
    instructions = running.worker.work(running.now_ms, 20)
    (commit,) = (instruction for instruction in instructions if isinstance(instruction, Commit))

    assert not any(isinstance(instruction, PublishSnapshot) for instruction in instructions)
    running.tell(Lost((0,)))
    running.tell(CommitReturned(commit.transaction, CommitOutcome.REFUSED))

    assert running.count(PublishSnapshot) == 0
    assert not running.worker.is_committing


def test_the_journal_says_how_often_a_worker_has_owned_the_task(broker: MemoryBroker) -> None:
    """Assigned, given back and assigned again: the cycles of the second time carry epoch 2."""
    running = Running(broker)
    running.tell(Assigned((0,)))
    running.step()
    running.step()
    running.tell(Revoked((0,)))
    before = len(broker.values(FORMAT.topics.journal))
    running.tell(Assigned((0,)))
    running.finish()

    epochs = [journal.decode(value).epoch for value in broker.values(FORMAT.topics.journal) if value]
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


def test_a_commit_that_is_refused_again_and_again_stops_the_worker_with_the_reason(broker: MemoryBroker) -> None:
    """Rule 12: after 20 refusals in a row of the same effects the last reason is told, and nothing is lost."""
    running = Running(broker, refusals=[CommitOutcome.REFUSED] * 21)
    running.tell(Assigned((0,)))
    while running.connection.stopped is None:
        running.step()

    assert running.connection.stopped.error is not None
    assert str(running.connection.stopped.error) == (
        "20 commits in a row were refused, the last with: refused by the test"
    )
    assert broker.committed == {}
    again = Running(broker).finish_from_the_start()
    assert state_of(again) == state_of_journal(broker)


def test_twenty_refusals_in_a_row_are_borne(broker: MemoryBroker) -> None:
    """One less: the twenty-first attempt succeeds, and counting begins anew with the next commit."""
    running = Running(broker, refusals=[CommitOutcome.REFUSED] * 20)
    running.finish_from_the_start()

    assert running.connection.refusals == []
    assert state_of(running) == state_of_journal(broker)
