"""Tells health and metrics how the tasks stand that a worker follows (rule 25)."""

from collections.abc import Sequence

from stream.engine.lifecycle import TaskState
from stream.engine.slot import Slot
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics


class StandbyObserver:
    """The worker's loop calls it now and then.

    Args:
        health: of the worker.
        metrics: of the worker.
        replicas: workers that are to follow each task.
    """

    def __init__(self, health: WorkerHealth, metrics: WorkerMetrics, replicas: int) -> None:
        self._health = health
        self._metrics = metrics
        self._replicas = replicas
        self._partitions: set[int] = set()

    def look(self, owned: int, followed: Sequence[Slot]) -> None:
        """Tell which tasks are followed now, and how far behind their owners they are.

        Args:
            owned: how many tasks the worker has itself.
            followed: other workers' that it follows.
        """
        partitions = {slot.task.partition for slot in followed}
        for gone in self._partitions - partitions:
            self._metrics.forget_standby(gone)
        self._partitions = partitions
        warm = [slot for slot in followed if slot.state is TaskState.STANDBY]
        self._health.following(len(followed), len(warm))
        for slot in followed:
            behind = slot.records_behind if slot.state is TaskState.STANDBY else None
            self._metrics.record_standby(slot.task.partition, behind, slot.task.state.state_bytes)
        self._metrics.record_standbys(wanted=owned * self._replicas, warm=len(warm))
