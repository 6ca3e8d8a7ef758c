"""Runs the real worker against a simulated broker under a seeded schedule of faults.

    result = Simulation(plan, schemas, records, seed=7).run()
    check(result)

The same seed gives the same run. One process, no thread, no clock: a second of simulated time takes as long as its
events need.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.engine.effects import Outputs
from stream.engine.journal import Backfill
from stream.engine.lifecycle import TaskState
from stream.engine.metrics import CycleMetrics
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import CommittedOffset, InputsWatched
from stream.engine.slot import Slot
from stream.engine.task import Task
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.errors import TaskCorrupted
from stream.records import RecordBatch, TopicPartition
from stream.testing.broker import SimulatedBroker
from stream.testing.connection import Connection
from stream.testing.faults import NO_FAULTS, Faults
from stream.testing.partition_log import Stored, Transaction
from stream.testing.process import COPIED_BYTES, Process, StageWorker
from stream.testing.stage import SimulatedStage

_STARTED_MS = 1_700_000_000_000
# Steps without a fault after which a run that has not come to rest never will. (The longest seen took 801.)
_STEPS_TO_REST = 10_000


class SimulationFailed(AssertionError):
    """A promise is broken; the text says which, where, and by which seed."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A record that an upstream service produces."""

    source: TopicPartition
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


# Labels wait so long for events of other stages; a worker's way from one to the next takes less.
_PATIENCE_MS = 400


class _CorruptibleTask(Task):
    """Notices that its state is wrong, when it is: a slice is learned and never told."""

    def __init__(
        self,
        plan: Plan,
        partition: int,
        epoch: int,
        format: OutputFormat,
        is_corrupt: Callable[[], bool],
        watch: Callable[[Task], None],
    ) -> None:
        super().__init__(plan, partition, epoch, format)
        self._is_corrupt = is_corrupt
        self._watch = watch
        self.patience_ms = _PATIENCE_MS

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """As any task, or not."""
        outputs = super().process(batch, now_ms)
        self._watch(self)
        if self._is_corrupt():
            raise TaskCorrupted(f"partition {self.partition}: told so by the simulation")
        return outputs


class Simulation:
    """See the module's text.

    Args:
        plan: the compiled app, or its stages in their order (stream.app.compile_stages); every process runs them all.
        schemas: the registry's texts by id.
        records: what upstream services produce, in this order.
        seed: of the schedule and the faults.
        partitions: of the input topics.
        workers: processes to begin with.
        is_immediate: delivery="immediate".
        faults: how often what goes wrong.
        start_ms: where the clock begins, in milliseconds since 1970.
        unsendable: keys of records whose outputs the broker refuses, until the others are handled and it is put right.
        watch: is called with each task behind each batch that it has handled, for the first time or in a restore.
    """

    session_ms = 200
    transaction_timeout_ms = 400
    commit_interval_ms = 20
    snapshot_interval_ms = 80
    connection: type[Connection] = Connection
    backfill: Backfill | None = None  # that each worker is told when it starts

    def __init__(
        self,
        plan: Plan | Sequence[Plan],
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
        watch: Callable[[Task], None] = lambda task: None,
    ) -> None:
        self.seed = seed
        self.is_immediate = is_immediate
        plans = (plan,) if isinstance(plan, Plan) else tuple(plan)
        between = [each.leaves.topic for each in plans if each.leaves]
        self.broker = SimulatedBroker(partitions, schemas, between, self.transaction_timeout_ms)
        self.stages = tuple(SimulatedStage(self.broker, each, self.session_ms) for each in plans)
        self.now_ms = self._started_ms = start_ms
        self.faults = faults or Faults()
        self.happened: list[str] = []
        self.committed: list[CycleMetrics] = []  # what the cycles of the last stage did, as far as workers know of it
        self._watch = watch
        self._draw = random.Random(seed)
        self._to_come = list(reversed(list(records)))
        self._unsendable = set(unsendable)
        self._failing = {each.source.partition for each in self._to_come if each.key in self._unsendable}
        self._held_back: dict[tuple[int, int], int] = {}  # until when, by place of the stage and partition
        self._processes: list[Process] = []
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

    def tasks_of(self, stage: str = "") -> dict[int, Task]:
        """The living tasks of a stage by partition; of the last one, unless another is named."""
        place = [each.name for each in self.stages].index(stage)
        return {slot.task.partition: slot.task for slot in self._slots_of(place)}

    def _slots_of(self, place: int) -> list[Slot]:
        return [slot for process in self._processes for slot in process.stages[place].slots]

    def crash_all(self) -> None:
        """kill -9 of every worker; each slot starts anew at the next step."""
        self._to_start += [(self.now_ms, process.slot) for process in self._processes]
        self._processes.clear()

    def _end_faults(self) -> None:
        self.faults = NO_FAULTS
        for process in list(self._processes):
            process.paused_until_ms = 0
            for each in process.stages:
                each.connection.chances = NO_FAULTS.clients
            if process.has_failed:  # somebody looks after it
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
                process.turn(self._draw, self.now_ms)
                self.committed += [done for _, done in process.stages[-1].worker.take_committed()]
                if process.is_over:
                    self._ended(process)

    def _ended(self, process: Process) -> None:
        error = next((each.error for each in process.stages if each.error is not None), None)
        for each in process.stages:
            if each.error is not None and not each.is_fenced and not each.has_failed:
                raise SimulationFailed(f"seed {self.seed}: worker {process.slot} stopped: {each.error}") from each.error
        process.leave()
        self._processes.remove(process)
        if process.has_failed:
            self._note(f"all tasks of worker {process.slot} failed: {error}")
        is_fenced = any(each.is_fenced for each in process.stages)
        is_to_fail = process.has_failed and bool(self._failing) and self.faults is NO_FAULTS
        is_last = not (self._processes or self._to_start)
        if is_last or not (is_fenced or is_to_fail):
            self._to_start.append((self.now_ms + self._draw.randint(0, 50), process.slot))

    def _start(self, slot: int) -> None:
        self._processes.append(Process(slot, tuple(self._worker(stage, slot) for stage in self.stages)))

    def _worker(self, stage: SimulatedStage, slot: int) -> StageWorker:
        settings = WorkerSettings(
            self.is_immediate,
            self.commit_interval_ms,
            self.snapshot_interval_ms,
            copied_bytes=COPIED_BYTES,
            backfill=self.backfill,
        )
        told = self._is_corrupt, self._watch
        worker = Worker(
            lambda partition, epoch: _CorruptibleTask(stage.plan, partition, epoch, stage.format, *told), settings
        )
        name, chances = f"{stage.plan.name}-{slot}", self.faults.clients
        connection = self.connection(stage, name, self._draw, chances, lambda: self.now_ms, self._unsendable)
        return StageWorker(worker, connection)

    def _is_corrupt(self) -> bool:
        is_corrupt = self._draw.random() < self.faults.corrupt
        if is_corrupt:
            self._note("the state of a task cannot be trusted any more")
        return is_corrupt

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
            place, partition = self._any_task()
            self._note(f"partition {partition}{self._of(place)} is held back")
            self._held_back[place, partition] = self.now_ms + draw.randint(1, 2 * self.snapshot_interval_ms)

    def _note(self, text: str) -> None:
        self.happened.append(f"{self.now_ms - self._started_ms} ms: {text}")

    def _crash(self, process: Process) -> None:
        """kill -9: the group notices only once the session is over; the slot's next process fences what was open."""
        self._note(f"worker {process.slot} crashes")
        self._processes.remove(process)
        self._to_start.append((self.now_ms + self._draw.randint(0, 2 * self.session_ms), process.slot))

    def _expire(self) -> None:
        """Nobody is there for a week: the group forgets all offsets, or those of some partitions."""
        for process in list(self._processes):
            self._crash(process)
            process.leave()
        topics = [topic for stage in self.stages for topic in stage.inputs]
        sources = [TopicPartition(topic, n) for topic in topics for n in range(self.broker.partitions)]
        gone = self._draw.sample(sources, self._draw.randint(1, len(sources)))
        self._note(f"the group forgets {len(gone)} offsets")
        self.broker.forget_offsets(gone)

    def _request_stop(self, process: Process) -> None:
        if not process.is_stopping and not process.is_revoking:
            self._note(f"worker {process.slot} is asked to stop")
            process.request_stop(self.now_ms)

    def _look_at_inputs(self, process: Process) -> None:
        """Rule 20: told again and again, a task takes nothing more; until it may go on, which it is told for ever."""
        for (place, partition), until_ms in self._held_back.items():
            danger = "the simulation says so" if self.now_ms < until_ms else ""
            if not process.stages[place].is_over:
                process.stages[place].tell(InputsWatched(partition, danger), self.now_ms)

    def _pause(self, process: Process) -> None:
        """SIGSTOP; sometimes its slot is given to another process meanwhile, and it wakes as a zombie."""
        process.paused_until_ms = self.now_ms + self._draw.randint(1, 3 * self.session_ms)
        self._note(f"worker {process.slot} is paused")
        if self._draw.random() < 0.3:
            self._note(f"and another process takes its slot {process.slot}")
            self._to_start.append((self.now_ms + self.session_ms, process.slot))

    def _damage_a_snapshot(self) -> None:
        """One of the two of a task at most: the journal is kept from the older one on.

        A task that is held back has two of one cycle, with the same chunks: both would be.
        """
        place, partition = self._any_task()
        kept, damaged = self.stages[place].checkpoints[partition], self.stages[place].damaged[partition]
        digests = {each.digest for each in kept}
        if len(digests) == 2 and not damaged & digests:
            self._note(f"a snapshot of partition {partition}{self._of(place)} is damaged")
            damaged.add(self._draw.choice(kept).digest)

    def _any_task(self) -> tuple[int, int]:
        """Place of a stage, and a partition."""
        return divmod(self._draw.randrange(len(self.stages) * self.broker.partitions), self.broker.partitions)

    def _of(self, place: int) -> str:
        return f" of {self.stages[place].plan.name}" if len(self.stages) > 1 else ""

    # --- the end -------------------------------------------------------------------------------------------------

    def _is_at_rest(self) -> bool:
        """Each task has handled and committed all that is there, or was to fail and did."""
        if self._to_start or any(process.is_busy for process in self._processes):
            return False
        committed = self.broker.committed(
            source for place in range(len(self.stages)) for source in self._sources_at_work(place)
        )
        if committed is None or self.broker.mark_one(0):
            return False
        failed = {n for place in range(len(self.stages)) for n in self._in_state(place, TaskState.FAILED)}
        return failed == self._failing and all(self._rests(place, committed) for place in range(len(self.stages)))

    def _in_state(self, place: int, state: TaskState) -> set[int]:
        return {slot.task.partition for slot in self._slots_of(place) if slot.state is state}

    def _sources_at_work(self, place: int) -> list[TopicPartition]:
        failed = self._in_state(place, TaskState.FAILED)
        at_work = [n for n in range(self.broker.partitions) if n not in failed]
        return [TopicPartition(topic, n) for topic in self.stages[place].inputs for n in at_work]

    def _rests(self, place: int, committed: Mapping[TopicPartition, CommittedOffset]) -> bool:
        """Of what the group forgot, and no cycle has touched since, the task alone says where it is."""
        slots, sources = self._slots_of(place), self._sources_at_work(place)
        handled = {source: at for slot in slots for source, at in slot.task.next_offsets.items()}
        handled |= {source: committed[source].next_offset for source in sources if source in committed}
        is_all_handled = not any(len(self.broker.read(source, handled.get(source, 0), 1)) for source in sources)
        is_all_committed = not any(slot.has_open_cycle for slot in slots)
        settled = self._in_state(place, TaskState.RUNNING) | self._in_state(place, TaskState.FAILED)
        return is_all_handled and is_all_committed and settled == set(range(self.broker.partitions))
