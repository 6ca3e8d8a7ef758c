"""Runs the real worker against a simulated broker under a seeded schedule of faults.

    result = Simulation(plan, schemas, records, seed=7).run()
    check(result)

The same seed gives the same run. One process, no thread, no clock: a second of simulated time takes as long as its
events need.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stream.config import TopicNames
from stream.engine.effects import Outputs
from stream.engine.journal import Backfill
from stream.engine.lifecycle import TaskState
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import Event, InputsWatched, Instruction, StopRequested
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.errors import TaskCorrupted
from stream.records import RecordBatch, TopicPartition
from stream.testing.broker import SimulatedBroker
from stream.testing.connection import Chances, Connection
from stream.testing.group import SimulatedGroup
from stream.testing.partition_log import Stored, Transaction

_STARTED_MS = 1_700_000_000_000
# So little that a snapshot is copied in several pieces, between which records are handled.
_COPIED_BYTES = 100_000
# Steps without a fault after which a run that has not come to rest never will.
_STEPS_TO_REST = 50_000


class SimulationFailed(AssertionError):
    """A promise is broken; the text says which, where, and by which seed."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A record that an upstream service produces."""

    source: TopicPartition
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: chances per step of the schedule, and of the clients' own."""

    crash: float = 0.012  # kill -9; another process takes the slot at once or later
    stop: float = 0.006  # SIGTERM, and a new start
    pause: float = 0.008  # SIGSTOP, for up to three times the session timeout
    join: float = 0.004  # one worker more, up to the number of partitions
    damaged_snapshot: float = 0.03
    expiry: float = 0.002  # all workers crash, and come back when the group has forgotten offsets
    aborted_input: float = 0.02  # an upstream service aborts a transaction: holes in the input's offsets
    corrupt: float = 0.02  # for each slice of a task: its state cannot be trusted any more
    held_back: float = 0.01  # for a while records that a restore of a task would need are said to be gone
    clients: Chances = field(default_factory=lambda: Chances(0.05, 0.05, 0.1, 0.05, 0.05))


NO_FAULTS = Faults(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, Chances())


@dataclass(slots=True)
class _Process:
    """A worker process: alive, paused until a moment, or gone."""

    slot: int
    worker: Worker
    connection: Connection
    paused_until_ms: int = 0
    is_stopping: bool = False


class _CorruptibleTask(Task):
    """Notices that its state is wrong, when it is: a slice is learned and never told."""

    def __init__(
        self, plan: Plan, partition: int, epoch: int, format: OutputFormat, is_corrupt: Callable[[], bool]
    ) -> None:
        super().__init__(plan, partition, epoch, format)
        self._is_corrupt = is_corrupt

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """As any task, or not."""
        outputs = super().process(batch, now_ms)
        if self._is_corrupt():
            raise TaskCorrupted(f"partition {self.partition}: told so by the simulation")
        return outputs


class Simulation:
    """See the module's text.

    Args:
        plan: the compiled app.
        schemas: the registry's texts by id.
        records: what upstream services produce, in this order.
        seed: of the schedule and the faults.
        partitions: of the input topics.
        workers: processes to begin with.
        is_immediate: delivery="immediate".
        faults: how often what goes wrong.
        start_ms: where the clock begins, in milliseconds since 1970.
        unsendable: keys of records whose outputs the broker refuses, until the others are handled and it is put right.
    """

    session_ms = 200
    transaction_timeout_ms = 400
    commit_interval_ms = 20
    snapshot_interval_ms = 80
    connection: type[Connection] = Connection
    backfill: Backfill | None = None  # that each worker is told when it starts

    def __init__(
        self,
        plan: Plan,
        schemas: Mapping[int, str],
        records: Iterable[InputRecord],
        seed: int,
        *,
        partitions: int = 4,
        workers: int = 2,
        is_immediate: bool = False,
        faults: Faults | None = None,
        start_ms: int = _STARTED_MS,
        unsendable: Iterable[bytes] = (),
    ) -> None:
        self.seed = seed
        self.plan = plan
        self.is_immediate = is_immediate
        self.format = OutputFormat(TopicNames.of(plan.app), b"\0\0\0\0\x01", b"\0\0\0\0\x02")
        inputs = [plan.events.topic, *([plan.labels.topic] if plan.labels else [])]
        self.broker = SimulatedBroker(
            inputs,
            self.format.topics.journal,
            partitions,
            schemas,
            self.transaction_timeout_ms,
            self.format.topics.features,
        )
        self.now_ms = self._started_ms = start_ms
        self.faults = faults or Faults()
        self.happened: list[str] = []
        self._draw = random.Random(seed)
        self._group = SimulatedGroup(partitions, self.session_ms)
        self._to_come = list(reversed(list(records)))
        self._unsendable = set(unsendable)
        self._failing = {each.source.partition for each in self._to_come if each.key in self._unsendable}
        self._held_back: dict[int, int] = {}  # until when, by partition
        self._processes: list[_Process] = []
        self._to_start: list[tuple[int, int]] = []  # when, and with which slot
        self._slots = workers
        for slot in range(workers):
            self._start(slot)

    def run(self) -> "Simulation":
        """Run until every record is handled: first with faults, then, once all have come, without."""
        while self._to_come:
            self._produce()
            self._step()
            self._fault()
        self._end_faults()
        self._rest()
        if self._failing:
            self._note("what the broker refused is put right")
            self._unsendable.clear()
            self._failing.clear()
            self.crash_all()
            self._rest()
        return self

    @property
    def tasks(self) -> dict[int, Task]:
        """The living tasks by partition."""
        return {slot.task.partition: slot.task for process in self._processes for slot in process.worker.slots}

    def crash_all(self) -> None:
        """kill -9 of every worker; each slot starts anew at the next step."""
        self._to_start += [(self.now_ms, process.slot) for process in self._processes]
        self._processes.clear()

    def _end_faults(self) -> None:
        self.faults = NO_FAULTS
        for process in list(self._processes):
            process.paused_until_ms = 0
            process.connection.chances = NO_FAULTS.clients
            if any(slot.state is TaskState.FAILED for slot in process.worker.slots):  # somebody looks after it
                self._crash(process)

    def _rest(self) -> None:
        for _ in range(_STEPS_TO_REST):
            self._step()
            if self._is_at_rest():
                return
        raise SimulationFailed(f"seed {self.seed}: the workers did not come to rest; {self.happened[-5:]}")

    # --- the schedule --------------------------------------------------------------------------------------------

    def _step(self) -> None:
        self.now_ms += self._draw.choice((0, 1, 1, 2, 4))
        self.broker.expire_transactions(self.now_ms)
        while self._draw.random() < 0.7:
            if not self.broker.mark_one(self._draw.randrange(1 << 30)):
                break
        for at_ms, slot in [each for each in self._to_start if each[0] <= self.now_ms]:
            self._to_start.remove((at_ms, slot))
            self._start(slot)
        for process in list(self._processes):
            if process.paused_until_ms <= self.now_ms:
                self._look_at_inputs(process)
                self._turn(process)

    def _turn(self, process: _Process) -> None:
        """What a worker's loop does once, and some steps of its threads."""
        connection, worker = process.connection, process.worker
        self._group.heartbeat(connection, self.now_ms)
        for _ in range(self._draw.randint(0, 8)):
            if (event := connection.advance()) is not None:
                self._perform(process, worker.on(event, self.now_ms))
        if not connection.is_revoking:
            for event in connection.poll(40):
                self._perform(process, worker.on(event, self.now_ms))
        if not connection.is_revoking:
            self._perform(process, worker.work(self.now_ms, self._draw.randint(1, 40)))
            worker.copy_ahead(_COPIED_BYTES)
        if connection.stopped is not None:
            self._ended(process)

    def _perform(self, process: _Process, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            process.connection.perform(instruction)

    def _ended(self, process: _Process) -> None:
        stopped = process.connection.stopped
        assert stopped is not None
        is_fenced = self.broker.is_fenced(process.connection.transactional_id, process.connection)
        has_failed = any(slot.state is TaskState.FAILED for slot in process.worker.slots)
        if stopped.error is not None and not is_fenced and not has_failed:
            raise SimulationFailed(
                f"seed {self.seed}: worker {process.slot} stopped: {stopped.error}"
            ) from stopped.error
        self._end(process)
        if has_failed:
            self._note(f"all tasks of worker {process.slot} failed: {stopped.error}")
        if not is_fenced and not (has_failed and self._failing and self.faults is NO_FAULTS):
            self._to_start.append((self.now_ms + self._draw.randint(0, 50), process.slot))

    def _start(self, slot: int) -> None:
        settings = WorkerSettings(
            self.is_immediate,
            self.commit_interval_ms,
            self.snapshot_interval_ms,
            copied_bytes=_COPIED_BYTES,
            backfill=self.backfill,
        )
        worker = Worker(self._build_task, settings)
        name = f"{self.plan.app}-{slot}"
        draw, chances = self._draw, self.faults.clients
        connection = self.connection(
            self.broker, self._group, name, draw, chances, lambda: self.now_ms, self._unsendable
        )
        self._processes.append(_Process(slot, worker, connection))

    def _build_task(self, partition: int, epoch: int) -> Task:
        return _CorruptibleTask(self.plan, partition, epoch, self.format, self._is_corrupt)

    def _is_corrupt(self) -> bool:
        is_corrupt = self._draw.random() < self.faults.corrupt
        if is_corrupt:
            self._note("the state of a task cannot be trusted any more")
        return is_corrupt

    def _end(self, process: _Process) -> None:
        process.connection.close()
        self._processes.remove(process)

    def _produce(self) -> None:
        for _ in range(min(self._draw.randint(0, 6), len(self._to_come))):
            record = self._to_come.pop()
            stored = Stored(record.key, record.value, None, record.timestamp_ms)
            if self._draw.random() < self.faults.aborted_input:
                self._abort_input(record.source, stored)
            self.broker.append(record.source, stored)

    def _abort_input(self, source: TopicPartition, stored: Stored) -> None:
        log, transaction = self.broker.logs[source], Transaction("upstream", self.now_ms)
        log.append(stored, transaction)
        transaction.is_committed = False
        log.mark(transaction)

    # --- faults --------------------------------------------------------------------------------------------------

    def _fault(self) -> None:
        faults, draw = self.faults, self._draw
        running = [each for each in self._processes if each.paused_until_ms <= self.now_ms]
        if running and draw.random() < faults.crash:
            self._crash(draw.choice(running))
        elif running and draw.random() < faults.stop:
            self._request_stop(draw.choice(running))
        elif running and draw.random() < faults.pause:
            self._pause(draw.choice(running))
        elif self._slots < self.broker.partitions and draw.random() < faults.join:
            self._note("a worker joins")
            self._start(self._slots)
            self._slots += 1
        elif draw.random() < faults.damaged_snapshot:
            self._damage_a_snapshot()
        elif draw.random() < faults.expiry:
            self._expire()
        elif draw.random() < faults.held_back:
            partition = draw.randrange(self.broker.partitions)
            self._note(f"partition {partition} is held back")
            self._held_back[partition] = self.now_ms + draw.randint(1, 2 * self.snapshot_interval_ms)

    def _note(self, text: str) -> None:
        self.happened.append(f"{self.now_ms - self._started_ms} ms: {text}")

    def _crash(self, process: _Process) -> None:
        """kill -9: the group notices only once the session is over; the slot's next process fences what was open."""
        self._note(f"worker {process.slot} crashes")
        self._processes.remove(process)
        self._to_start.append((self.now_ms + self._draw.randint(0, 2 * self.session_ms), process.slot))

    def _expire(self) -> None:
        """Nobody is there for a week: the group forgets all offsets, or those of some partitions."""
        for process in list(self._processes):
            self._crash(process)
            process.connection.close()
        sources = [TopicPartition(topic, n) for topic in self.broker.inputs for n in range(self.broker.partitions)]
        gone = self._draw.sample(sources, self._draw.randint(1, len(sources)))
        self._note(f"the group forgets {len(gone)} offsets")
        self.broker.forget_offsets(gone)

    def _request_stop(self, process: _Process) -> None:
        if not process.is_stopping and not process.connection.is_revoking:
            self._note(f"worker {process.slot} is asked to stop")
            process.is_stopping = True
            event: Event = StopRequested()
            self._perform(process, process.worker.on(event, self.now_ms))

    def _look_at_inputs(self, process: _Process) -> None:
        """Rule 20: told again and again, a task takes nothing more; until it may go on, which it is told for ever."""
        for partition, until_ms in self._held_back.items():
            danger = "the simulation says so" if self.now_ms < until_ms else ""
            self._perform(process, process.worker.on(InputsWatched(partition, danger), self.now_ms))

    def _pause(self, process: _Process) -> None:
        """SIGSTOP; sometimes its slot is given to another process meanwhile, and it wakes as a zombie."""
        process.paused_until_ms = self.now_ms + self._draw.randint(1, 3 * self.session_ms)
        self._note(f"worker {process.slot} is paused")
        if self._draw.random() < 0.3:
            self._note(f"and another process takes its slot {process.slot}")
            self._to_start.append((self.now_ms + self.session_ms, process.slot))

    def _damage_a_snapshot(self) -> None:
        """One of the two of a task at most: the journal is kept from the older one on."""
        partition = self._draw.randrange(self.broker.partitions)
        kept, damaged = self.broker.checkpoints[partition], self.broker.damaged[partition]
        if len(kept) == 2 and not damaged & {each.digest for each in kept}:
            self._note(f"a snapshot of partition {partition} is damaged")
            damaged.add(self._draw.choice(kept).digest)

    # --- the end -------------------------------------------------------------------------------------------------

    def _is_at_rest(self) -> bool:
        if self._to_start or any(each.connection.is_busy or each.worker.is_committing for each in self._processes):
            return False
        partitions = set(range(self.broker.partitions))
        sources = [TopicPartition(topic, n) for topic in self.broker.inputs for n in sorted(partitions - self._failing)]
        committed = self.broker.committed(sources)
        if committed is None or self.broker.mark_one(0):
            return False
        slots = [slot for process in self._processes for slot in process.worker.slots]
        running = {slot.task.partition for slot in slots if slot.state is TaskState.RUNNING} | self._failing
        if self._failing - {slot.task.partition for slot in slots if slot.state is TaskState.FAILED}:
            return False
        # Of what the group forgot, and no cycle has touched since, the task alone says where it is.
        handled = {source: at for slot in slots for source, at in slot.task.next_offsets.items()}
        handled |= {source: offset.next_offset for source, offset in committed.items()}
        is_all_handled = not any(len(self.broker.read(source, handled.get(source, 0), 1)) for source in sources)
        is_all_committed = not any(slot.has_open_cycle for slot in slots)
        return is_all_handled and is_all_committed and running == partitions
