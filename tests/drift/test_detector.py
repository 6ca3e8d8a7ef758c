"""What holds for every detector: batches, signals, missing values, saving and loading, declarations."""

import itertools
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stream.drift import ADWIN, DDM, KSWIN, Declaration, Detections, Detector, PageHinkley, compile_detector
from stream.errors import ConfigError, TaskCorrupted
from stream.records import Floats, Ints

DECLARATIONS = [ADWIN(clock=5), DDM(), PageHinkley(threshold=8.0), KSWIN(alpha=0.01, window_size=40, stat_size=12)]
ROWS = 400


def changing_signals(seed: int = 0) -> tuple[Floats, Ints, Ints]:
    """Three signals in 0 to 1 that change at row 200, one value in ten missing, with offsets that have holes."""
    draw = np.random.default_rng(seed)
    values = np.where(np.arange(ROWS)[:, None] < 200, draw.random((ROWS, 3)) * 0.4, draw.random((ROWS, 3)))
    values[draw.random((ROWS, 3)) < 0.1] = np.nan
    offsets = np.cumsum(draw.integers(1, 4, ROWS))
    return values, offsets, 1_767_600_000_000 + 250 * offsets


def entries(detections: Detections, first_row: int = 0) -> list[Any]:
    return [replace(entry, row=entry.row + first_row) for entry in detections]


def state_bytes(detector: Detector) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in detector.arrays().items()}


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
@given(cuts=some.lists(some.integers(0, ROWS), max_size=8), kept=some.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_batches_and_restarts_change_nothing(declaration: Declaration, cuts: list[int], kept: int) -> None:
    """However the stream is cut, and wherever it is saved and loaded: the same detections and bytes of state."""
    values, offsets, times_ms = changing_signals()
    whole = compile_detector(declaration, 3)
    expected = entries(whole.update(values, offsets, times_ms))

    parts, found = compile_detector(declaration, 3), []
    for index, (start, end) in enumerate(itertools.pairwise([0, *sorted(cuts), ROWS])):
        found += entries(parts.update(values[start:end], offsets[start:end], times_ms[start:end]), start)
        if index == kept:
            restored = compile_detector(declaration, 3)
            restored.load({name: array.copy() for name, array in parts.arrays().items()})
            parts = restored

    assert found == expected
    assert state_bytes(parts) == state_bytes(whole)


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_missing_values_change_nothing(declaration: Declaration) -> None:
    """NaN and infinities between the values leave the detections where they were, and the change is seen."""
    values, offsets, times_ms = changing_signals()
    values = np.nan_to_num(values, nan=0.3)[:, :1]
    holes = np.tile(np.array([np.nan, np.inf, -np.inf, np.nan]), ROWS // 4)[:, None]
    woven = np.stack([holes, values], axis=1).reshape(-1, 1)

    plain = compile_detector(declaration, 1).update(values, offsets, times_ms)
    holed = compile_detector(declaration, 1).update(woven, np.repeat(offsets, 2), np.repeat(times_ms, 2))

    assert len(plain) > 0
    assert [replace(entry, row=2 * entry.row + 1) for entry in plain] == entries(holed)


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_signals_are_watched_apart(declaration: Declaration) -> None:
    """The signals of one call are found in the order of the rows, each as if alone."""
    values, offsets, times_ms = changing_signals()
    together = compile_detector(declaration, 3).update(values, offsets, times_ms)
    assert together.row.tolist() == sorted(together.row.tolist())
    alone = compile_detector(declaration, 1).update(values[:, :1], offsets, times_ms)
    assert [entry for entry in together if entry.signal == 0] == list(alone)
    assert set(together.signal.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_state_of_another_shape_is_refused(declaration: Declaration) -> None:
    """State of two signals does not load into three, and nothing is half loaded."""
    values, offsets, times_ms = changing_signals()
    detector, other = compile_detector(declaration, 3), compile_detector(declaration, 2)
    other.update(values[:, :2], offsets, times_ms)
    before = state_bytes(detector)
    with pytest.raises(TaskCorrupted, match=f"{declaration.name}.*Restore the task from an older snapshot"):
        detector.load(other.arrays())
    with pytest.raises(TaskCorrupted, match="is nothing, expected"):
        detector.load({})
    assert state_bytes(detector) == before


def test_wrong_shapes_are_refused() -> None:
    """Two columns for three signals: an error that says what was expected."""
    with pytest.raises(ValueError, match=r"values \(4, 2\).*expected \(n, 3\), \(n,\), \(n,\)"):
        compile_detector(ADWIN(), 3).update(np.zeros((4, 2)), np.arange(4), np.arange(4))


@pytest.mark.parametrize(
    ("declaration", "parameter", "value", "rule"),
    [
        (ADWIN, "delta", 0.0, "between 0 and 1"),
        (ADWIN, "delta", float("nan"), "between 0 and 1"),
        (ADWIN, "clock", 0, "at least 1"),
        (ADWIN, "clock", 1.5, "an integer"),
        (ADWIN, "max_buckets", 1, "2 to 64"),
        (ADWIN, "min_window_length", 0, "at least 1"),
        (ADWIN, "grace_period", -1, "negative"),
        (DDM, "warm_start", 0, "at least 1"),
        (DDM, "warning_threshold", 0.0, "positive"),
        (DDM, "drift_threshold", 1.0, "not below warning_threshold"),
        (PageHinkley, "min_instances", True, "an integer"),
        (PageHinkley, "delta", -0.1, "not negative"),
        (PageHinkley, "threshold", float("inf"), "finite"),
        (PageHinkley, "alpha", 1.01, "at most 1"),
        (PageHinkley, "mode", "sideways", '"up", "down" or "both"'),
        (KSWIN, "alpha", 1.0, "between 0 and 1"),
        (KSWIN, "window_size", 59, "at least twice stat_size"),
        (KSWIN, "stat_size", 0, "1 to 10,000"),
        (KSWIN, "seed", -1, "0 to 2"),
    ],
)
def test_parameters_out_of_range_are_refused(declaration: Any, parameter: str, value: Any, rule: str) -> None:
    """The text names the detector, the parameter, its value and the rule."""
    with pytest.raises(ConfigError) as refused:
        declaration(**{parameter: value})
    assert str(refused.value).startswith(f"{declaration.__name__}: {parameter}={value!r}, but it must")
    assert rule in str(refused.value)


def test_no_signals_are_refused() -> None:
    """A detector needs something to watch."""
    with pytest.raises(ConfigError, match="ADWIN: it watches 0 signals, but needs at least one"):
        compile_detector(ADWIN(), 0)


def test_equal_definitions_have_equal_digests() -> None:
    """The digest changes with any parameter and with the detector, and with nothing else."""
    assert ADWIN().definition == ("ADWIN(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)")
    assert ADWIN(delta=0.002).digest == ADWIN().digest
    changed = [ADWIN(), DDM(), PageHinkley(), KSWIN(), ADWIN(clock=31), PageHinkley(mode="up"), KSWIN(seed=1)]
    assert len({declaration.digest for declaration in changed}) == len(changed)
    assert KSWIN().parameters == {"alpha": 0.005, "window_size": 100.0, "stat_size": 30.0, "seed": 0.0}
    assert set(PageHinkley().parameters) == set(asdict(PageHinkley())) - {"mode"}
