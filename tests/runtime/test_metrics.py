"""What a worker shows to Prometheus and to its supervisor."""

import math
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence

import numpy as np
import pytest

from stream.engine.metrics import CycleMetrics, DriftStatistic, LabelOutcome, Losses, Standing
from stream.errors import ConfigError
from stream.records import RejectReason
from stream.runtime.health import WorkerHealth
from stream.runtime.histogram import ArrayHistogram
from stream.runtime.metrics import SIGNALS_MAX, WorkerMetrics
from stream.runtime.metrics_server import MetricsServer


def cycle(**changed: object) -> CycleMetrics:
    """A cycle of 10 events in which every kind of count occurs."""
    values: dict[str, object] = {
        "events": 10,
        "undecided": 1,
        "rejections": {RejectReason.TRUNCATED: 2},
        "labels": {LabelOutcome.JOINED: 4, LabelOutcome.LATE: 1},
        "learned": {"champion": 4},
        "alerts": 1,
        "losses": Losses(3, 4, 5, 6, 7),
    }
    return CycleMetrics(**{**values, **changed})  # type: ignore[arg-type]


def standing(keys: int = 7, drift: Sequence[DriftStatistic] = ()) -> Standing:
    """Of a task whose champion has a figure, and a detector on its errors."""
    detectors = (DriftStatistic("champion", "error", "ADWIN", 0.25), *drift)
    return Standing({"champion": {"roc_auc": 0.9}}, detectors, state_bytes=4096, state_keys=keys)


def series_of(metrics: WorkerMetrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Name and labels of every series on /metrics."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_counts_of_cycles_add_up_and_states_replace() -> None:
    """Counters grow by what each cycle did; state and model metrics are those of the last look."""
    metrics = WorkerMetrics("fraud", ["champion"], ["error"])

    metrics.record_cycle(3, cycle())
    metrics.record_cycle(3, cycle(events=5))
    metrics.record_standing(3, standing())
    metrics.record_standing(3, standing(keys=9))

    value = metrics.registry.get_sample_value
    assert value("stream_events_total", {"partition": "3"}) == 15
    assert value("stream_undecided_total", {"partition": "3"}) == 2
    assert value("stream_rejections_total", {"reason": "truncated"}) == 4
    assert value("stream_labels_total", {"outcome": "joined"}) == 8
    assert value("stream_labels_total", {"outcome": "unknown"}) == 0
    assert value("stream_learned_total", {"model": "champion"}) == 8
    assert value("stream_alerts_total") == 2
    assert value("stream_evictions_total", {"partition": "3"}) == 6
    assert value("stream_expiries_total", {"partition": "3"}) == 8
    assert value("stream_late_events_total", {"partition": "3"}) == 10
    assert value("stream_window_events_dropped_total", {"partition": "3"}) == 12
    assert value("stream_label_rows_evicted_total", {"partition": "3"}) == 14
    assert value("stream_state_keys", {"partition": "3"}) == 9
    assert value("stream_model_metric", {"partition": "3", "model": "champion", "metric": "roc_auc"}) == 0.9
    drift = {"partition": "3", "model": "champion", "signal": "error", "detector": "ADWIN"}
    assert value("stream_drift_statistic", drift) == 0.25


def test_metric_label_cardinality_does_not_grow_with_the_traffic() -> None:
    """A thousand undeclared models and signals add no series beyond `other`."""
    metrics = WorkerMetrics("fraud", ["champion"], ["error"])
    metrics.record_cycle(0, cycle(learned={"champion": 1, "intruder": 1}))
    metrics.record_standing(0, standing())
    before = series_of(metrics)

    for number in range(1_000):
        noise = (DriftStatistic("", f"feature:{number}", "ADWIN", 1.0),)
        metrics.record_cycle(0, cycle(learned={f"model-{number}": 1}))
        metrics.record_standing(0, standing(drift=noise))

    assert series_of(metrics) == before
    assert metrics.registry.get_sample_value("stream_learned_total", {"model": "other"}) == 1_001


def test_an_app_with_too_many_signals_shows_the_first_and_says_how_many_it_hides() -> None:
    """SIGNALS_MAX signals are shown; the number of the others is a metric."""
    names = [f"feature:{number}" for number in range(SIGNALS_MAX + 6)]
    metrics = WorkerMetrics("fraud", [], names)

    metrics.record_standing(0, standing(drift=[DriftStatistic("", name, "ADWIN", 0.0) for name in names]))

    shown = [name for name, _ in series_of(metrics) if name == "stream_drift_statistic"]
    assert len(shown) == SIGNALS_MAX
    assert metrics.registry.get_sample_value("stream_drift_signals_hidden") == 6


def test_a_partition_that_was_given_back_leaves_no_series() -> None:
    """After `forget` nothing carries the partition; others stay."""
    metrics = WorkerMetrics("fraud", ["champion"], ["error"])
    for partition in (1, 2):
        metrics.record_cycle(partition, cycle())
        metrics.record_standing(partition, standing())
        metrics.record_lag(partition, 5)
        metrics.record_snapshot(partition, 0)
        metrics.record_restore(partition, 0.5, 3.0)
        metrics.record_failed(partition, False)

    metrics.forget(1)

    partitions = {dict(labels)["partition"] for _, labels in series_of(metrics) if "partition" in dict(labels)}
    assert partitions == {"2"}


def test_the_age_of_a_snapshot_grows_between_scrapes() -> None:
    """The age is computed when it is asked for."""
    clock = [100.0]
    metrics = WorkerMetrics("fraud", [], [], now=lambda: clock[0])
    metrics.record_snapshot(0, 90_000)

    assert metrics.registry.get_sample_value("stream_snapshot_age_seconds", {"partition": "0"}) == 10.0
    clock[0] = 130.0
    assert metrics.registry.get_sample_value("stream_snapshot_age_seconds", {"partition": "0"}) == 40.0


def test_a_histogram_counts_an_array_as_prometheus_counts_one_by_one() -> None:
    """Bounds are inclusive, buckets cumulative, and NaN (nothing measured) is left out."""
    histogram = ArrayHistogram("seconds", "a test", (0.1, 1.0))

    histogram.observe(np.array([0.05, 0.1, 0.5, 7.0, math.nan]))

    samples = {(s.name, s.labels.get("le")): s.value for family in histogram.collect() for s in family.samples}
    assert samples[("seconds_bucket", "0.1")] == 2
    assert samples[("seconds_bucket", "1")] == 3
    assert samples[("seconds_bucket", "+Inf")] == 4
    assert samples[("seconds_count", None)] == 4
    assert samples[("seconds_sum", None)] == pytest.approx(7.65)


def test_readiness_says_how_far_the_restore_is() -> None:
    """starting, then restoring with its share over all tasks, then running."""
    health = WorkerHealth()
    assert (health.is_ready, health.sentence()) == (False, "starting")

    health.running()
    health.restoring(0, 0.29)
    assert (health.is_ready, health.sentence()) == (False, "restoring 29 %")
    health.restoring(1, 0.95, seconds_left=4.2)
    assert health.sentence() == "restoring 62 %, 4 s left"

    health.restored(0)
    health.restored(1)
    assert (health.is_ready, health.sentence()) == (True, "running")
    health.stopping()
    assert (health.is_ready, health.sentence()) == (False, "stopping")


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_server_shows_metrics_health_and_readiness() -> None:
    """Status codes are what a supervisor acts on; the bodies are for people."""
    clock = [0.0]
    health = WorkerHealth(120.0, clock=lambda: clock[0])
    metrics = WorkerMetrics("fraud", ["champion"], [])
    metrics.record_cycle(0, cycle())
    with MetricsServer("127.0.0.1", 0, metrics.registry, health) as server:
        assert get(server.port, "/readyz") == (503, "starting\n")
        health.running()
        assert get(server.port, "/readyz") == (200, "running\n")
        assert get(server.port, "/healthz") == (200, "alive\n")
        status, text = get(server.port, "/metrics")
        assert status == 200
        assert 'stream_events_total{partition="0"} 10.0' in text
        assert get(server.port, "/favicon.ico")[0] == 404
        clock[0] = 3600.0  # it compiles
        assert get(server.port, "/healthz")[0] == 200
        health.turned()
        clock[0] += 119.0
        assert get(server.port, "/healthz")[0] == 200
        clock[0] += 1.0
        assert get(server.port, "/healthz") == (503, "the poll loop has not turned for 120 s\n")
        health.turned()
        assert get(server.port, "/healthz")[0] == 200


def test_a_port_in_use_is_one_clear_error() -> None:
    """The error names the port and what to do, and no server is left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"metrics port {port} on 127.0.0.1 is in use") as caught:
            MetricsServer("127.0.0.1", port, WorkerMetrics("fraud", [], []).registry, WorkerHealth())
    assert "a slot of its own (`--slot 1 --metrics-port 0`)" in str(caught.value)
    assert "`stream run APP --workers 2` gives both" in str(caught.value)
