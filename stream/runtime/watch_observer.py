"""Tells log, health and metrics how a worker's inputs stand (rule 20)."""

from collections.abc import Collection

import structlog

from stream.engine.protocol import InputsWatched
from stream.kafka.input_margins import InputReport
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics

_log = structlog.get_logger("stream.worker")


class WatchObserver:
    """The worker's loop calls it now and then; what has not changed is not told again.

    Args:
        health: of the worker.
        metrics: of the worker.
    """

    def __init__(self, health: WorkerHealth, metrics: WorkerMetrics) -> None:
        self._health = health
        self._metrics = metrics
        self._last = InputReport()
        self._held_back: set[int] = set()

    def told(self, watched: InputsWatched) -> None:
        """The worker is told how the inputs of one of its tasks stand: again and again while they are in danger."""
        partition, danger = watched.partition, watched.danger
        if danger:
            if partition not in self._held_back:
                _log.error("a partition is held back", partition=partition, reason=danger)
            self._held_back.add(partition)
            self._health.held_back(partition, danger)
        elif partition in self._held_back:
            _log.info("a partition goes on", partition=partition)
            self._let_go(partition)

    def look(self, report: InputReport, partitions: Collection[int]) -> None:
        """Compare the last look at the inputs with the one before.

        Args:
            report: the last look.
            partitions: those of this worker.
        """
        for gone in self._held_back - set(partitions):
            self._let_go(gone)
        self._metrics.record_inputs(report, partitions)
        before, self._last = self._last, report
        for warning in report.warnings:
            if warning not in before.warnings:
                _log.error("inputs: " + warning)
        for warning in before.warnings:
            if warning not in report.warnings:
                _log.info("inputs: no more so", warning=warning)

    def _let_go(self, partition: int) -> None:
        self._held_back.discard(partition)
        self._health.goes_on(partition)
