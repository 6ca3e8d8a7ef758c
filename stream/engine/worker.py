"""The worker's protocol as a pure state machine: events in, instructions out (stream.engine.protocol).

One transaction is open at a time (stream.engine.transactions). While it is being committed the engine computes the next
cycle, whose outputs are held back until the commit has returned (rule 11); the effects of the cycle being committed
stay in hand till then, and are sent again, for the tasks still owned, when the broker refuses them (rule 9).
"""

from collections.abc import Callable, Sequence
from functools import partial

from stream.engine.commit_schedule import CommitSchedule
from stream.engine.failures import Failures
from stream.engine.lifecycle import TaskState
from stream.engine.metrics import CycleMetrics
from stream.engine.protocol import (
    Assigned,
    CommitOutcome,
    CommitReturned,
    Corrupted,
    Event,
    Fetch,
    Fetched,
    FetchSchema,
    FindTask,
    Following,
    InputsWatched,
    Instruction,
    JournalGrew,
    Lost,
    Pause,
    Release,
    Revoked,
    RowsFetched,
    SchemaFetched,
    SchemaRefused,
    SnapshotPublished,
    StandbyFound,
    Stop,
    StopRequested,
    StopTask,
    TaskFound,
)
from stream.engine.slot import Slot
from stream.engine.snapshot_turns import SnapshotTurns
from stream.engine.standbys import Standbys
from stream.engine.task import Task
from stream.engine.transactions import ClosedCycle, Transactions
from stream.engine.worker_settings import WorkerSettings
from stream.errors import StreamError, TaskCorrupted
from stream.records import RecordBatch


class Worker:
    """A worker's tasks and its one transaction.

    `on` takes what happened, `work` handles one slice of what was fetched; both return what is to be done, in order.

    Args:
        build_task: makes the empty task of a partition: (partition, epoch) -> Task.
        settings: see WorkerSettings.
    """

    def __init__(self, build_task: Callable[[int, int], Task], settings: WorkerSettings) -> None:
        self._build_task = build_task
        self._settings = settings
        self._slots: dict[int, Slot] = {}
        self._epochs: dict[int, int] = {}
        self._transactions = Transactions(self._owns)
        self.schedule = CommitSchedule(settings.commit_interval_ms)
        self._releasing: tuple[int, ...] = ()
        self._served = 0
        self._handled: RecordBatch | None = None
        self.taken = 0  # records that the last `work` handled, live or replayed
        self._done: list[tuple[int, CycleMetrics]] = []
        self._is_stopping = False
        self._snapshots = SnapshotTurns(self._slots, settings.snapshot_interval_ms, settings.copied_bytes)
        self._failures = Failures()
        self._failure: StreamError | None = None  # of the task that failed last
        self._standbys = Standbys(build_task)
        self._schemas: dict[int, SchemaFetched] = {}

    @property
    def slots(self) -> Sequence[Slot]:
        """The tasks of this worker with their queues, for metrics and readiness."""
        return tuple(self._slots.values())

    @property
    def standbys(self) -> Sequence[Slot]:
        """Other workers' tasks that this one follows."""
        return self._standbys.slots

    def has_work(self, now_ms: int) -> bool:
        """True if `work` would handle records now."""
        has_own = any(slot.has_work(now_ms) for slot in self._slots.values())
        return (has_own and not self._must_wait) or (not has_own and self._standbys.has_work(now_ms))

    def take_handled(self) -> RecordBatch | None:
        """The live records that the last `work` handled, once: for whoever measures."""
        handled, self._handled = self._handled, None
        return handled

    def take_committed(self) -> list[tuple[int, CycleMetrics]]:
        """What the tasks' committed cycles did, once: by partition."""
        done, self._done = self._done, []
        return done

    @property
    def is_committing(self) -> bool:
        """True while the outcome of a commit is awaited."""
        return self._transactions.is_committing

    def on(self, event: Event, now_ms: int) -> list[Instruction]:
        """Take an event; a StreamError stops the worker with that reason. TaskCorrupted is one task's affair."""
        try:
            return self._on(event, now_ms)
        except StreamError as error:
            return [Stop(error)]

    def work(self, now_ms: int, records: int) -> list[Instruction]:
        """Handle at most `records` records of one task, and commit if the interval is over."""
        try:
            return self._work(now_ms, records)
        except StreamError as error:
            return [Stop(error)]

    def _on(self, event: Event, now_ms: int) -> list[Instruction]:
        match event:
            case Assigned(partitions):
                return [each for partition in partitions for each in self._assign(partition)]
            case Revoked(partitions):
                return self._revoke(partitions, now_ms)
            case Lost(partitions):
                return self._lose(partitions)
            case TaskFound():
                return self._begin_task(event, now_ms)
            case Corrupted(partition, reason):
                if (slot := self._slots.get(partition)) is None:
                    return self._standbys.drop(partition, reason)
                return self._restore_again(slot, TaskCorrupted(reason))
            case Following() | StandbyFound() | JournalGrew():
                return [] if self._is_stopping else self._standbys.on(event, self._slots, now_ms)
            case Fetched(batch):
                slot = self._slots.get(batch.partition)
                return self._attempt(slot, partial((slot or self._standbys).enqueue, batch, now_ms))
            case SchemaFetched() | SchemaRefused():
                if isinstance(event, SchemaFetched):  # a refusal holds as long as a task remembers it (rule 3)
                    self._schemas[event.schema_id] = event
                for slot in self._slots.values():
                    slot.answer_schema(event)
                return []
            case RowsFetched(partition):
                slot = self._slots.get(partition)
                return self._attempt(slot, partial((slot or self._standbys).answer_rows, event))
            case CommitReturned():
                return self._commit_returned(event, now_ms)
            case SnapshotPublished(partition):
                self._snapshots.answered(partition)
                if slot := self._slots.get(partition):
                    slot.published(event)
                return self._stop_if_done(now_ms)
            case InputsWatched(partition, danger):
                return self._hold_back(partition, danger, now_ms)
            case StopRequested():
                self._is_stopping = True
                for slot in self._slots.values():
                    slot.suspend()
                return [*self._standbys.follow(()), *(self._close(now_ms) or self._stop_if_done(now_ms))]

    # --- assignment ----------------------------------------------------------------------------------------------

    def _assign(self, partition: int) -> list[Instruction]:
        warm, unfollowed = self._standbys.claim(partition)
        if warm is None:
            self._build(partition)
            return [*unfollowed, FindTask(partition)]
        self._slots[partition], self._epochs[partition] = warm, self._epochs.get(partition, 0) + 1
        return [*unfollowed, warm.claim(self._epochs[partition], self._transactions.last_begun)]

    def _build(self, partition: int) -> None:
        self._epochs[partition] = self._epochs.get(partition, 0) + 1
        task = self._build_task(partition, self._epochs[partition])
        # A task's outputs never enter a transaction begun before the task was assigned (rule 7).
        self._slots[partition] = Slot(task, ready_after=self._transactions.last_begun)

    def _begin_task(self, found: TaskFound, now_ms: int) -> list[Instruction]:
        slot = self._slots.get(found.partition)
        if slot is None or slot.state is not TaskState.CREATED:
            return []
        try:
            starts = slot.begin(found, self._settings.offset_reset, now_ms, self._settings.backfill)
        except TaskCorrupted as error:
            return self._restore_again(slot, error)
        return [Fetch(source, offset) for source, offset in starts.items()]

    def _revoke(self, partitions: tuple[int, ...], now_ms: int) -> list[Instruction]:
        """Rule 16: take no more, commit the whole open transaction, then release."""
        for partition in partitions:
            if slot := self._slots.get(partition):
                slot.suspend()
        self._releasing = (*self._releasing, *partitions)
        return self._close(now_ms) or self._release_if_done()

    def _lose(self, partitions: tuple[int, ...]) -> list[Instruction]:
        """Another worker owns them: nothing of them may be committed, nor released; the rest is sent again."""
        self._forget(partitions)
        self._releasing = tuple(partition for partition in self._releasing if partition not in partitions)
        return [*self._drop_outputs(), *self._stop_if_failed()]

    def _forget(self, partitions: tuple[int, ...]) -> None:
        for partition in partitions:
            self._failures.forget(partition)
            if slot := self._slots.pop(partition, None):
                slot.close()

    def _drop_outputs(self) -> list[Instruction]:
        """Of the open transaction only the outputs of tasks that are still at work remain."""
        kept = [batch for slot in self._slots.values() for batch in slot.open_outputs]
        return self._transactions.drop_lost(kept)

    def _hold_back(self, partition: int, danger: str, now_ms: int) -> list[Instruction]:
        """Rule 20: where a restore would miss records, take nothing more until a newer snapshot needs none of them."""
        if (slot := self._slots.get(partition)) is None:
            return []
        slot.held_back = danger
        if self._transactions.is_committing or self._snapshots.is_writing(partition) or self._is_stopping:
            return []
        if danger and slot.has_open_cycle:
            return self._close(now_ms)
        checkpoint = self._snapshots.checkpoint(slot, now_ms) if slot.wants_snapshots else None
        return self._snapshots.publish([checkpoint]) if checkpoint is not None else []

    def _attempt(self, slot: Slot | None, take: Callable[[], list[Instruction]]) -> list[Instruction]:
        try:
            return take()
        except TaskCorrupted as error:
            return self._restore_again(slot, error) if slot else []

    # --- failures ------------------------------------------------------------------------------------------------

    def _restore_again(self, slot: Slot, error: TaskCorrupted) -> list[Instruction]:
        """A task's state cannot be trusted: discard it and restore it, once for each cycle that it has reached."""
        if slot.state in (TaskState.SUSPENDED, TaskState.FAILED):
            return []
        partition, unusable = slot.task.partition, slot.unusable_snapshot
        if unusable:
            self._failures.leave_out(partition, unusable, str(error))
        elif not slot.is_warm and not (slot.has_begun and self._failures.is_new(partition, slot.task.cycle)):
            return self._fail(slot, error)  # but for a followed task that is of no use: it is loaded like any other
        slot.close()
        self._build(partition)
        pauses = [Pause(source) for source in slot.task.sources]
        self._failures.find_later(partition, str(error))
        return [*pauses, *self._drop_outputs(), *self._find_if_settled()]

    def _find_if_settled(self) -> list[Instruction]:
        """Look for tasks only once it is known whether their last cycles were committed."""
        return [] if self._transactions.is_committing else self._failures.take_waiting()

    def _fail(self, slot: Slot, error: StreamError) -> list[Instruction]:
        """Rule 12: this task stops, the others go on; a worker that has no other ends with the reason."""
        slot.fail()
        self._failure = error
        return [StopTask(slot.task.partition, error), *self._drop_outputs(), *self._stop_if_failed()]

    def _stop_if_failed(self) -> list[Instruction]:
        has_failed = [slot.state is TaskState.FAILED for slot in self._slots.values()]
        return [Stop(self._failure)] if has_failed and all(has_failed) else []

    # --- work ----------------------------------------------------------------------------------------------------

    def copy_ahead(self, most_bytes: int) -> int:
        """Between slices of work, copy about so many bytes of state for snapshots that are due; how many it were."""
        return self._snapshots.copy_ahead(most_bytes)

    def _work(self, now_ms: int, records: int) -> list[Instruction]:
        instructions, self.taken = list[Instruction](), 0
        over = self._transactions.last_over
        fairly = sorted(self._slots.values(), key=lambda slot: slot.served)  # the one that waits longest first
        slot = next((slot for slot in fairly if slot.has_work(now_ms) and slot.ready_after <= over), None)
        if slot is not None and not self._must_wait:
            instructions += self._handle(slot, now_ms, min(records, slot.slice_records or records))
        elif slot is None:
            self.taken, replayed = self._standbys.work(now_ms, records)
            instructions += replayed
        if self.schedule.is_due(now_ms, lambda: self.has_work(now_ms)):
            instructions += self._close(now_ms)
            if not self._transactions.is_committing and not self._is_stopping:
                instructions += self._snapshots.publish_of_idle(now_ms)
        return instructions

    def _handle(self, slot: Slot, now_ms: int, records: int) -> list[Instruction]:
        self._served = slot.served = self._served + 1
        try:
            outputs, instructions = slot.handle(now_ms, records)
        except TaskCorrupted as error:
            return self._restore_again(slot, error)
        self.taken = slot.taken
        if outputs is None:
            return instructions
        self._handled = slot.handled
        if outputs.needs_schema is not None:
            instructions += self._ask_schema(slot, outputs.needs_schema)
        task, batches = slot.task, outputs.sent_on + outputs.rows + outputs.transactional
        if self._settings.is_immediate:
            instructions += self._transactions.send(task.partition, task.epoch, outputs.predictions)
        else:
            batches = outputs.predictions + batches
        task.keep_outputs(batches)
        return instructions + self._transactions.produce(batches)

    def _ask_schema(self, slot: Slot, schema_id: int) -> list[Instruction]:
        if answer := self._schemas.get(schema_id):
            slot.answer_schema(answer)
            return []
        return [FetchSchema(schema_id)]

    @property
    def _must_wait(self) -> bool:
        """While tasks are sent apart, nothing may leave at once beside them: its failure would be taken for theirs."""
        return self._transactions.held_bytes > self._settings.held_bytes or self._transactions.is_apart

    # --- commit --------------------------------------------------------------------------------------------------

    def _close(self, now_ms: int) -> list[Instruction]:
        """Close all open cycles and commit them; nothing if there are none or a commit is under way."""
        # A backfill's first cycle is open at once, and may have to wait as outputs do (rule 7).
        over = self._transactions.last_over
        slots = [slot for slot in self._slots.values() if slot.has_open_cycle and slot.ready_after <= over]
        if self._transactions.is_committing or not slots:
            return []
        self.schedule.began(now_ms)
        return self._transactions.commit([self._close_cycle(slot, now_ms) for slot in slots])

    def _close_cycle(self, slot: Slot, now_ms: int) -> ClosedCycle:
        effects = slot.task.close_cycle()
        is_due = self._snapshots.is_due(slot, now_ms)
        checkpoint = self._snapshots.checkpoint(slot, now_ms) if is_due else None
        return ClosedCycle(effects, slot.task.metrics, checkpoint)

    def _commit_returned(self, returned: CommitReturned, now_ms: int) -> list[Instruction]:
        if not self._transactions.is_awaited(returned.transaction):
            return []
        if returned.outcome is CommitOutcome.FENCED:
            return [Stop(StreamError(returned.message))]
        instructions = self._settled(returned)
        if self._transactions.is_committing:
            return instructions
        instructions += self._find_if_settled()
        if self._is_stopping or self._releasing:
            instructions += self._close(now_ms) or self._release_if_done()
        else:  # where one task or another is always busy, there is no commit interval without a commit
            instructions += self._snapshots.publish_of_idle(now_ms)
        return instructions + self._stop_if_done(now_ms)

    def _settled(self, returned: CommitReturned) -> list[Instruction]:
        """What follows from the outcome for what was in flight."""
        if returned.outcome is CommitOutcome.REFUSED:
            is_stale = self._releasing and self._transactions.is_stale(returned.message)
            release = [*self._release(), *self._drop_outputs()] if is_stale else []
            return release + self._transactions.send_again(returned.message)
        if returned.outcome is CommitOutcome.UNSENDABLE:
            return self._unsendable(returned.message)
        cycles = self._transactions.committed()
        self._done += [(cycle.effects.partition, cycle.metrics) for cycle in cycles]
        published = self._snapshots.publish([cycle.checkpoint for cycle in cycles if cycle.checkpoint is not None])
        return published + self._transactions.go_on()

    def _unsendable(self, reason: str) -> list[Instruction]:
        """Rule 12: sent again task by task, what is refused a second time stops the one task that it is of."""
        effects = self._transactions.give_up()
        if effects is None:
            return self._transactions.send_apart()
        stopped: list[Instruction] = []
        if self._owns(effects.partition, effects.epoch):
            where = f"partition {effects.partition}: cycle {effects.journal.cycle} was refused twice, the last with: "
            stopped = self._fail(self._slots[effects.partition], StreamError(where + reason))
        return stopped + self._transactions.go_on()

    def _owns(self, partition: int, epoch: int) -> bool:
        slot = self._slots.get(partition)
        return slot is not None and slot.task.epoch == epoch and slot.state is not TaskState.FAILED

    # --- leaving -------------------------------------------------------------------------------------------------

    def _release_if_done(self) -> list[Instruction]:
        return [] if self._transactions.is_committing or not self._releasing else self._release()

    def _release(self) -> list[Instruction]:
        released, self._releasing = self._releasing, ()
        self._forget(released)
        return [Release(released), *self._stop_if_failed()]

    def _stop_if_done(self, now_ms: int) -> list[Instruction]:
        """Once all is committed: a last snapshot of each task, so that the next start replays nothing; then the end."""
        if not self._is_stopping or self._transactions.is_committing:
            return []
        if last := self._snapshots.publish_last(now_ms):
            return last
        return [] if self._snapshots.is_any_written else [Stop(None)]
