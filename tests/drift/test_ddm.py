"""DDM against River's, and what a detection says."""

from dataclasses import asdict

import numpy as np
import pytest
from river.drift.binary import DDM as RiverDDM

from stream.drift import DDM, Detections, compile_detector
from stream.records import Floats


def errors(seed: int) -> Floats:
    """Errors at 20 %, 40 %, 10 % and 30 %."""
    draw = np.random.default_rng(seed)
    return np.concatenate([(draw.random(1_500) < rate).astype(float) for rate in (0.2, 0.4, 0.1, 0.3)])


def detect(declaration: DDM, values: Floats) -> Detections:
    offsets = np.arange(len(values))
    return compile_detector(declaration, 1).update(values[:, None], offsets, offsets * 1_000)


@pytest.mark.parametrize(
    "declaration",
    [DDM(), DDM(warm_start=1), DDM(warm_start=400), DDM(drift_threshold=2.5), DDM(warning_threshold=1.0)],
    ids=lambda declaration: declaration.definition,
)
@pytest.mark.parametrize("seed", range(5))
def test_detects_where_river_does(declaration: DDM, seed: int) -> None:
    """The same errors give the same indices, and the change lies where River's warning zone begins."""
    values = errors(seed)
    peer, indices, zones, zone = RiverDDM(**asdict(declaration)), [], [], None
    for index, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            indices.append(index)
            zones.append(index if zone is None else zone)
        zone = (index if zone is None else zone) if peer.warning_detected else None

    found = detect(declaration, values)

    assert indices
    assert found.row.tolist() == indices
    assert found.placed_offset.tolist() == zones
    assert found.placed_time_ms.tolist() == [1_000 * zone for zone in zones]


def test_tells_the_rate_at_its_minimum_and_in_the_warning_zone() -> None:
    """Errors rise from 10 % to 50 % at offset 2,000: the lowest rate, that of the zone, and the change near 2,000."""
    draw = np.random.default_rng(5)
    values = (draw.random(3_000) < np.where(np.arange(3_000) < 2_000, 0.1, 0.5)).astype(float)

    found = next(iter(detect(DDM(warm_start=100), values)))

    upto = values[: found.row + 1]
    rates = np.cumsum(upto) / np.arange(1, len(upto) + 1)
    errors_of_rates = np.sqrt(rates * (1 - rates) / np.arange(1, len(upto) + 1))
    lowest = 100 + int(np.argmin((rates + errors_of_rates)[100:]))
    assert found.before == pytest.approx(rates[lowest], rel=1e-12)
    assert found.after == pytest.approx(upto[found.placed_offset :].mean(), rel=1e-12)
    assert found.statistic == pytest.approx(rates[-1] + errors_of_rates[-1], rel=1e-12)
    assert 2_000 <= found.placed_offset <= found.row < 2_200
    assert (found.size_before, found.size_after) == (found.placed_offset, found.row + 1 - found.placed_offset)


def test_values_are_clipped_to_errors() -> None:
    """7 counts as an error and -3 as none, so that a wrong signal cannot break the rate."""
    values = errors(0)
    assert detect(DDM(), np.where(values == 1.0, 7.0, -3.0)).row.tolist() == detect(DDM(), values).row.tolist()


def test_a_change_after_a_long_time_is_as_large_as_one_after_a_short_time() -> None:
    """However many good values came before, a rise from 3 % to 30 % moves the rate by half a deviation or more."""
    draw = np.random.default_rng(6)
    for good in (10_000, 100_000):
        values = (draw.random(good + 5_000) < np.where(np.arange(good + 5_000) < good, 0.03, 0.3)).astype(float)
        (found, *_) = (each for each in detect(DDM(warm_start=2_000, drift_threshold=5.0), values) if each.row > good)
        assert found.effect > 0.5, good
