"""How a worker's inputs stand is told once: in the log, on /readyz, in metrics."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from stream.engine.protocol import InputsWatched
from stream.kafka.input_margins import InputReport
from stream.records import TopicPartition
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.watch_observer import WatchObserver

EVENTS = TopicPartition("payments", 3)


@pytest.fixture
def health() -> WorkerHealth:
    """Of a running worker."""
    health = WorkerHealth()
    health.running()
    return health


def test_a_partition_that_is_held_back_is_told_until_it_goes_on(
    health: WorkerHealth, logged: list[MutableMapping[str, Any]]
) -> None:
    """As an error with the reason; the worker is alive and not ready."""
    metrics = WorkerMetrics("app", ["champion"], [])
    observer = WatchObserver(health, metrics)
    held = InputReport((), {3: "records are gone"}, {EVENTS: -2})

    observer.told(InputsWatched(3, "records are gone"))
    observer.look(held, {3, 4})
    observer.told(InputsWatched(3, "records are gone"))

    assert (health.is_ready, health.is_alive) == (False, True)
    assert health.sentence() == "running; partition 3 is held back: records are gone"
    value = metrics.registry.get_sample_value
    assert value("stream_held_back", {"partition": "3"}) == 1
    assert value("stream_held_back", {"partition": "4"}) == 0
    assert value("stream_input_margin_records", {"partition": "3", "topic": "payments"}) == -2

    observer.look(InputReport((), {}, {EVENTS: 8}), {3, 4})
    observer.told(InputsWatched(3, ""))
    observer.told(InputsWatched(4, ""))
    assert (health.is_ready, health.sentence()) == (True, "running")
    assert value("stream_held_back", {"partition": "3"}) == 0
    assert [(line["event"], line["log_level"], line["partition"]) for line in logged] == [
        ("a partition is held back", "error", 3),
        ("a partition goes on", "info", 3),
    ]


def test_warnings_are_told_when_they_come_and_when_they_go(
    health: WorkerHealth, logged: list[MutableMapping[str, Any]]
) -> None:
    """Their number is a metric, for whoever is to be woken; the worker stays ready."""
    metrics = WorkerMetrics("app", ["champion"], [])
    observer = WatchObserver(health, metrics)
    observer.look(InputReport(("topic payments is compacted now",)), {3})
    observer.look(InputReport(("topic payments is compacted now", "a clock differs")), {3})
    assert metrics.registry.get_sample_value("stream_input_warnings") == 2
    assert health.is_ready
    observer.look(InputReport(("a clock differs",)), {3})
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("inputs: topic payments is compacted now", "error"),
        ("inputs: a clock differs", "error"),
        ("inputs: no more so", "info"),
    ]


def test_partitions_of_others_are_not_shown(health: WorkerHealth) -> None:
    """They may have gone since the last look, held back or not."""
    metrics = WorkerMetrics("app", ["champion"], [])
    observer = WatchObserver(health, metrics)
    observer.told(InputsWatched(3, "records are gone"))
    observer.look(InputReport((), {}, {EVENTS: 5}), {4})
    assert health.is_ready
    assert (
        metrics.registry.get_sample_value("stream_input_margin_records", {"partition": "3", "topic": "payments"})
        is None
    )
