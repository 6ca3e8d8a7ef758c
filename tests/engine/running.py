"""A worker at work on a broker in memory, and what its journal and its predictions say."""

from collections import deque
from typing import Self

from stream.engine import journal
from stream.engine.plan import Plan
from stream.engine.protocol import (
    Assigned,
    CommitOutcome,
    Event,
    Instruction,
)
from stream.engine.row_archive import RowArchive
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.records import TopicPartition
from tests.engine.build import (
    FORMAT,
    T0,
    plan_with_labels,
)
from tests.engine.memory_broker import MemoryBroker, MemoryConnection

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
        plan: Plan | None = None,
    ) -> None:
        chosen = plan or plan_with_labels()
        settings = WorkerSettings(is_immediate, commit_interval_ms, snapshot_interval_ms)
        self.worker = Worker(lambda partition, epoch: Task(chosen, partition, epoch, FORMAT), settings)
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

    def finish(self) -> Self:
        """Go on until all is handled and committed."""
        while self.step():
            pass
        self.step()
        assert self.connection.stopped is None, self.connection.stopped
        return self

    def finish_from_the_start(self) -> Self:
        """Take the partition and finish."""
        self.tell(Assigned((0,)))
        return self.finish()

    def count(self, kind: type) -> int:
        """How many instructions of this kind there were."""
        return sum(isinstance(instruction, kind) for instruction in self.seen)


def state_of_journal(broker: MemoryBroker, plan: Plan | None = None) -> str:
    """Digest of a fresh engine run over the committed journal."""
    return task_of_journal(broker, plan).state.digest()


def task_of_journal(broker: MemoryBroker, plan: Plan | None = None) -> Task:
    """A fresh engine, run over the committed journal."""
    task, rows = Task(plan or plan_with_labels(), 0, 1, FORMAT), RowArchive()
    task.start_at({EVENTS: 0, LABELS: 0})
    for value in broker.values(FORMAT.topics.journal):
        assert value is not None
        record = journal.decode(value)
        for place, taken in enumerate(record.ranges):
            task.repeat_answers(record, place)
            records = broker.read(taken.source, taken.first, taken.count)
            while len(records):
                given = task.process(records, taken.now_ms)
                rows.keep(given.rows)
                task.repeat_rows(rows.fetch(0, given.needs_rows))
                records = records.part(given.taken, len(records))
        task.repeat_answers(record, len(record.ranges))
        task.close_replayed(record)
    return task


def predicted_offsets(broker: MemoryBroker) -> list[int]:
    """Offsets of the events that have a committed prediction or dead letter, in order of the topics."""
    predicted = [decode_small("prediction", value[5:])["offset"] for value in broker.values("app.predictions") if value]
    return sorted(predicted)


def state_of(running: Running) -> str:
    """Digest of the worker's one task."""
    (slot,) = running.worker.slots
    return slot.task.state.digest()
