"""Signals of any unit, watched as parts of their range."""

import itertools

import numpy as np
import pytest

from stream.drift import ADWIN, Detections, Detector, compile_detector
from stream.errors import ConfigError
from stream.records import Floats


def amounts_that_double() -> Floats:
    """Log-normal amounts around 20 that double at row 6,000, one in twenty missing."""
    draw = np.random.default_rng(5)
    amounts = draw.lognormal(3.0, 0.7, 9_000)
    amounts[6_000:] *= 2.0
    amounts[draw.random(9_000) < 0.05] = np.nan
    return amounts[:, None]


def fed(detector: Detector, values: Floats) -> Detections:
    offsets = np.arange(len(values))
    return detector.update(values, offsets, offsets * 1_000)


def test_detections_come_in_the_signals_unit() -> None:
    """The range of the first 1,000 amounts scales the others: as if scaled by hand, told as amounts."""
    values = amounts_that_double()
    known = values[~np.isnan(values)]
    low, high = known[:1_000].min(), known[:1_000].max()
    first = int(np.flatnonzero(~np.isnan(values[:, 0]))[1_000])
    by_hand = np.clip((values - low) / (high - low), 0.0, 1.0)
    by_hand[:first] = np.nan

    found, expected = (
        fed(compile_detector(ADWIN(), 1, scaled=[0]), values),
        fed(compile_detector(ADWIN(), 1), by_hand),
    )

    assert found.row.tolist() == expected.row.tolist()
    assert len(found) > 0
    assert abs(found.entry(0).placed_offset - 6_000) < 200
    assert found.before == pytest.approx(low + (high - low) * expected.before)
    assert found.after == pytest.approx(low + (high - low) * expected.after)
    assert found.spread == pytest.approx((high - low) * expected.spread)
    assert found.entry(0).effect == pytest.approx(expected.entry(0).effect)
    assert found.seen.tolist() == (expected.seen + 1_000).tolist()


def test_batches_and_restarts_change_nothing() -> None:
    """The range is learned across batches and restarts as in one go."""
    values, offsets = amounts_that_double(), np.arange(9_000)
    whole = compile_detector(ADWIN(), 1, scaled=[0])
    expected = list(fed(whole, values))

    parts, found = compile_detector(ADWIN(), 1, scaled=[0]), []
    for start, end in itertools.pairwise([0, 1, 700, 1_300, 6_050, 9_000]):
        restored = compile_detector(ADWIN(), 1, scaled=[0])
        restored.load({name: array.copy() for name, array in parts.arrays().items()})
        parts = restored
        found += list(parts.update(values[start:end], offsets[start:end], offsets[start:end] * 1_000))

    assert [entry.placed_offset for entry in found] == [entry.placed_offset for entry in expected]
    assert {name: array.tobytes() for name, array in parts.arrays().items()} == {
        name: array.tobytes() for name, array in whole.arrays().items()
    }


def test_a_signal_that_was_constant_at_first_is_watched() -> None:
    """A flag that was 0 for 1,000 values and is often 1 later: the change is found, in the flag's unit."""
    draw = np.random.default_rng(0)
    flags = (draw.random(6_000) < np.where(np.arange(6_000) < 4_000, 0.0, 0.3)).astype(float)
    found = fed(compile_detector(ADWIN(), 1, scaled=[0]), flags[:, None]).entry(0)
    assert abs(found.placed_offset - 4_000) < 100
    assert found.before == 0.0
    assert found.after > 0.1


def test_signals_that_do_not_exist_are_refused() -> None:
    """Signal 3 of three."""
    with pytest.raises(ConfigError, match=r"scaled=\[3\], but the signals are 0 to 2"):
        compile_detector(ADWIN(), 3, scaled=[3])
