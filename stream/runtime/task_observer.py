"""Tells log, health and metrics how a worker's tasks are: restoring, running, failed."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import FindTask, Follow, Instruction, StopTask, Unfollow
from stream.engine.slot import Slot
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.restore_progress import RestoreProgress

_log = structlog.get_logger("stream.worker")

_TELL_EVERY_S = 3.0


class TaskObserver:
    """The worker's loop calls it.

    Args:
        health: of the worker.
        metrics: of the worker.
        clock: gives now, in seconds.
    """

    def __init__(
        self, health: WorkerHealth, metrics: WorkerMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._partitions: set[int] = set()
        self._restoring: dict[int, RestoreProgress] = {}
        self._told_s: dict[int, float] = {}

    def assigned(self, partitions: Iterable[int]) -> None:
        """These are not ready until they are restored."""
        for partition in partitions:
            self._health.gone(partition)
            self._health.restoring(partition, 0.0)
            self._restoring[partition] = RestoreProgress(self._clock)

    def found(self, partition: int) -> None:
        """What Kafka remembers of a task is here."""
        if progress := self._restoring.get(partition):
            progress.found()

    def turned(self, slots: Sequence[Slot]) -> None:
        """After every turn of the loop: tell at once of a task that has begun to run."""
        if self._restoring:
            for slot in slots:
                if slot.state is TaskState.RUNNING and slot.task.partition in self._restoring:
                    self._restored(slot.task.partition)

    def note(self, instructions: Sequence[Instruction]) -> None:
        """Tell of tasks that turned out corrupt, and of those that failed."""
        for instruction in instructions:
            match instruction:
                case FindTask(partition, _, because) if because:
                    _log.warning("a task is restored again", partition=partition, reason=because)
                case FindTask(partition, warm=warm) if warm:
                    _log.info("a followed task is taken over", partition=partition, cycle=warm[-1][0])
                case Follow(partition):
                    _log.info("following a task", partition=partition)
                case Unfollow(partition, because) if because:
                    _log.warning("a followed task is dropped", partition=partition, reason=because)
                case StopTask(partition, error):
                    _log.error("a task failed; the others go on", partition=partition, reason=str(error))
                    self._health.failed(partition, str(error))

    def look(self, slots: Sequence[Slot], loading: Mapping[int, float]) -> None:
        """Now and then: which tasks are here, and how far they are.

        Args:
            slots: the worker's.
            loading: share of the snapshot that is loaded, of tasks that are looked for.
        """
        found = {slot.task.partition: slot for slot in slots}
        for gone in self._partitions - found.keys():
            self._metrics.forget(gone)
        for gone in (self._partitions | self._health.unready_partitions) - found.keys():
            self._health.gone(gone)
            self._restoring.pop(gone, None)
        self._partitions = set(found)
        for partition, slot in found.items():
            if slot.state in (TaskState.CREATED, TaskState.RESTORING):
                self._look_at_restore(slot, loading.get(partition, 0.0))
            elif slot.state is not TaskState.FAILED:
                self._restored(partition)
                self._metrics.record_standing(partition, slot.task.standing())
            self._metrics.record_failed(partition, slot.state is TaskState.FAILED)
            if slot.waiting_for_order is not None:
                self._metrics.record_order(partition, slot.waiting_for_order)

    def _look_at_restore(self, slot: Slot, loaded: float) -> None:
        partition, now = slot.task.partition, self._clock()
        progress = self._restoring.setdefault(partition, RestoreProgress(self._clock))
        if slot.state is TaskState.CREATED:
            progress.loading(loaded)
        else:
            progress.replaying(slot.restored_share)
        self._health.restoring(partition, progress.share, progress.seconds_left)
        self._metrics.record_restore(partition, progress.share, progress.seconds_left)
        if now - self._told_s.get(partition, -_TELL_EVERY_S) >= _TELL_EVERY_S:
            self._told_s[partition] = now
            left = {} if progress.seconds_left is None else {"seconds_left": round(progress.seconds_left)}
            _log.info("restoring", partition=partition, share=f"{progress.share:.0%}", **left)

    def _restored(self, partition: int) -> None:
        if progress := self._restoring.pop(partition, None):
            _log.info("restored", partition=partition, **progress.parts())
        self._told_s.pop(partition, None)
        self._health.restored(partition)
        self._metrics.record_restore(partition, 1.0, 0.0)
