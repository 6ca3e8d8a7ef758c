"""Page-Hinkley against River's, and what a detection says."""

from dataclasses import asdict

import numpy as np
import pytest
from river import drift as river_drift

from stream.drift import Detections, PageHinkley, compile_detector
from stream.records import Floats


def detect(declaration: PageHinkley, values: Floats) -> Detections:
    offsets = np.arange(len(values))
    return compile_detector(declaration, 1).update(values[:, None], offsets, offsets * 1_000)


@pytest.mark.parametrize(
    "declaration",
    [
        PageHinkley(),
        PageHinkley(mode="up"),
        PageHinkley(mode="down"),
        PageHinkley(min_instances=400),
        PageHinkley(delta=0.3),
        PageHinkley(threshold=10.0),
        PageHinkley(alpha=0.98, threshold=8.0),
        PageHinkley(alpha=1.0),
    ],
    ids=lambda declaration: declaration.definition,
)
@pytest.mark.parametrize("seed", range(3))
def test_detects_where_river_does(declaration: PageHinkley, seed: int) -> None:
    """The same values give the same indices, up, down and both."""
    draw = np.random.default_rng(seed)
    values = np.concatenate([draw.normal(mean, 1.0, 1_500) for mean in (0.0, 1.5, -1.0, 0.5)])
    peer, indices = river_drift.PageHinkley(**asdict(declaration)), []
    for index, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            indices.append(index)

    assert indices
    assert detect(declaration, values).row.tolist() == indices


@pytest.mark.parametrize(("mean_after", "sign"), [(3.0, 1), (-3.0, -1)])
def test_places_the_change_behind_the_extreme(mean_after: float, sign: int) -> None:
    """The mean leaves 0 at offset 1,000: both parts are told, and the naive extreme of the sum is where they part."""
    draw = np.random.default_rng(2)
    values = np.concatenate([draw.normal(0.0, 1.0, 1_000), draw.normal(mean_after, 1.0, 200)])

    found = next(iter(detect(PageHinkley(delta=0.2), values)))

    upto = values[: found.row + 1]
    means = np.cumsum(upto) / np.arange(1, len(upto) + 1)
    sums, total = [], 0.0
    for value, mean in zip(upto.tolist(), means.tolist(), strict=True):
        total = (1 - 0.0001) * total + (value - mean) - sign * 0.2
        sums.append(sign * total)
    extreme = int(np.argmin(sums))
    assert found.placed_offset == extreme + 1
    assert found.placed_time_ms == 1_000 * (extreme + 1)
    assert abs(found.placed_offset - 1_000) < 30
    assert (found.size_before, found.size_after) == (extreme + 1, found.row - extreme)
    assert found.before == pytest.approx(upto[: extreme + 1].mean(), rel=1e-9)
    assert found.after == pytest.approx(upto[extreme + 1 :].mean(), rel=1e-9)
    assert found.statistic == pytest.approx(sums[-1] - sums[extreme], rel=1e-9)
    within = (upto[: extreme + 1].var() * (extreme + 1) + upto[extreme + 1 :].var() * (found.row - extreme)) / len(upto)
    assert found.spread == pytest.approx(np.sqrt(within), rel=1e-9)
