"""What operators see of a worker's tasks: how far a restore is, and that one has failed."""

from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

from stream.engine.lifecycle import TaskState
from stream.engine.metrics import Standing
from stream.engine.protocol import FindTask, StopTask
from stream.errors import StreamError, TaskCorrupted
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.restore_progress import RestoreProgress
from stream.runtime.task_observer import TaskObserver


class Clock:
    """Stands where a test puts it."""

    now_s = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


class Observed:
    """An observer, and what it told."""

    def __init__(self) -> None:
        self.clock, self.health, self.metrics = Clock(), WorkerHealth(), WorkerMetrics("fraud", [], [])
        self.observer = TaskObserver(self.health, self.metrics, self.clock)
        self.health.running()

    def look(
        self, at_s: float, state: TaskState, share: float = 0.0, loaded: float = 0.0, waiting: int | None = None
    ) -> None:
        """Look at one task, at this time."""
        self.clock.now_s = 100.0 + at_s
        task = SimpleNamespace(partition=3, standing=lambda: Standing({}, (), state_bytes=4096, state_keys=7))
        slot: Any = SimpleNamespace(task=task, state=state, restored_share=share, waiting_for_order=waiting)
        self.observer.look([slot], {3: loaded} if loaded else {})

    def metric(self, name: str) -> float | None:
        """The value of a gauge of the task."""
        return self.metrics.registry.get_sample_value(name, {"partition": "3"})


def test_a_restore_says_how_far_it_is_and_how_long_it_takes() -> None:
    """In /readyz and metrics, from the rate so far: a quarter a second, half of it is left."""
    seen = Observed()
    seen.observer.assigned([3])
    assert (seen.health.is_ready, seen.health.sentence()) == (False, "restoring 0 %")
    seen.look(0.0, TaskState.RESTORING, 0.0)
    seen.look(2.0, TaskState.RESTORING, 0.5)

    assert seen.health.sentence() == "restoring 50 %, 2 s left"
    assert (seen.metric("stream_restore_share"), seen.metric("stream_restore_seconds_left")) == (0.5, 2.0)
    assert seen.metric("stream_state_keys") is None
    seen.look(4.0, TaskState.RUNNING, 1.0)
    assert (seen.health.is_ready, seen.health.sentence()) == (True, "running")
    assert (seen.metric("stream_state_keys"), seen.metric("stream_state_bytes")) == (7, 4096)
    assert (seen.metric("stream_restore_share"), seen.metric("stream_restore_seconds_left")) == (1.0, 0.0)


def test_a_snapshot_that_is_being_loaded_is_the_first_half() -> None:
    """Its rate says nothing of the replay's, which begins anew."""
    clock = Clock()
    progress = RestoreProgress(clock)
    for at_s, loaded in ((0.0, 0.0), (1.0, 0.2), (2.0, 0.6)):
        clock.now_s = at_s
        progress.loading(loaded)
    assert (progress.share, round(progress.seconds_left or 0, 6)) == (0.3, 3.5)

    progress.replaying(0.0)
    assert (progress.share, progress.seconds_left) == (0.5, None)
    clock.now_s = 4.0
    progress.replaying(0.5)
    assert (progress.share, round(progress.seconds_left or 0, 6)) == (0.75, 2.0)


def test_the_log_says_every_few_seconds_how_far_a_restore_is(logged: list[MutableMapping[str, Any]]) -> None:
    """Not at every look, and the end of it once."""
    seen = Observed()
    seen.observer.assigned([3])
    for second in range(7):
        seen.look(second, TaskState.RESTORING, second / 10)
    seen.look(7, TaskState.RUNNING)
    seen.look(8, TaskState.RUNNING)

    assert [(line["event"], line.get("share"), line.get("seconds_left")) for line in logged] == [
        ("restoring", "0%", None),
        ("restoring", "30%", 7),
        ("restoring", "60%", 4),
        ("restored", None, None),
    ]


def test_a_restore_that_is_over_is_told_at_once_with_its_parts(logged: list[MutableMapping[str, Any]]) -> None:
    """Rule 24: half a second until the task was found, two more of replay; not only when somebody looks again."""
    seen = Observed()
    slot: Any = SimpleNamespace(task=SimpleNamespace(partition=3), state=TaskState.RESTORING, waiting_for_order=None)
    seen.observer.assigned([3])
    seen.clock.now_s = 100.5
    seen.observer.found(3)
    seen.observer.turned([slot])
    assert logged == []

    seen.clock.now_s = 102.5
    slot.state = TaskState.RUNNING
    seen.observer.turned([slot])
    seen.observer.turned([slot])

    assert [(line["event"], line["seconds"], line["find_s"], line["replay_s"]) for line in logged] == [
        ("restored", 2.5, 0.5, 2.0)
    ]
    assert seen.health.is_ready


def test_a_task_that_failed_is_told_once_and_keeps_its_worker_from_being_ready(
    logged: list[MutableMapping[str, Any]],
) -> None:
    """Alive it is: the others go on. Once the partition is another's, that one tells."""
    seen = Observed()
    seen.look(0, TaskState.RUNNING)
    assert seen.metric("stream_task_failed") == 0.0
    seen.observer.note([StopTask(3, StreamError("a record is too large"))])
    seen.look(1, TaskState.FAILED)
    seen.look(2, TaskState.FAILED)

    assert [(line["event"], line["log_level"], line["partition"], line["reason"]) for line in logged] == [
        ("a task failed; the others go on", "error", 3, "a record is too large")
    ]
    assert (seen.health.is_alive, seen.health.is_ready) == (True, False)
    assert seen.health.sentence() == "running; partition 3 failed: a record is too large"
    assert seen.metric("stream_task_failed") == 1.0
    seen.observer.look([], {})
    assert (seen.health.is_ready, seen.health.sentence()) == (True, "running")
    assert seen.metric("stream_task_failed") is None


def test_a_task_that_is_restored_again_is_in_the_log_with_the_reason(logged: list[MutableMapping[str, Any]]) -> None:
    """An assignment is not."""
    seen = Observed()
    seen.observer.note([FindTask(3), FindTask(3, because=str(TaskCorrupted("its journal is damaged")))])

    assert [(line["event"], line["partition"], line["reason"]) for line in logged] == [
        ("a task is restored again", 3, "its journal is damaged")
    ]


def test_rule_34_events_that_wait_for_their_order_are_shown_where_any_can() -> None:
    """Of the last of several stages; one stage alone has no such series."""
    seen = Observed()
    seen.look(0.0, TaskState.RUNNING)
    assert seen.metric("stream_waiting_for_order_events") is None
    seen.look(1.0, TaskState.RUNNING, waiting=7)
    assert seen.metric("stream_waiting_for_order_events") == 7.0
