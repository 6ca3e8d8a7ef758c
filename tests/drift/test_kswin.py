"""KSWIN against River's with injected draws, and what a detection says."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from river import drift as river_drift
from scipy import stats

from stream.drift import KSWIN, Detections, compile_detector
from stream.drift.kswin import critical_distance, p_value
from stream.errors import ConfigError
from stream.kernels.random import new_generator, uniform
from stream.records import Floats


def detect(declaration: KSWIN, values: Floats) -> Detections:
    offsets = np.arange(len(values))
    return compile_detector(declaration, 1).update(values[:, None], offsets, offsets * 1_000)


class RiverWithOurDraws(river_drift.KSWIN):  # type: ignore[misc]
    """River's KSWIN drawing as ours does: by rank among the older values, from one generator that goes on."""

    def __init__(self, **parameters: Any) -> None:
        self.generator = new_generator(parameters["seed"], 0)
        super().__init__(**parameters)

    def _reset(self) -> None:
        super()._reset()
        self._rng = self

    def sample(self, population: Sequence[int], size: int) -> list[int]:
        """Positions in the window: each rank is taken with the chance that is left for it."""
        by_value = sorted(population, key=lambda place: self.window[place])
        taken: list[int] = []
        for rank, place in enumerate(by_value):
            if len(taken) < size and (len(by_value) - rank) * uniform(self.generator) < size - len(taken):
                taken.append(place)
        return taken


@pytest.mark.parametrize(
    "parameters",
    [
        {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": 0},
        {"alpha": 0.0001, "window_size": 100, "stat_size": 30, "seed": 7},
        {"alpha": 0.01, "window_size": 60, "stat_size": 30, "seed": 1},
        {"alpha": 0.01, "window_size": 150, "stat_size": 7, "seed": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("digits", [1, 12])
def test_detects_where_river_does(parameters: dict[str, Any], digits: int) -> None:
    """With the same draws the same indices, with many ties and with none."""
    draw = np.random.default_rng(4)
    values = np.concatenate([draw.normal(mean, 1.0, 250) for mean in (0.0, 1.0, 0.5)]).round(digits)
    peer, indices = RiverWithOurDraws(**parameters), []
    for index, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            indices.append(index)

    assert indices
    assert detect(KSWIN(**parameters), values).row.tolist() == indices


def test_exact_p_values_are_scipys() -> None:
    """Two samples of 30 and of 7 values: the chance of each distance."""
    for size in (7, 30):
        for distance in range(2, size + 1):  # at 1 scipy's own rounding leaves [0, 1]
            left = np.arange(size, dtype=float)
            right = left + distance - 0.5 if distance < size else left + size
            peer = stats.ks_2samp(left, right, method="exact")
            assert peer.statistic == pytest.approx(distance / size)
            assert float(p_value(distance, size)) == pytest.approx(peer.pvalue, rel=1e-9)


def test_critical_distance_is_the_smallest_that_is_significant() -> None:
    """The distance found by bisection is what a search from below finds, and stays above 0.1."""
    for alpha, size in ((0.005, 30), (0.05, 7), (0.9, 400)):
        by_search = min(d for d in range(1, size + 1) if p_value(d, size) <= Fraction(alpha) and d / size > 0.1)
        assert critical_distance(alpha, size) == by_search


def test_places_the_change_at_the_recent_values() -> None:
    """The values jump at offset 500: the recent window starts near it and both means are told."""
    draw = np.random.default_rng(1)
    values = np.concatenate([draw.normal(0.0, 1.0, 500), draw.normal(4.0, 1.0, 100)])

    found = next(found for found in detect(KSWIN(alpha=1e-6), values))

    recent = values[found.row - 29 : found.row + 1]
    older = values[found.row - 99 : found.row - 29]
    assert 500 < found.row < 530
    assert found.placed_offset == found.row - 29
    assert found.placed_time_ms == 1_000 * found.placed_offset
    assert (found.size_before, found.size_after) == (70, 30)
    assert found.before == pytest.approx(older.mean(), rel=1e-12)
    assert found.after == pytest.approx(recent.mean(), rel=1e-12)
    assert found.spread == pytest.approx(np.sqrt((older.var() * 70 + recent.var() * 30) / 100), rel=1e-12)
    assert 0.1 < found.statistic <= 1.0


def test_unreachable_significance_is_refused() -> None:
    """With two values a side no distance is that rare: say so instead of never detecting."""
    with pytest.raises(ConfigError, match=r"alpha=0.0001 can never be reached with stat_size=2"):
        compile_detector(KSWIN(alpha=0.0001, window_size=10, stat_size=2), 1)
