"""What holds for every task: batches, segments, saving and loading, refusals."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stream.errors import ConfigError, TaskCorrupted
from stream.evaluate import Binary, Multiclass, Prequential, Regression
from stream.records import Floats, Ints

TASKS = [Binary(), Multiclass(3), Regression()]


def stream_of(task: Any, seed: int = 0, rows: int = 120) -> tuple[Floats, Floats, Ints]:
    """Scores, targets (one in ten missing) and the segments 7, -3 and 10^12."""
    draw = np.random.default_rng(seed)
    targets = draw.integers(0, 3 if isinstance(task, Multiclass) else 2, rows).astype(float)
    scores = draw.random((rows, 3)) if isinstance(task, Multiclass) else draw.random(rows)
    targets[draw.random(rows) < 0.1] = np.nan
    return scores, targets, draw.choice(np.array([7, -3, 10**12]), rows)


def state_bytes(metrics: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in metrics.arrays().items()}


@pytest.mark.parametrize("task", TASKS, ids=str)
@given(cuts=some.lists(some.integers(0, 120), max_size=6), kept=some.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_batches_and_restarts_change_nothing(task: Any, cuts: list[int], kept: int) -> None:
    """However the stream is cut, and wherever it is saved and loaded, the state is the same to the byte."""
    scores, targets, segments = stream_of(task)
    whole = Prequential(task, max_segments=2)
    whole.update(scores, targets, segments)

    parts = Prequential(task, max_segments=2)
    edges = [0, *sorted(cuts), 120]
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        parts.update(scores[start:end], targets[start:end], segments[start:end])
        if index == kept:
            restored = Prequential(task, max_segments=2)
            restored.load({name: array.copy() for name, array in parts.arrays().items()})
            parts = restored

    assert state_bytes(parts) == state_bytes(whole)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_segment_has_the_metrics_of_its_rows(task: Any) -> None:
    """Two segments get rows in the order they came, the third shares `others`; each is what its rows alone give."""
    scores, targets, segments = stream_of(task)
    known = ~np.isnan(targets)
    metrics = Prequential(task, max_segments=2)
    metrics.update(scores, targets, segments)

    order = list(dict.fromkeys(segments[known].tolist()))
    assert list(metrics.by_segment()) == order[:2]
    for key, summary in [*metrics.by_segment().items(), (order[2], metrics.others())]:
        alone = Prequential(task)
        alone.update(scores[segments == key], targets[segments == key])
        assert summary == alone.summary()
    alone = Prequential(task)
    alone.update(scores, targets)
    assert metrics.summary() == alone.summary()


def test_state_of_another_shape_is_refused() -> None:
    """State of 3 segments does not load where 2 are followed, and nothing is half loaded."""
    metrics, other = Prequential(Binary(), max_segments=2), Prequential(Binary(), max_segments=3)
    other.update(np.array([0.5]), np.array([1.0]))
    with pytest.raises(TaskCorrupted, match=r"saved array 'tables' is int64 \(5, 3, 2, 2\), expected int64 \(4, 3, 2"):
        metrics.load(other.arrays())
    with pytest.raises(TaskCorrupted, match="saved array 'keys' is nothing"):
        metrics.load({name: array for name, array in metrics.arrays().items() if name != "keys"})
    assert metrics.summary().count == 0


def test_wrong_shapes_are_refused() -> None:
    """One score too many, or one column for three classes: an error that says what was expected."""
    with pytest.raises(ValueError, match=r"scores \(3,\), targets \(2,\): expected scores \(2,\)"):
        Prequential(Binary()).update(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"expected scores \(2, 3\)"):
        Prequential(Multiclass(3)).update(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="expected scores"):
        Prequential(Binary()).update(np.zeros(2), np.zeros(2), np.zeros(3, np.int64))


def test_tasks_out_of_range_are_refused() -> None:
    """The text names the parameter and the rule."""
    with pytest.raises(ConfigError, match=r"threshold=1.5, but it must lie between 0 and 1"):
        Binary(threshold=1.5)
    with pytest.raises(ConfigError, match=r"classes=1, but it must be 2 to 1,000"):
        Multiclass(1)
    with pytest.raises(ConfigError, match="max_segments=-1, but it must not be negative"):
        Prequential(Regression(), max_segments=-1)
