"""Another plan takes over the state of every part that it shares with the plan before it."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from stream.errors import TaskCorrupted
from stream.features import Expression, FeaturePlan, FeatureState, col, distance_km
from stream.records import Floats
from tests.features.events import Event, plan_of, random_events, run

pytestmark = pytest.mark.slow  # compiles two plans with every kind of state

amount, merchant, online = col("amount"), col("merchant"), col("is_online")
CUT = 300
EVENTS = random_events(77, 600, keys=12, latest_ms=9_000, step_ms=3_000)
LABELS = np.where(np.arange(600) % 3 == 0, np.arange(600) % 2, np.nan).astype(np.float64)

KEPT: dict[str, Expression] = {
    "sum": amount.sum("2m"),
    "low": amount.min("2m"),
    "spread": amount.std("20s", include_current=True),
    "shops": merchant.nunique("2m"),
    "weighted": col("latitude").ewm_mean(halflife="1m"),
    "idle": col("time").since_last(),
    "distance": distance_km(col("latitude"), col("longitude")),
    "filled": amount.fill_null("mean"),
    "target": merchant.target_mean(buckets=64),
    "merchant": merchant.one_hot(3),
    "by_shop": amount.count("1m", by="merchant", local=True),
}
ONLY_OLD: dict[str, Expression] = {
    "first_gone": amount.ewm_var(halflife="10s"),
    "gone": amount.mean("5m"),
    "gone_too": merchant.one_hot(5),
    "gone_three": online.sum("1m", by="terminal", local=True),
    "gone_four": col("latitude").fill_null("mean"),
}
ONLY_NEW: dict[str, Expression] = {
    "new_filled": col("longitude").fill_null("mean"),
    "new_words": merchant.one_hot(4),
    "new_terminal": amount.max("1m", by="terminal", local=True),
    "new_weighted": col("latitude").ewm_var(halflife="1m"),
    "new_high": amount.max("2m"),
    "new_count": amount.count("40s"),
    "new_mean": amount.mean("40s"),
    "new_shops": merchant.nunique("20s"),
    "new_online": online.cast(float).sum("30s"),
    "new_long": amount.count("3m"),
    "new_longest": amount.count("1h"),
}


@cache
def old_plan() -> FeaturePlan:
    """What ran before."""
    return plan_of({**ONLY_OLD, **KEPT}, lateness_ms=5_000)


@cache
def new_plan(state_bytes: int = 2**26) -> FeaturePlan:
    """What runs next: other features beside the same ones, which stand in another order."""
    return plan_of({**ONLY_NEW, **dict(reversed(KEPT.items()))}, lateness_ms=5_000, state_bytes=state_bytes)


def taken_over(plan: FeaturePlan, old: FeatureState) -> FeatureState:
    """A new state that went on from an old one."""
    state = FeatureState(plan)
    state.take_over({name: array.copy() for name, array in old.arrays().items()}, old.plan.saved_layout)
    return state


@cache
def both() -> tuple[dict[str, Floats], dict[str, Floats], FeatureState]:
    """Values of the last events by feature: of the new plan after the old one, and of the new plan from the start."""
    old = FeatureState(old_plan())
    run(old, EVENTS[:CUT], LABELS[:CUT])
    after = taken_over(new_plan(), old)
    from_start = FeatureState(new_plan())
    run(from_start, EVENTS[:CUT], LABELS[:CUT])
    return rest_of(after), rest_of(from_start), after


def rest_of(state: FeatureState) -> dict[str, Any]:
    """What the events behind the cut give: by dense feature its values, by sparse feature its entries by event."""
    batch = run(state, EVENTS[CUT:], LABELS[CUT:]).batch
    values: dict[str, Any] = {name: batch.dense[:, place] for place, name in enumerate(state.plan.layout.dense)}
    for group in state.plan.layout.sparse:
        is_own = (batch.indices >= group.base) & (batch.indices < group.base + group.size)
        of_event = np.repeat(np.arange(len(batch)), np.diff(batch.indptr))
        values[group.name] = np.stack([of_event[is_own], batch.indices[is_own] - group.base])
    return values


@pytest.mark.parametrize("feature", sorted(KEPT))
def test_an_unchanged_feature_goes_on_as_if_its_plan_had_always_run(feature: str) -> None:
    """Bit for bit: its values behind the change are those of the new plan from the first event on."""
    after, from_start, _ = both()
    assert after[feature].tobytes() == from_start[feature].tobytes()


def test_a_new_window_begins_with_what_the_old_ones_still_hold() -> None:
    """The old windows over amount held 5 minutes, so that shorter new ones are complete at once; sums to rounding."""
    after, from_start, _ = both()
    for feature in ("new_high", "new_count", "new_shops", "new_long"):
        assert after[feature].tobytes() == from_start[feature].tobytes(), feature
    np.testing.assert_allclose(after["new_mean"], from_start["new_mean"], rtol=1e-12)
    assert np.nanmax(np.abs(from_start["new_count"])) > 1


def test_a_window_longer_than_all_before_knows_what_they_held() -> None:
    """An hour's count misses what the old 5 minutes had let go, and nothing else."""
    after, from_start, _ = both()
    missing = from_start["new_longest"] - after["new_longest"]
    assert np.nanmin(missing) >= 0.0
    assert np.nanmax(after["new_longest"]) > np.nanmax(after["new_long"])


def test_new_features_begin_empty() -> None:
    """They know nothing of the events before the change."""
    after, _, _ = both()
    names = ("new_filled", "new_terminal", "new_online")
    alone = FeatureState(plan_of({name: ONLY_NEW[name] for name in names}, lateness_ms=5_000))
    expected = rest_of(alone)
    for feature in names:
        assert after[feature].tobytes() == expected[feature].tobytes(), feature


def test_a_variance_beside_a_known_mean_begins_at_the_mean_and_leaves_it_alone() -> None:
    """Its weights are the mean's; what it lacks fades with the halflife, a minute of six."""
    after, from_start, _ = both()
    gap = np.abs(after["new_weighted"] / from_start["new_weighted"] - 1.0)
    assert np.nanmax(gap[:20]) > 0.5
    assert np.nanmax(gap[-20:]) < 0.1


def test_the_plan_says_which_features_start_anew() -> None:
    """All new ones; a renamed feature and one that only adds a function around a known statistic do not."""
    assert set(new_plan().starting_anew(old_plan().saved_layout)) == set(ONLY_NEW)
    renamed = plan_of({"spending": amount.sum("2m").log1p() / amount.mean("2m"), "hour": col("time").hour()})
    assert renamed.starting_anew(old_plan().saved_layout) == ()
    changed = plan_of(
        {"sum": amount.sum("3m"), "low": amount.clip(0).min("2m"), "idle": col("time").since_last(by="merchant")}
    )
    assert changed.starting_anew(old_plan().saved_layout) == ("sum", "low", "idle")


def test_what_was_taken_over_is_saved_and_continued_like_any_state() -> None:
    """Arrays after the change, loaded elsewhere, give the same bytes."""
    old = FeatureState(old_plan())
    run(old, EVENTS[:CUT], LABELS[:CUT])
    after, again = taken_over(new_plan(), old), FeatureState(new_plan())
    again.load({name: array.copy() for name, array in after.arrays().items()})
    first, second = rest_of(after), rest_of(again)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_an_unchanged_plan_takes_over_everything() -> None:
    """Values go on as with `load`, counters included."""
    old = FeatureState(old_plan())
    run(old, EVENTS[:CUT], LABELS[:CUT])
    after = taken_over(old_plan(), old)
    assert after.metrics.late_events == old.metrics.late_events > 0
    first, second = rest_of(after), rest_of(old)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


MANY = random_events(5, 4_000, keys=600, step_ms=400)


def small(state_bytes: int) -> FeaturePlan:
    """A plan of one ring with all that a ring has."""
    features = {
        "count": amount.count("10m"),
        "sum": amount.sum("10m"),
        "high": amount.max("10m"),
        "weighted": amount.ewm_mean(halflife="1h"),
    }
    return plan_of(features, state_bytes=state_bytes)


def test_a_smaller_budget_evicts_the_keys_seen_longest_ago() -> None:
    """Of the keys that stay every statistic goes on; the others are new. The evictions are counted."""
    old = FeatureState(small(2**22))
    run(old, MANY)
    after = taken_over(small(32_000), old)
    fits = after.plan.budget.keys[0]
    assert after.metrics.keys == fits < old.metrics.keys
    assert after.metrics.evictions == old.metrics.keys - fits

    last_seen = {event["card"]: row for row, event in enumerate(MANY) if "card" in event}
    by_age = sorted(last_seen, key=lambda card: last_seen[card])
    asks: list[Event] = [{"card": card, "time": MANY[-1]["time"]} for card in by_age]
    got, expected = run(after, asks[-fits:][:1]), run(old, asks[-fits:][:1])
    assert got.batch.dense[:, 3].tobytes() == expected.batch.dense[:, 3].tobytes()
    assert not np.isnan(got.batch.dense[0, 3])
    gone = run(after, asks[:1])
    assert np.isnan(gone.batch.dense[0, 3])


def test_a_smaller_budget_drops_the_oldest_events_of_windows() -> None:
    """The ring keeps the newest that fit; counts, sums and maxima are those of what is left."""
    old = FeatureState(small(2**22))
    run(old, MANY)
    after = taken_over(small(64_000), old)
    (most,) = after.plan.budget.reservoir_events.values()
    assert after.metrics.dropped_events > 0

    known = [event for event in MANY if "card" in event and "amount" in event][-most:]
    now = MANY[-1]["time"]
    card = known[-1]["card"]
    values = [event["amount"] for event in known if event["card"] == card and event["time"] > now - 600_000]
    row = run(after, [{"card": card, "time": now}]).batch.dense[0]
    assert row[0] == len(values)
    assert row[1] == pytest.approx(sum(values))
    assert row[2] == max(values)


def test_damaged_layouts_and_arrays_are_refused() -> None:
    """TaskCorrupted says what to do; a layout of another version is another matter: all starts anew."""
    old = FeatureState(old_plan())
    run(old, EVENTS[:CUT], LABELS[:CUT])
    for text in (
        "",
        "[]",
        '{"version":1}',
        old_plan().saved_layout.replace("last", "first").replace('"tail"', '"tale"'),
    ):
        with pytest.raises(TaskCorrupted, match="older snapshot"):
            FeatureState(new_plan()).take_over(old.arrays(), text)
    with pytest.raises(TaskCorrupted, match="older snapshot"):
        FeatureState(new_plan()).take_over({"control": old.arrays()["control"]}, old_plan().saved_layout)
    other = FeatureState(new_plan())
    other.take_over(old.arrays(), old_plan().saved_layout.replace('"version":1', '"version":0'))
    assert other.metrics.keys == 0
    assert set(new_plan().starting_anew('{"version":0}')) == set(KEPT | ONLY_NEW)
