"""Keyed statistics against their twins, on random streams with nulls, ties, late events and null keys."""

import numpy as np
import pytest

from stream.features import Expression, FeatureState, col, distance_km, speed_kmh
from tests.features import twin
from tests.features.events import Event, dense_of, plan_of, random_events, run
from tests.features.twin import KeyedTwin

HOUR_MS = 3_600_000
LATENESS_MS = 5_000

amount = col("amount")


def windows(length: str, **options: bool) -> dict[str, Expression]:
    """Every statistic of a window."""
    stats = ("count", "sum", "mean", "var", "std", "min", "max")
    features = {stat: getattr(amount, stat)(length, **options) for stat in stats}
    return features | {"nunique": col("merchant").nunique(length, **options)}


WEIGHTED = {
    f"{s}_{h}": getattr(amount, f"ewm_{s}")(halflife=h) for s in ("mean", "var", "sum", "count") for h in ("10s", "1h")
}
# Each plan is a kernel to compile, so tests share a few: with and without the current event, and all else.
BEFORE = windows("1m") | {
    f"{stat}_3s": window for stat, window in windows("3s").items() if stat in ("sum", "min", "max", "nunique")
}
INCLUDING = windows("1m", include_current=True) | {"ewm": amount.ewm_mean(halflife="10s", include_current=True)}
OTHERS = WEIGHTED | {
    "count": amount.count("1h"),
    "mean": amount.mean("1h"),
    "sum": amount.sum("1h"),
    "fading": amount.ewm_count("1s"),
    "ratio": amount.ratio_to_mean("1h"),
    "exp": amount.exp(),
    "sum_of_exp": amount.exp().sum("1h", include_current=True),
    "idle": col("time").since_last(),
    "distance": distance_km(col("latitude"), col("longitude")),
    "speed": speed_kmh(col("latitude"), col("longitude")),
}


def column_of(stat: str) -> str:
    return "merchant" if stat == "nunique" else "amount"


def check(got: list[float], expected: list[float], tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", [1, 2])
def test_windows_equal_their_twins_with_late_events(seed: int) -> None:
    """Every statistic, two lengths in one reservoir, one shorter than the lateness, late events in time order."""
    events = random_events(seed, 1500, latest_ms=12_000)
    got = dense_of(BEFORE, events, lateness_ms=LATENESS_MS)
    for name in BEFORE:
        stat, _, length = name.partition("_")
        length_ms = 3_000 if length else 60_000
        check(got[name], twin.window(stat, column_of(stat), length_ms, events, KeyedTwin(LATENESS_MS)))


def test_windows_can_include_the_current_event() -> None:
    """With include_current=True the same windows hold the event itself, if it is not too late."""
    events = random_events(3, 600, latest_ms=12_000)
    got = dense_of(INCLUDING, events, lateness_ms=LATENESS_MS)
    for stat in windows("1m"):
        current = KeyedTwin(LATENESS_MS, include_current=True)
        check(got[stat], twin.window(stat, column_of(stat), 60_000, events, current))


def test_windows_agree_with_river() -> None:
    """Without nulls and with the current event: River's rolling statistics (where one value has variance 0)."""
    events = [e for e in random_events(4, 400) if "card" in e and "amount" in e]
    got = dense_of(INCLUDING, events)
    for stat in ("sum", "mean", "var"):
        values = [0.0 if np.isnan(value) else value for value in got[stat]]
        check(values, twin.river_window(stat, "amount", 60_000, events), 1e-4)


def test_weighted_statistics_equal_their_twins_with_late_events() -> None:
    """Mean, variance, sum and count of two halflives; a late value has the weight that its age gives it."""
    events = random_events(5, 800, latest_ms=12_000)
    got = dense_of(OTHERS, events, lateness_ms=LATENESS_MS)
    for name in WEIGHTED:
        stat, _, halflife = name.partition("_")
        halflife_ms = 10_000 if halflife == "10s" else HOUR_MS
        check(got[name], twin.ewm(stat, "amount", halflife_ms, events, KeyedTwin(LATENESS_MS)), 1e-7)


def test_weighted_statistics_can_include_the_current_event() -> None:
    """With include_current=True the mean is known from the first value on."""
    events = random_events(6, 300)
    got = dense_of(INCLUDING, events)
    check(got["ewm"], twin.ewm("mean", "amount", 10_000, events, KeyedTwin(0, include_current=True)), 1e-7)


def test_time_distance_and_speed_since_the_previous_event() -> None:
    """since_last, distance_km and speed_kmh look at the key's latest event that has what they need."""
    events = random_events(7, 600, latest_ms=12_000)
    got = dense_of(OTHERS, events, lateness_ms=LATENESS_MS)
    check(got["idle"], twin.since_last(events, KeyedTwin(LATENESS_MS)))
    check(got["distance"], twin.distance_km(events, KeyedTwin(LATENESS_MS)), 1e-6)
    check(got["speed"], twin.distance_km(events, KeyedTwin(LATENESS_MS), as_speed=True), 1e-6)


def test_other_and_composite_keys() -> None:
    """by= takes another column or several; a null part makes the key null."""
    events = random_events(8, 600)
    features = {
        "shop": amount.sum("1m", by="merchant", local=True),
        "pair": amount.ewm_mean("1m", by=("card", "terminal"), local=True),
        "country": amount.count("1m", by="country", local=True),
    }
    got = dense_of(features, events)
    check(got["shop"], twin.window("sum", "amount", 60_000, events, KeyedTwin(0, key=("merchant",))))
    check(got["pair"], twin.ewm("mean", "amount", 60_000, events, KeyedTwin(0, key=("card", "terminal"))), 1e-7)
    check(got["country"], twin.window("count", "amount", 60_000, events, KeyedTwin(0, key=("country",))))


def test_the_first_event_of_a_key_has_count_zero_and_null_mean() -> None:
    """Given two events of one key, what is before the first is nothing; the second sees the first alone."""
    events: list[Event] = [{"card": "a", "time": 0, "amount": 5.0}, {"card": "a", "time": 1000, "amount": 7.0}]
    got = dense_of(OTHERS, events)
    assert got["count"] == [0.0, 1.0]
    assert got["sum"] == [0.0, 5.0]
    assert got["fading"] == [0.0, 0.5]
    np.testing.assert_equal(got["mean"], [np.nan, 5.0])
    np.testing.assert_equal(got["mean_1h"], [np.nan, 5.0])
    np.testing.assert_equal(got["ratio"], [np.nan, 1.4])


def test_a_window_ends_with_now_and_its_start_is_outside() -> None:
    """An event exactly one window old has left; one a millisecond younger has not."""
    events: list[Event] = [{"card": "a", "time": time, "amount": 1.0} for time in (0, 1, 60_000, 60_001)]
    assert dense_of(BEFORE, events)["count"] == [0.0, 1.0, 1.0, 1.0]


def test_an_event_beyond_the_lateness_is_scored_and_counted_but_does_not_enter() -> None:
    """Given lateness 10 s: an event 11 s behind sees the state, leaves none, and is counted once."""
    plan = plan_of(OTHERS, lateness_ms=10_000)
    state = FeatureState(plan)
    times_and_amounts = [(100_000, 1.0), (89_000, 10.0), (90_000, 100.0), (100_000, 0.0)]
    got = run(state, [{"card": "a", "time": time, "amount": x} for time, x in times_and_amounts])
    assert got.batch.dense[:, plan.layout.dense.index("sum")].tolist() == [0.0, 1.0, 1.0, 101.0]
    assert state.metrics.late_events == 1


def test_sums_start_anew_when_a_window_is_empty() -> None:
    """After 1e16 has come and gone with a small neighbour, the sum of a later value is that value exactly."""
    values = [(0, 1e16), (1, 1.1), (60_001, 0.3), (130_000, 0.0)]
    events: list[Event] = [{"card": "a", "time": time, "amount": x} for time, x in values]
    got = dense_of(INCLUDING, events)["sum"]
    assert got[2] == 0.3
    assert got[3] == 0.0


def test_infinite_values_never_enter_state() -> None:
    """Given an overflow, the event's own feature is null and the key's sum goes on as if it had been null."""
    events: list[Event] = [{"card": "a", "time": time, "amount": x} for time, x in [(0, 1.0), (1, 800.0), (2, 2.0)]]
    got = dense_of(OTHERS, events)
    assert np.isnan(got["exp"][1])
    assert got["sum_of_exp"][1] == got["sum_of_exp"][0]
    assert np.isfinite(got["sum_of_exp"][2])


def test_a_variance_far_from_zero_keeps_its_digits() -> None:
    """Given 1e9 and the two numbers after it, whose squares no float64 holds, the variance is 1 to the last digit."""
    events: list[Event] = [{"card": "a", "time": n, "amount": 1e9 + n} for n in range(3)]
    got = dense_of(INCLUDING, events)["var"]
    np.testing.assert_equal(got, [np.nan, 0.5, 1.0])
