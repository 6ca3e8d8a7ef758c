"""The metrics of a worker: plain methods that its loop calls once per cycle, batch or commit, never once per event.

Label values come from the app's declaration, from enums and from the partitions at hand, so that the number of series
does not grow with the traffic; names that nobody declared are counted as `other`.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.engine.metrics import CycleMetrics, LabelOutcome, Standing
from stream.kafka.input_margins import InputReport
from stream.records import RejectReason
from stream.runtime.histogram import ArrayHistogram

OTHER = "other"
# 64 partitions times 64 signals are 4,096 series, which one Prometheus scrape takes in its stride.
SIGNALS_MAX = 64

_LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_BOUNDS = (1, 10, 100, 1_000, 10_000, 100_000)
_PARTITION = ("partition",)


class WorkerMetrics:
    """Everything a worker shows on /metrics.

    `models` and `signals` are the declared ones: they bound the values of the labels `model` and `signal`. At most
    SIGNALS_MAX signals are shown, in declared order; `stream_drift_signals_hidden` says how many are not.
    """

    def __init__(
        self,
        app: str,
        models: Sequence[str],
        signals: Sequence[str],
        version: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        self._signals = frozenset(signals[:SIGNALS_MAX])
        self._now = now
        self._partitioned: list[Gauge | Counter] = []
        self._declare_input()
        self._declare_learning()
        self._declare_state()
        self._declare_standbys()
        self._declare_worker()
        Gauge("stream_app_info", "1; the app as labels", ("app", "version"), registry=self.registry).labels(
            app, version
        ).set(1)
        hidden = Gauge("stream_drift_signals_hidden", "declared signals beyond those shown", registry=self.registry)
        hidden.set(max(0, len(signals) - SIGNALS_MAX))

    def record_cycle(self, partition: int, cycle: CycleMetrics) -> None:
        """Add what a committed cycle of a task did."""
        self._events.labels(partition).inc(cycle.events)
        self._undecided.labels(partition).inc(cycle.undecided)
        self._alerts.inc(cycle.alerts)
        self._evictions.labels(partition).inc(cycle.losses.keys_evicted)
        self._expiries.labels(partition).inc(cycle.losses.keys_expired)
        self._late_events.labels(partition).inc(cycle.losses.late_events)
        self._window_events_dropped.labels(partition).inc(cycle.losses.window_events_dropped)
        self._label_rows_evicted.labels(partition).inc(cycle.losses.label_rows_evicted)
        for reason, count in cycle.rejections.items():
            self._rejections.labels(reason.value).inc(count)
        for outcome, count in cycle.labels.items():
            self._labels.labels(outcome.value).inc(count)
        for model, count in cycle.learned.items():
            self._learned.labels(self._model(model)).inc(count)

    def record_standing(self, partition: int, standing: Standing) -> None:
        """Set how a task stands."""
        self._state_bytes.labels(partition).set(standing.state_bytes)
        self._state_keys.labels(partition).set(standing.state_keys)
        for model, values in standing.models.items():
            for metric, value in values.items():
                self._model_metric.labels(partition, self._model(model), metric).set(value)
        for statistic in standing.drift:
            if statistic.signal in self._signals:
                labels = (partition, self._model(statistic.model), statistic.signal, statistic.detector)
                self._drift.labels(*labels).set(statistic.value)

    def record_batch(self, events: int, process_s: float) -> None:
        """Add one processed batch: its size and how long the engine took for it."""
        self._batch_size.observe(events)
        self._process_seconds.observe(process_s)

    def record_latencies(self, seconds: NDArray[np.float64]) -> None:
        """Add the time from each event's Kafka timestamp to its prediction's commit; (n,), NaN where unknown."""
        self._latency.observe(seconds)

    def record_lag(self, partition: int, records: int) -> None:
        """Set how many records of this partition of the event topic wait."""
        self._lag.labels(partition).set(records)

    def record_commit(self, seconds: float) -> None:
        """Add one committed transaction and how long its commit took."""
        self._commits.inc()
        self._commit_seconds.observe(seconds)

    def record_abort(self) -> None:
        """Add one aborted or refused transaction."""
        self._aborts.inc()

    def record_snapshot(self, partition: int, created_ms: int) -> None:
        """Set when this partition's newest snapshot was taken; its age is computed at each scrape."""
        self._snapshot_age.labels(partition).set_function(lambda: self._now() - created_ms / 1000)

    def record_compile(self, seconds: float) -> None:
        """Set how long kernels were compiled for at start (0 with a warm cache)."""
        self._compile_seconds.set(seconds)

    def record_restore(self, partition: int, share: float, seconds_left: float | None) -> None:
        """Set how much of a task is restored, 0 to 1, and how long the rest takes; None where that is not known."""
        self._restore_share.labels(partition).set(share)
        self._restore_left.labels(partition).set(math.nan if seconds_left is None else seconds_left)

    def record_failed(self, partition: int, is_failed: bool) -> None:
        """Set whether a task has stopped for good, while others of its worker go on."""
        self._failed.labels(partition).set(is_failed)

    def record_order(self, partition: int, waiting: int) -> None:
        """Set how many events of a partition wait for earlier ones, which are still on their way."""
        self._waiting.labels(partition).set(waiting)

    def record_inputs(self, report: InputReport, partitions: Collection[int]) -> None:
        """Set how the inputs of these partitions stand, as of the last look at them."""
        self._input_warnings.set(len(report.warnings))
        for source, margin in report.margins.items():
            if source.partition in partitions:
                self._input_margin.labels(source.partition, source.topic).set(margin)
        for partition in partitions:
            self._held_back.labels(partition).set(partition in report.dangers)

    def record_standbys(self, wanted: int, warm: int) -> None:
        """Set how many followers this worker's tasks should have, and how many tasks of others it could take over."""
        self._standbys_wanted.set(wanted)
        self._standbys_warm.set(warm)

    def record_standby(self, partition: int, behind: int | None, state_bytes: int) -> None:
        """Set how a followed task stands.

        Args:
            partition: of the task, which is another worker's.
            behind: records that its owner has committed and this worker has not replayed; None until it is loaded.
            state_bytes: bytes of its state here.
        """
        self._standby_lag.labels(partition).set(math.nan if behind is None else behind)
        self._standby_bytes.labels(partition).set(state_bytes)

    def forget_standby(self, partition: int) -> None:
        """Drop the series of a task that is followed no more."""
        for metric in (self._standby_lag, self._standby_bytes):
            metric.remove(partition)

    def forget(self, partition: int) -> None:
        """Drop the series of a partition that was given back or lost: another worker shows them now."""
        for metric in self._partitioned:
            metric.remove_by_labels({"partition": str(partition)})

    def _model(self, name: str) -> str:
        return name if not name or name in self._models else OTHER

    def _declare_input(self) -> None:
        self._events = self._counter("stream_events", "events accepted and scored", _PARTITION)
        self._undecided = self._counter(
            "stream_undecided", "predictions without a decision: the deciding model's score was NaN", _PARTITION
        )
        self._rejections = self._counter("stream_rejections", "records rejected, by reason", ("reason",))
        self._lag = self._gauge("stream_lag_records", "records of the event topic that wait", _PARTITION)
        self._batch_size = Histogram(
            "stream_batch_events", "events in a batch", buckets=_BATCH_BOUNDS, registry=self.registry
        )
        self._process_seconds = Histogram(
            "stream_process_seconds", "engine time of a batch", buckets=_LATENCY_BOUNDS_S, registry=self.registry
        )
        self._latency = ArrayHistogram(
            "stream_latency_seconds",
            "from an event's Kafka timestamp to its prediction's commit, or to its sending where delivery is immediate",
            _LATENCY_BOUNDS_S,
        )
        self.registry.register(self._latency)
        for reason in RejectReason:  # a series that starts at 0 lets rate() see the first one
            self._rejections.labels(reason.value)

    def _declare_learning(self) -> None:
        outcomes = ", ".join(outcome.value for outcome in LabelOutcome)
        self._labels = self._counter("stream_labels", f"labels, by what became of them: {outcomes}", ("outcome",))
        self._learned = self._counter("stream_learned", "events learned from, by model", ("model",))
        self._model_metric = self._gauge("stream_model_metric", "prequential metrics", ("partition", "model", "metric"))
        self._drift = self._gauge(
            "stream_drift_statistic", "where a detector's signal stands", ("partition", "model", "signal", "detector")
        )
        self._alerts = Counter("stream_alerts", "alerts raised", registry=self.registry)
        for outcome in LabelOutcome:
            self._labels.labels(outcome.value)
        for model in self._models:
            self._learned.labels(model)

    def _declare_state(self) -> None:
        self._state_bytes = self._gauge("stream_state_bytes", "bytes of a task's state", _PARTITION)
        self._state_keys = self._gauge("stream_state_keys", "keys in a task's keyed state", _PARTITION)
        self._evictions = self._counter("stream_evictions", "keys evicted to keep the budget", _PARTITION)
        self._expiries = self._counter("stream_expiries", "keys forgotten after their `key_expiry`", _PARTITION)
        self._late_events = self._counter(
            "stream_late_events", "events behind the lateness: scored, but not in windows", _PARTITION
        )
        self._window_events_dropped = self._counter(
            "stream_window_events_dropped", "events that left a window early to keep the budget", _PARTITION
        )
        self._label_rows_evicted = self._counter(
            "stream_label_rows_evicted", "features dropped before their label's horizon to keep the budget", _PARTITION
        )
        self._input_margin = self._gauge(
            "stream_input_margin_records",
            "offsets between an input's start and the older snapshot: below 0 a restore would miss records (rule 20)",
            ("partition", "topic"),
        )
        self._held_back = self._gauge(
            "stream_held_back",
            "1 where a partition takes nothing, because records that a restore needs are gone (rule 20)",
            _PARTITION,
        )
        self._waiting = self._gauge(
            "stream_waiting_for_order_events",
            "events that wait for earlier ones, which are still on their way through other stages (rule 34)",
            _PARTITION,
        )
        self._snapshot_age = self._gauge("stream_snapshot_age_seconds", "age of the newest snapshot", _PARTITION)
        self._restore_share = self._gauge("stream_restore_share", "share of a task's restore that is done", _PARTITION)
        self._restore_left = self._gauge(
            "stream_restore_seconds_left", "what a task's restore still takes; NaN while unknown", _PARTITION
        )
        self._failed = self._gauge(
            "stream_task_failed", "1 where a task has stopped for a reason that its log tells (rule 12)", _PARTITION
        )

    def _declare_standbys(self) -> None:
        self._standbys_wanted = self._gauge(
            "stream_standbys_wanted", "followers that this worker's tasks should have (`standby_replicas`, rule 25)", ()
        )
        self._standbys_warm = self._gauge(
            "stream_standbys_warm", "other workers' tasks that are loaded here, and could be taken over at once", ()
        )
        # Not among the partitioned ones: a partition's task is this worker's, or one that it follows.
        self._standby_lag = Gauge(
            "stream_standby_lag_records",
            "records of a followed task that its owner has committed and this worker has not replayed; NaN until it is "
            "loaded",
            _PARTITION,
            registry=self.registry,
        )
        self._standby_bytes = Gauge(
            "stream_standby_state_bytes", "bytes of a followed task's state", _PARTITION, registry=self.registry
        )

    def _declare_worker(self) -> None:
        self._commits = Counter("stream_commits", "transactions committed", registry=self.registry)
        self._aborts = Counter("stream_aborts", "transactions aborted or refused", registry=self.registry)
        self._commit_seconds = Histogram(
            "stream_commit_seconds", "time of a commit", buckets=_LATENCY_BOUNDS_S, registry=self.registry
        )
        self._input_warnings = Gauge(
            "stream_input_warnings",
            "what the log says is not as it should be about the inputs and the brokers' clock (rule 20)",
            registry=self.registry,
        )
        self._compile_seconds = Gauge("stream_compile_seconds", "time of compilation at start", registry=self.registry)

    def _counter(self, name: str, documentation: str, labels: Sequence[str]) -> Counter:
        counter = Counter(name, documentation, labels, registry=self.registry)
        if "partition" in labels:
            self._partitioned.append(counter)
        return counter

    def _gauge(self, name: str, documentation: str, labels: Sequence[str]) -> Gauge:
        gauge = Gauge(name, documentation, labels, registry=self.registry)
        if "partition" in labels:
            self._partitioned.append(gauge)
        return gauge
