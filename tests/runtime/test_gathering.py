"""Records come together where little comes: for how long, and when not."""

import time

import pytest

from stream.engine.lifecycle import TaskState
from stream.runtime.gathering import rest_s
from tests.runtime.test_worker_loop import make_loop, slot


@pytest.mark.parametrize(
    ("taken", "left_s", "rested_s"),
    [
        (48, 0.095, 0.025),
        (48, 0.020, 0.020),
        (48, 0.0, 0.0),
        (48, -5.0, 0.0),
        (0, 0.095, 0.0),
        (512, 0.095, 0.0),
    ],
    ids=["a quarter", "until the end", "due", "long due", "nothing came", "much came"],
)
def test_a_handful_waits_for_more_until_the_commit_is_due(taken: int, left_s: float, rested_s: float) -> None:
    """And never beyond: the commit does not come later for it."""
    assert rest_s(taken, left_s) == pytest.approx(rested_s)


@pytest.mark.parametrize(
    ("delivery", "state", "stages", "left_s", "rested", "waited_s"),
    [
        ("exactly-once", TaskState.RUNNING, 1, 0.060, [0.025], 0.010),
        ("exactly-once", TaskState.RUNNING, 1, 0.030, [0.025], 0.005),
        ("exactly-once", TaskState.RUNNING, 1, 0.002, [0.002], 0.0),
        ("exactly-once", TaskState.RUNNING, 1, -1.0, [0.0], 0.0),
        ("exactly-once", TaskState.RESTORING, 1, 0.060, [], 0.010),
        ("exactly-once", TaskState.RUNNING, 2, 0.060, [], 0.005),
        ("immediate", TaskState.RUNNING, 1, 0.060, [], 0.010),
        ("immediate", TaskState.RUNNING, 1, 0.004, [], 0.004),
    ],
)
def test_only_what_leaves_with_its_commit_is_gathered(
    monkeypatch: pytest.MonkeyPatch,
    delivery: str,
    state: TaskState,
    stages: int,
    left_s: float,
    rested: list[float],
    waited_s: float,
) -> None:
    """A restore goes on, stages do not wait for each other, and no wait for records goes beyond the commit's time."""
    loop, worker, _ = make_loop(monkeypatch, stages, delivery=delivery)
    worker.slots = [slot(0, state)]
    worker.schedule.began(7_000)
    slept: list[float] = []
    monkeypatch.setattr(time, "time", lambda: 7.1 - left_s + sum(slept))
    monkeypatch.setattr(time, "sleep", slept.append)
    loop._taken = 48

    assert loop._wait_s() == pytest.approx(waited_s)
    assert slept == pytest.approx(rested)


def test_where_records_are_at_hand_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is behind goes on at once."""
    loop, worker, _ = make_loop(monkeypatch)
    worker.is_behind = True
    loop._taken = 48
    assert loop._wait_s() == 0.0


def test_where_nothing_came_and_nothing_is_due_the_next_record_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker looks a hundred times a second, and not more often."""
    loop, _, _ = make_loop(monkeypatch)
    assert loop._wait_s() == pytest.approx(0.01)
