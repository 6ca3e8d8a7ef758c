"""Budgets: keys that go take nothing of their successors with them, full windows lose their oldest events first."""

from collections.abc import Iterator

import numpy as np
import pytest

from stream.errors import ConfigError
from stream.features import FeatureState, col
from tests.features.events import Event, plan_of, random_events, run

amount = col("amount")

KEYED = {
    "sum": amount.sum("1h"),
    "count": amount.count("1h"),
    "min": amount.min("1h"),
    "max": amount.max("1h"),
    "shops": col("merchant").nunique("1h"),
    "idle": col("time").since_last(),
    "ewm": amount.ewm_mean("1h"),
}
SMALL = {"count": amount.count("1m"), "max": amount.max("1m")}
NEW_KEY = [0.0, 0.0, np.nan, np.nan, 0.0, np.nan, np.nan]


def churning_keys(count: int, alive: int) -> Iterator[Event]:
    """Keys that come three times each and are then followed by others."""
    for row in range(count):
        key = row // (3 * alive) * alive + row % alive
        yield {"card": f"k{key}", "time": 60_000 * row, "amount": float(row), "merchant": f"shop-{row % 5}"}


def test_evicted_keys_leave_nothing_to_their_successors() -> None:
    """Given three times as many keys as the budget holds, every key's features are those of a budget without bounds."""
    events = list(churning_keys(1200, 20))
    small = FeatureState(plan_of(KEYED, state_bytes=20_000))
    large = FeatureState(plan_of(KEYED))
    got, expected = run(small, events).batch.dense, run(large, events).batch.dense
    assert small.metrics.evictions > 0
    assert large.metrics.evictions == 0
    assert small.metrics.dropped_events == 0
    np.testing.assert_array_equal(got, expected)


def test_a_key_that_was_idle_for_too_long_begins_anew() -> None:
    """With an expiry of 10 minutes: after 9 it is known, after 11 it is new, though its window still holds events."""
    state = FeatureState(plan_of(KEYED, key_expiry_ms=600_000))
    times = [0, 540_000, 540_000 + 660_000]
    dense = run(state, [{"card": "a", "time": t, "amount": 5.0, "merchant": "m"} for t in times]).batch.dense
    assert dense[1].tolist() == [5.0, 1.0, 5.0, 5.0, 1.0, 540.0, 5.0]
    np.testing.assert_array_equal(dense[2], NEW_KEY)
    assert state.metrics.expiries == 1


def test_events_of_an_expired_key_leave_the_windows_without_harm() -> None:
    """Given a key that began anew, its former events pass out of the window; the count of the new ones stays right."""
    state = FeatureState(plan_of(KEYED, key_expiry_ms=600_000))
    times = [0, 700_000, 3_600_000 - 1, 3_600_000, 3_600_001]
    events: list[Event] = [{"card": "a" if t < 10**6 else "b", "time": t, "amount": 1.0} for t in times[:3]]
    run(state, events)
    again = run(state, [{"card": "b", "time": times[3], "amount": 1.0}, {"card": "b", "time": times[4], "amount": 1.0}])
    assert again.batch.dense[:, 0].tolist() == [1.0, 2.0]
    assert again.batch.dense[:, 1].tolist() == [1.0, 2.0]


def test_a_full_reservoir_lets_the_oldest_events_leave_early_and_counts_them() -> None:
    """Given room for n events and one key: from then on its count stays, and each further event is one dropped."""
    plan = plan_of(SMALL, state_bytes=40_000)
    room = plan.budget.reservoir_events[0, 0]
    state = FeatureState(plan)
    events: list[Event] = [{"card": "a", "time": row, "amount": float(-row)} for row in range(room + 100)]
    dense = run(state, events).batch.dense
    assert dense[:, 0].tolist() == [float(min(row, room - 1)) for row in range(room + 100)]
    assert state.metrics.dropped_events == 100
    assert dense[room + 50, 1] == -51.0  # the largest of those still there


def test_ten_weighted_features_cost_at_most_400_bytes_a_key_and_a_window_24_an_event() -> None:
    """What the plan says, for each kind of window beside what it shares with others."""
    weighted = {f"mean_{n}": amount.ewm_mean(f"{n}h") for n in range(1, 11)}
    assert sum(cost.key_bytes for cost in plan_of(weighted).costs()) <= 400
    varied = {f"var_{n}": amount.ewm_var(f"{n}h") for n in range(1, 11)}
    assert sum(cost.key_bytes for cost in plan_of(varied).costs()) <= 400
    for window in (amount.sum("1h"), amount.count("1h"), amount.mean("1h")):
        assert [cost.event_bytes for cost in plan_of({"x": window}).costs()] == [24]
    shared = plan_of({"sum": amount.sum("1h"), "mean": amount.mean("1d"), "max": amount.max("1h")}).costs()
    assert [cost.event_bytes for cost in shared] == [24, 0, 8]


@pytest.mark.parametrize("window", ["sum", "count", "mean", "max", "nunique"])
def test_every_event_in_a_window_takes_the_stated_bytes(window: str) -> None:
    """Given 2,048 events in a window and as many more: how many bytes longer the arrays are."""
    value = col("merchant").nunique("1h") if window == "nunique" else getattr(amount, window)("1h")
    plan = plan_of({"x": value})
    state = FeatureState(plan)
    events: list[Event] = [{"card": "a", "time": n, "amount": float(n), "merchant": f"m{n}"} for n in range(4096)]
    run(state, events[:2048])
    before = sum(array.nbytes for array in state.arrays().values())
    run(state, events[2048:])
    taken = sum(array.nbytes for array in state.arrays().values()) - before
    assert taken == 2048 * sum(cost.event_bytes for cost in plan.costs())


def test_the_state_of_many_keys_stays_within_the_stated_bytes() -> None:
    """Given 5,000 keys and two weighted means: measured bytes a key against the plan's."""
    plan = plan_of({f"mean_{n}": amount.ewm_mean(f"{n}h") for n in (1, 2)})
    state = FeatureState(plan)
    run(state, [{"card": f"k{n}", "time": n, "amount": 1.0} for n in range(5000)])
    stated = sum(cost.key_bytes for cost in plan.costs())
    assert state.metrics.keys == 5000
    assert state.metrics.bytes <= 5000 * stated + 1000


def test_a_budget_too_small_is_refused() -> None:
    """The error says how much it would hold."""
    with pytest.raises(ConfigError, match="state_bytes=2000 leaves room for"):
        plan_of(KEYED, state_bytes=2000)


def test_memory_follows_the_longest_window_not_the_stream() -> None:
    """Given a stream ten times as long, the arrays of a one-minute window are no larger."""
    state = FeatureState(plan_of(SMALL))
    run(state, random_events(41, 1000))
    before = state.metrics.bytes
    start = 1_700_100_000_000
    run(state, [{"card": f"card-{n % 8}", "time": start + 500 * n, "amount": 1.0} for n in range(10_000)])
    assert state.metrics.bytes <= 2 * before
