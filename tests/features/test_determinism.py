"""Results and state are functions of the order of events alone; saved state continues as if it had never stopped."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import TaskCorrupted
from stream.features import FeaturePlan, FeatureState, col, distance_km
from tests.features.events import plan_of, random_events, run, times_of, to_batch

amount, merchant = col("amount"), col("merchant")
EVENTS = [
    dict(event, text=f"word {row % 7}") for row, event in enumerate(random_events(31, 400, keys=250, latest_ms=9_000))
]
BATCH, TIMES = to_batch(EVENTS), times_of(EVENTS)
LABELS = np.where(np.arange(400) % 3 == 0, np.arange(400) % 2, np.nan).astype(np.float64)


@cache
def everything(key_expiry_ms: int | None = None) -> FeaturePlan:
    """A plan with every kind of state, in a budget so small that keys are evicted and windows overflow."""
    features = {
        "sum": amount.sum("2m"),
        "var": amount.var("20s"),
        "min": amount.min("2m"),
        "max": amount.max("20s", include_current=True),
        "shops": merchant.nunique("2m"),
        "ewm": amount.ewm_var(halflife="1m"),
        "idle": col("time").since_last(),
        "distance": distance_km(col("latitude"), col("longitude")),
        "filled": amount.fill_null("mean"),
        "target": merchant.target_mean(buckets=64),
        "merchant": merchant.one_hot(3),
        "words": col("text").bag_of_words(100),
    }
    return plan_of(features, lateness_ms=5_000, state_bytes=56_000, key_expiry_ms=key_expiry_ms)


def digest(state: FeatureState) -> dict[str, bytes]:
    """All arrays as bytes."""
    return {name: array.tobytes() for name, array in state.arrays().items()}


def computed(state: FeatureState, rows_of_events: slice) -> list[bytes]:
    """All outputs of those events as bytes, row by row."""
    columns = replace(
        BATCH, rows=BATCH.rows[rows_of_events], cells=BATCH.cells[rows_of_events], present=BATCH.present[rows_of_events]
    )
    got = state.compute(columns, TIMES[rows_of_events], LABELS[rows_of_events])
    batch = got.batch
    rows = []
    for row in range(len(batch)):
        span = slice(batch.indptr[row], batch.indptr[row + 1])
        outputs = (batch.dense[row], batch.indices[span], batch.values[span], got.label_inputs[row])
        rows.append(b"|".join(array.tobytes() for array in outputs))
    return rows


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 399), min_size=1, max_size=40), st.integers(0, 39))
def test_any_split_into_batches_gives_the_same_bytes(cuts: set[int], restart: int) -> None:
    """Outputs and state do not know where batches ended, nor that another state went on behind one of them."""
    whole = FeatureState(everything())
    expected = computed(whole, slice(None))
    parts = FeatureState(everything())
    bounds = [0, *sorted(cuts), len(EVENTS)]
    got = list[bytes]()
    for number, (start, end) in enumerate(pairwise(bounds)):
        if number == restart:
            saved = {name: array.copy() for name, array in parts.arrays().items()}
            parts = FeatureState(everything())
            parts.load(saved)
        got += computed(parts, slice(start, end))
    assert got == expected
    assert digest(parts) == digest(whole)


@pytest.mark.parametrize("cut", [0, 1, 150, 399])
def test_save_then_load_then_continue_equals_continue(cut: int) -> None:
    """A second state that takes over the first one's arrays gives the same bytes from there on."""
    first = FeatureState(everything(20_000))
    computed(first, slice(cut))
    saved = {name: array.copy() for name, array in first.arrays().items()}
    second = FeatureState(everything(20_000))
    second.load(saved)
    assert computed(second, slice(cut, None)) == computed(first, slice(cut, None))
    assert digest(second) == digest(first)


def test_the_small_budget_of_these_tests_evicts_and_overflows() -> None:
    """Otherwise the properties above would not cover eviction, full windows and late events."""
    state = FeatureState(everything())
    run(state, EVENTS)
    metrics = state.metrics
    assert metrics.evictions > 0
    assert metrics.dropped_events > 0
    assert metrics.late_events > 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    """A missing array, a wrong shape and a wrong type are TaskCorrupted, and say which."""
    state = FeatureState(everything())
    run(state, EVENTS)
    arrays = state.arrays()
    with pytest.raises(TaskCorrupted, match="expected arrays"):
        FeatureState(everything()).load({name: array for name, array in arrays.items() if name != "control"})
    for name, array in arrays.items():
        for damaged in (np.zeros((3, 1), dtype=np.int64), np.zeros(array.shape, dtype=np.int8)):
            with pytest.raises(TaskCorrupted):
                FeatureState(everything()).load({**arrays, name: damaged})
