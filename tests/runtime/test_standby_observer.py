"""What operators see of the tasks that a worker follows: which, and how far behind their owners (rule 25)."""

import math
from types import SimpleNamespace
from typing import Any

from stream.engine.lifecycle import TaskState
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.standby_observer import StandbyObserver


class Observed:
    """An observer of a worker whose tasks are to have one follower each, and what it told."""

    def __init__(self) -> None:
        self.health, self.metrics = WorkerHealth(), WorkerMetrics("fraud", [], [])
        self.observer = StandbyObserver(self.health, self.metrics, replicas=1)
        self.health.running()

    def metric(self, name: str, partition: int | None = None) -> float | None:
        """The value of a gauge."""
        labels = {} if partition is None else {"partition": str(partition)}
        return self.metrics.registry.get_sample_value(name, labels)


def followed(partition: int, state: TaskState, behind: int = 0) -> Any:
    """A task that is followed, so many records behind its owner."""
    task = SimpleNamespace(partition=partition, state=SimpleNamespace(state_bytes=4096))
    return SimpleNamespace(task=task, state=state, records_behind=behind)


def test_a_standby_shows_how_far_behind_its_owner_it_is_once_it_is_loaded() -> None:
    """Until then that is not known, and it could not be taken over warm."""
    seen = Observed()
    seen.observer.look(2, [followed(3, TaskState.CREATED), followed(5, TaskState.STANDBY, behind=700)])

    assert math.isnan(seen.metric("stream_standby_lag_records", 3) or 0.0)
    assert seen.metric("stream_standby_lag_records", 5) == 700
    assert seen.metric("stream_standby_state_bytes", 5) == 4096
    assert (seen.metric("stream_standbys_wanted"), seen.metric("stream_standbys_warm")) == (2, 1)
    assert (seen.health.is_ready, seen.health.sentence()) == (True, "running; 1 of 2 followed tasks warm")

    seen.observer.look(2, [followed(3, TaskState.STANDBY), followed(5, TaskState.STANDBY)])
    assert (seen.metric("stream_standby_lag_records", 3), seen.metric("stream_standbys_warm")) == (0, 2)
    assert seen.health.sentence() == "running; 2 of 2 followed tasks warm"


def test_a_task_that_is_followed_no_more_leaves_no_series() -> None:
    """It was taken over, say: what it shows as this worker's own stays."""
    seen = Observed()
    seen.observer.look(0, [followed(3, TaskState.STANDBY), followed(5, TaskState.STANDBY)])
    seen.metrics.record_lag(3, 9)
    seen.observer.look(1, [followed(5, TaskState.STANDBY)])

    assert seen.metric("stream_standby_lag_records", 3) is seen.metric("stream_standby_state_bytes", 3) is None
    assert (seen.metric("stream_lag_records", 3), seen.metric("stream_standby_lag_records", 5)) == (9, 0)
    seen.observer.look(1, [])
    assert (seen.metric("stream_standbys_wanted"), seen.metric("stream_standbys_warm")) == (1, 0)
    assert seen.health.sentence() == "running"


def test_a_partition_that_moves_from_own_to_followed_keeps_what_it_shows_as_a_standby() -> None:
    """The series of a task that was given back go; those of the standby that it is now do not."""
    seen = Observed()
    seen.metrics.record_lag(3, 9)
    seen.observer.look(0, [followed(3, TaskState.STANDBY, behind=1)])
    seen.metrics.forget(3)

    assert (seen.metric("stream_lag_records", 3), seen.metric("stream_standby_lag_records", 3)) == (None, 1)
