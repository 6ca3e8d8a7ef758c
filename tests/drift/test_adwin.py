"""ADWIN against River's, and what a detection says."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from river import drift as river_drift

from stream.drift import ADWIN, Detections, compile_detector
from stream.drift.adwin import LONGEST, TICKS
from stream.records import Floats, Ints


def changing_stream(seed: int) -> Floats:
    """Normal, then shifted and wider, then rare errors, then three times as many."""
    draw = np.random.default_rng(seed)
    return np.concatenate(
        [
            draw.normal(0.0, 1.0, int(draw.integers(100, 5_000))),
            draw.normal(0.5, 2.0, int(draw.integers(100, 5_000))),
            (draw.random(3_000) < 0.1).astype(float),
            (draw.random(3_000) < 0.3).astype(float),
        ]
    )


def detect(declaration: ADWIN, values: Floats) -> tuple[Detections, dict[str, np.ndarray]]:
    """Detections at offsets 0, 1, ... and one second an event, and the state behind the last."""
    detector = compile_detector(declaration, 1)
    offsets = np.arange(len(values))
    return detector.update(values[:, None], offsets, offsets * 1_000), detector.arrays()


PARAMETERS = [
    ADWIN(),
    ADWIN(delta=0.5),
    ADWIN(delta=1e-6),
    ADWIN(clock=1),
    ADWIN(clock=100),
    ADWIN(max_buckets=2),
    ADWIN(max_buckets=13),
    ADWIN(min_window_length=1),
    ADWIN(min_window_length=60, grace_period=500),
    ADWIN(delta=0.05, clock=7, max_buckets=3, min_window_length=2, grace_period=0),
]


@pytest.mark.parametrize("declaration", PARAMETERS, ids=lambda declaration: declaration.definition)
@pytest.mark.parametrize("seed", range(6))
def test_detects_where_river_does(declaration: ADWIN, seed: int) -> None:
    """The same values give the same indices, and between detections the same window."""
    values = changing_stream(seed)
    peer = river_drift.ADWIN(**asdict(declaration))
    indices, windows = [], []
    for index, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            indices.append(index)
        windows.append((peer.width, peer.estimation, peer.variance))

    detections, _ = detect(declaration, values)
    assert detections.row.tolist() == indices
    for end in (1, 40, indices[0] + 1, indices[0] + 2, len(values)):
        _, state = detect(declaration, values[:end])
        width, total, deviation = state["windows"][0]
        assert width == windows[end - 1][0]
        assert total / width == pytest.approx(windows[end - 1][1], rel=1e-9, abs=1e-9)
        assert deviation == pytest.approx(windows[end - 1][2], rel=1e-9, abs=1e-9)


def test_pinned_indices() -> None:
    """One seeded stream and its detections, so that a change of both ADWINs would be seen too."""
    detections, _ = detect(ADWIN(), changing_stream(7))
    assert detections.row.tolist() == PINNED


PINNED = [4799, 8543, 10975]


def test_places_the_change_and_tells_both_sides() -> None:
    """Errors rise from 3 % to 12 % at offset 20,000: the alert is placed near it, with the rates of both sides."""
    draw = np.random.default_rng(3)
    values = (draw.random(25_000) < np.where(np.arange(25_000) < 20_000, 0.03, 0.12)).astype(float)

    detections, _ = detect(ADWIN(), values)

    found = detections.entry(0)
    assert 20_000 <= found.row < 20_600
    assert abs(found.placed_offset - 20_000) < 300
    assert found.placed_time_ms == found.placed_offset * 1_000
    assert found.size_before == found.placed_offset
    assert found.size_before + found.size_after == found.row + 1 == found.seen
    assert found.before == pytest.approx(values[: found.size_before].mean(), abs=1e-12)
    assert found.after == pytest.approx(values[found.size_before : found.row + 1].mean(), abs=1e-12)
    parts = np.where(np.arange(found.row + 1) < found.size_before, found.before, found.after)
    assert found.spread == pytest.approx(math.sqrt(np.mean((values[: found.row + 1] - parts) ** 2)), rel=1e-9)
    assert found.effect == pytest.approx(abs(found.after - found.before) / found.spread)


def test_missing_values_are_skipped() -> None:
    """NaN and infinity leave the windows as they are; rows and offsets still count them."""
    values = changing_stream(1)
    with_holes = np.full(2 * len(values), np.nan)
    with_holes[1::2] = values
    with_holes[100:200:2] = np.inf

    plain, plain_state = detect(ADWIN(), values)
    holed, holed_state = detect(ADWIN(), with_holes)

    assert holed.row.tolist() == (2 * plain.row + 1).tolist()
    assert holed.placed_offset.tolist() == (2 * plain.placed_offset + 1).tolist()
    assert holed.before.tobytes() == plain.before.tobytes()
    assert holed_state["windows"].tobytes() == plain_state["windows"].tobytes()


def test_signals_are_watched_apart() -> None:
    """Thirteen signals in one call are thirteen detectors, found in the order of the rows."""
    columns = [changing_stream(seed)[:6_000] for seed in range(13)]
    values = np.stack(columns, axis=1)
    offsets = np.arange(len(values))

    together = compile_detector(ADWIN(), 13).update(values, offsets, offsets)

    expected = sorted(
        (int(row), signal) for signal, column in enumerate(columns) for row in detect(ADWIN(), column)[0].row
    )
    assert list(zip(together.row.tolist(), together.signal.tolist(), strict=True)) == expected
    assert len(expected) > 13


def test_more_detections_than_a_kernel_returns_at_once() -> None:
    """A signal that jumps every 64 values, 200 times: all are found."""
    values = np.repeat(np.arange(200.0) % 2, 64)
    detections, _ = detect(ADWIN(clock=1), values)
    peer, expected = river_drift.ADWIN(clock=1), []
    for index, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            expected.append(index)
    assert detections.row.tolist() == expected
    assert len(expected) > 150


def test_a_window_at_its_longest_starts_anew() -> None:
    """The levels are full after 2^40 values: the window starts anew instead of writing behind them."""
    detector = compile_detector(ADWIN(clock=7), 1)  # 2^40 is no multiple of the clock
    arrays = {name: array.copy() for name, array in detector.arrays().items()}
    arrays["counts"][0, TICKS] = LONGEST - 3
    arrays["windows"][0] = [LONGEST - 3, 0.0, 0.0]
    detector.load(arrays)
    positions: Ints = np.arange(5)

    detector.update(np.zeros((5, 1)), positions, positions)

    assert detector.arrays()["counts"][0, TICKS] == 2
    assert detector.arrays()["windows"][0].tolist() == [2.0, 0.0, 0.0]
