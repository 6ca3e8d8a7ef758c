"""Operators without keys: numbers, logic, texts, lists, calendar, a user's function."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stream.features import FeatureState, col, key_hashes, lit, udf, when
from tests.features.events import Event, dense_of, plan_of, random_events, run, to_batch

nan = math.nan
SCALE = 3.0

amount, latitude, is_online = col("amount"), col("latitude"), col("is_online")


def _guarded(function: Callable[..., float]) -> Callable[..., float]:
    """null in, null out; and null where Python raises."""

    def compute(*values: float | None) -> float:
        if None in values:
            return nan
        try:
            result = function(*values)
        except (ValueError, ZeroDivisionError, OverflowError):
            return nan
        return float(result) if not isinstance(result, complex) else nan

    return compute


OPERATORS: dict[str, tuple[Any, Callable[..., float]]] = {
    "add": (amount + latitude, lambda a, b: a + b),
    "subtract": (1.0 - amount, lambda a, b: 1.0 - a),
    "multiply": (amount * latitude, lambda a, b: a * b),
    "divide": (amount / latitude, lambda a, b: a / b),
    "by_zero": (amount / (latitude - latitude), lambda a, b: a / 0.0),
    "remainder": (amount % latitude, lambda a, b: a % b),
    "power": (abs(amount) ** 0.3, lambda a, b: abs(a) ** 0.3),
    "log": (amount.log(), lambda a, b: math.log(a)),
    "log1p": (amount.log1p(), lambda a, b: math.log1p(a)),
    "exp": ((amount / 100).exp(), lambda a, b: math.exp(a / 100)),
    "sqrt": (amount.sqrt(), lambda a, b: math.sqrt(a)),
    "clip": (amount.clip(-5.0, 50.0), lambda a, b: min(max(a, -5.0), 50.0)),
    "less": (amount < latitude, lambda a, b: a < b),
    "less_equal_itself": (amount <= amount + 0.0, lambda a, b: True),
    "greater_equal": (amount >= 20.0, lambda a, b: a >= 20.0),
    "equal": (amount == amount + 0.0, lambda a, b: 1.0),
    "not_equal": (amount != latitude, lambda a, b: a != b),
    "and": ((amount > 0) & (latitude > 0), lambda a, b: a > 0 and b > 0),
    "or": ((amount > 0) | (latitude > 0), lambda a, b: a > 0 or b > 0),
    "not": (~(amount > 0), lambda a, b: not a > 0),
    "cast": ((amount > 0).cast(float) + 1, lambda a, b: (a > 0) + 1),
    "select": (when(amount > latitude).then(amount).otherwise(latitude), lambda a, b: max(a, b)),
}
USES_BOTH = {"add", "multiply", "divide", "by_zero", "remainder", "less", "not_equal", "and", "or", "select"}


def test_every_scalar_operator_equals_python() -> None:
    """On random numbers and nulls; what Python cannot compute is null."""
    events = random_events(11, 300)
    got = dense_of({name: expression for name, (expression, _) in OPERATORS.items()}, events)
    for name, (_, function) in OPERATORS.items():
        rows = [(event.get("amount"), event.get("latitude") if name in USES_BOTH else 0.0) for event in events]
        np.testing.assert_allclose(got[name], [_guarded(function)(*row) for row in rows], rtol=1e-12, err_msg=name)


def test_nulls_are_told_and_filled() -> None:
    """is_null is never null; a constant or the running mean of what came before fills."""
    events: list[Event] = [
        {"time": 0},
        {"time": 1, "amount": 4.0},
        {"time": 2},
        {"time": 3, "amount": 8.0},
        {"time": 4},
    ]
    features = {
        "is_null": amount.is_null(),
        "text_is_null": col("text").is_null(),
        "constant": amount.fill_null(-1.0),
        "mean": amount.fill_null("mean"),
    }
    got = dense_of(features, events)
    assert got["is_null"] == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert got["text_is_null"] == [1.0] * 5
    assert got["constant"] == [-1.0, 4.0, -1.0, 8.0, -1.0]
    np.testing.assert_equal(got["mean"], [nan, 4.0, 4.0, 8.0, 6.0])


def test_texts_enums_and_numbers_compare_with_literals() -> None:
    """== and is_in compare whole texts, symbols and numbers; null stays null."""
    events: list[Event] = [
        {"time": 0, "merchant": "shop", "country": "DE", "terminal": 7},
        {"time": 1, "merchant": "shopping", "country": "PL", "terminal": 8},
        {"time": 2, "merchant": "shot", "country": "DE", "terminal": 9},
        {"time": 3},
    ]
    features = {
        "shop": col("merchant") == "shop",
        "not_shop": col("merchant") != "shop",
        "west": col("country").is_in(["DE", "FR"]),
        "seven": col("terminal").is_in([7, 9]),
    }
    got = dense_of(features, events)
    np.testing.assert_equal(got["shop"], [1.0, 0.0, 0.0, nan])
    np.testing.assert_equal(got["not_shop"], [0.0, 1.0, 1.0, nan])
    np.testing.assert_equal(got["west"], [1.0, 0.0, 1.0, nan])
    np.testing.assert_equal(got["seven"], [1.0, 0.0, 1.0, nan])


def test_lengths_and_lists() -> None:
    """Characters, not bytes; the sum of an empty list is 0 and its mean null."""
    events: list[Event] = [
        {"time": 0, "text": "Zażółć", "prices": [1.5, 2.5]},
        {"time": 1, "text": "", "prices": []},
        {"time": 2},
    ]
    prices = col("prices")
    features = {"text": col("text").length(), "items": prices.length(), "sum": prices.sum(), "mean": prices.mean()}
    got = dense_of(features, events)
    np.testing.assert_equal(got["text"], [6.0, 0.0, nan])
    np.testing.assert_equal(got["items"], [2.0, 0.0, nan])
    np.testing.assert_equal(got["sum"], [4.0, 0.0, nan])
    np.testing.assert_equal(got["mean"], [2.0, nan, nan])


def test_calendar_parts_equal_the_standard_library() -> None:
    """In UTC and in a zone with daylight saving, over all the years from before 1970 to after 2038."""
    draw = np.random.default_rng(12)
    events: list[Event] = [
        {"time": int(t), "booked": int(t // 86_400_000)} for t in draw.integers(-(10**12), 4 * 10**12, 500)
    ]
    changes = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
    events += [{"time": round(at.timestamp() * 1000) + step} for at in changes for step in (-1, 0)]
    time, zone = col("time"), "Europe/Warsaw"
    features = {
        "hour": time.hour(tz=zone),
        "minute": time.minute(),
        "day_of_week": time.day_of_week(tz=zone),
        "day": time.day(),
        "month": time.month(),
        "is_weekend": time.is_weekend(),
        "booked_month": col("booked").month(),
    }
    got = dense_of(features, events)
    for row, event in enumerate(events):
        utc = datetime.fromtimestamp(event["time"] // 1000, UTC)
        local = utc.astimezone(ZoneInfo(zone))
        if utc.year >= 1970:
            assert got["hour"][row] == local.hour
            assert got["day_of_week"][row] == local.weekday()
        assert (got["minute"][row], got["day"][row], got["month"][row]) == (utc.minute, utc.day, utc.month)
        assert got["is_weekend"][row] == (utc.weekday() >= 5)
        assert "booked" not in event or got["booked_month"][row] == utc.month


def test_the_difference_of_two_times_is_seconds() -> None:
    """Given a date 1.5 days back: 129,600 seconds."""
    events: list[Event] = [{"time": 36 * 3_600_000, "booked": 0}]
    assert dense_of({"age": col("time") - col("booked")}, events)["age"] == [129_600.0]


@udf
def excess(value: float, limit: float) -> float:
    """How far above the limit, on a log scale."""
    over = value - limit * SCALE
    if over > 0.0:
        return math.log1p(over)
    return 0.0


def test_a_user_function_becomes_part_of_the_kernel() -> None:
    """Its arguments are floats, constants of its module are known, and a null argument is NaN."""
    events: list[Event] = [{"time": 0, "amount": 31.0}, {"time": 1, "amount": 1.0}]
    got = dense_of({"excess": excess(amount, lit(10.0)), "twice": excess(amount, 10) * 2}, events)
    np.testing.assert_allclose(got["excess"], [math.log(2.0), 0.0], rtol=1e-15)
    np.testing.assert_allclose(got["twice"], [2 * math.log(2.0), 0.0], rtol=1e-15)


def test_equal_subexpressions_are_computed_once() -> None:
    """Given the same logarithm in three features, the kernel's source calls it once."""
    plan = plan_of(
        {"a": amount.log1p(), "b": amount.log1p() * 2, "c": amount.log1p() + amount.sum("1h") / amount.count("1h")}
    )
    assert plan.source.text.count("log1p(v") == 1
    assert len(plan.state.reservoirs) == 1


@pytest.mark.parametrize("name", ["merchant", "terminal", "amount", "country", "is_online"])
def test_labels_of_other_tasks_are_counted_where_a_task_s_own_are(name: str) -> None:
    """By hash, for each kind of column, and for several means of one column: bit for bit as by the event's places."""
    plan = plan_of({f"m{buckets}": col(name).target_mean(smoothing=1.0, buckets=buckets) for buckets in (64, 1000)})
    values: dict[str, list[Any]] = {
        "merchant": ["a", "b", "", None, "a"],
        "terminal": [0, 7, -1, None, 7],
        "amount": [0.0, -0.0, 1.5, None, float("inf")],
        "country": ["DE", "FR", "PL", None, "DE"],
        "is_online": [True, False, True, None, False],
    }
    events: list[Event] = [{"time": t, name: value} for t, value in enumerate(values[name])]
    labels = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    own, by_hash = FeatureState(plan), FeatureState(plan)
    own.learn_labels(run(own, events).label_inputs, labels)
    columns = to_batch(events)
    (column,) = (each for each in columns.columns if each.name == name)
    run(by_hash, events)
    by_hash.learn_labels_of_keys(key_hashes(column, columns), labels)
    assert own.arrays()["categories"].sum() > 0
    assert all(array.tobytes() == by_hash.arrays()[key].tobytes() for key, array in own.arrays().items())


def test_label_learning_features_know_labels_only_after_them() -> None:
    """target_mean of an event with its own label does not know that label; late labels enter when they are told."""
    state = FeatureState(plan_of({"mean": col("merchant").target_mean(smoothing=2.0)}))
    events: list[Event] = [{"time": t, "merchant": m} for t, m in enumerate(["a", "a", "b", "a"])]
    got = run(state, [*events, {"time": 9}], np.array([1.0, nan, 0.0, nan, nan]))
    # before: nothing; a: (1 + 2 * 1) / (1 + 2); b: nothing of b, 2 labels' worth of 1; a: (1 + 2 * 0.5) / 3
    np.testing.assert_allclose(got.batch.dense[:, 0], [nan, 1.0, 1.0, 2 / 3, nan])
    assert got.label_inputs.shape == (5, 1)
    assert got.label_inputs[0, 0] == got.label_inputs[1, 0] != got.label_inputs[2, 0]
    assert got.label_inputs[4, 0] == -1
    state.learn_labels(got.label_inputs[[1, 3]], np.array([0.0, nan]))
    again = run(state, [{"time": 10, "merchant": "a"}])
    np.testing.assert_allclose(again.batch.dense[:, 0], [(1 + 2 * (1 / 3)) / 4])
