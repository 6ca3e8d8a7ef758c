"""Metrics of several classes against River's."""

import math

import numpy as np
import pytest
from river import metrics as river_metrics

from stream.evaluate import Multiclass, Prequential
from stream.records import Floats


def predictions(seed: int) -> tuple[Floats, Floats]:
    """Probabilities of five classes, one of which never occurs, for 1,000 rows."""
    draw = np.random.default_rng(seed)
    targets = draw.choice(4, 1_000, p=[0.5, 0.3, 0.15, 0.05]).astype(float)
    weights = draw.random((1_000, 5)) + (targets[:, None] == np.arange(5)) * draw.random((1_000, 1))
    return weights / weights.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_river(seed: int) -> None:
    """Each metric that River has, to 1e-9."""
    scores, targets = predictions(seed)
    by_decision = {
        "accuracy": river_metrics.Accuracy(),
        "balanced_accuracy": river_metrics.BalancedAccuracy(),
        "kappa": river_metrics.CohenKappa(),
        "macro_f1": river_metrics.MacroF1(),
    }
    losses = []
    for row, target in zip(scores, targets.astype(int).tolist(), strict=True):
        losses.append(-math.log(row[target]))
        for metric in by_decision.values():
            metric.update(target, int(np.argmax(row)))

    metrics = Prequential(Multiclass(5))
    metrics.update(scores, targets)

    summary = metrics.summary()
    assert summary.log_loss == pytest.approx(np.mean(losses), rel=1e-9)
    for name, metric in by_decision.items():
        assert getattr(summary.decisions, name) == pytest.approx(metric.get(), rel=1e-9), name


def test_baselines_predict_from_the_past_only() -> None:
    """Targets 2 2 1 1 1 of three classes by hand: no-change says 0 2 2 1 1, majority 0 2 2 2 2."""
    metrics = Prequential(Multiclass(3))
    metrics.update(np.full((5, 3), 1 / 3), np.array([2.0, 2.0, 1.0, 1.0, 1.0]))
    summary = metrics.summary()
    assert summary.no_change.accuracy == pytest.approx(3 / 5)
    assert summary.majority.accuracy == pytest.approx(1 / 5)
    rates = [1 / 3, 2 / 4, 1 / 5, 2 / 6, 3 / 7]
    assert summary.prior_log_loss == pytest.approx(-sum(map(math.log, rates)) / 5)


def test_a_target_that_is_no_class_is_skipped() -> None:
    """Missing scores, missing targets and targets outside 0 to 2 are counted and change nothing."""
    metrics = Prequential(Multiclass(3))
    scores = np.full((5, 3), 0.5)
    scores[0, 1] = np.nan
    metrics.update(scores, np.array([1.0, np.nan, 3.0, -1.0, 0.0]))
    assert (metrics.summary().count, metrics.skipped) == (1, 4)
