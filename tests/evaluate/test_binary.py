"""Metrics of binary classification against River's and against their definitions."""

import math

import numpy as np
import pytest
from river import metrics as river_metrics

from stream.evaluate import Binary, BinarySummary, Prequential, pr_auc, roc_auc
from stream.records import Floats


def predictions(seed: int, rows: int = 3_000) -> tuple[Floats, Floats]:
    """Scores of a fair model on rare positives, many close to 0, some equal."""
    draw = np.random.default_rng(seed)
    targets = (draw.random(rows) < 0.08).astype(float)
    scores = 1.0 / (1.0 + np.exp(4.0 - 3.0 * targets - 2.0 * draw.normal(size=rows)))
    return np.where(draw.random(rows) < 0.2, scores.round(2), scores), targets


def evaluated(scores: Floats, targets: Floats, task: Binary | None = None) -> BinarySummary:
    metrics = Prequential(task or Binary())
    metrics.update(scores, targets)
    return metrics.summary()


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_river(seed: int) -> None:
    """Each metric that River has, to 1e-9."""
    scores, targets = predictions(seed)
    by_decision = {
        "accuracy": river_metrics.Accuracy(),
        "balanced_accuracy": river_metrics.BalancedAccuracy(),
        "kappa": river_metrics.CohenKappa(),
        "precision": river_metrics.Precision(),
        "recall": river_metrics.Recall(),
        "f1": river_metrics.F1(),
    }
    log_loss = river_metrics.LogLoss()
    for score, target in zip(scores.tolist(), targets.tolist(), strict=True):
        log_loss.update(bool(target), score)
        for metric in by_decision.values():
            metric.update(bool(target), score >= 0.3)

    summary = evaluated(scores, targets, Binary(threshold=0.3))

    assert summary.log_loss == pytest.approx(log_loss.get(), rel=1e-9)
    for name, metric in by_decision.items():
        assert getattr(summary.decisions, name) == pytest.approx(metric.get(), rel=1e-9), name


def test_losses_and_calibration_are_their_definitions() -> None:
    """Brier is the mean squared error; the calibration error weighs the gap of each tenth by its rows."""
    scores, targets = predictions(3)
    summary = evaluated(scores, targets)
    tenths = np.minimum((scores * 10).astype(int), 9)
    gaps = sum(
        (tenths == tenth).mean() * abs(scores[tenths == tenth].mean() - targets[tenths == tenth].mean())
        for tenth in np.unique(tenths)
    )
    assert summary.count == 3_000
    assert summary.base_rate == pytest.approx(targets.mean())
    assert summary.brier == pytest.approx(np.mean((scores - targets) ** 2), rel=1e-12)
    assert summary.calibration_error == pytest.approx(gaps, rel=1e-9)


def test_baselines_predict_from_the_past_only() -> None:
    """Targets 1 1 0 0 1 by hand: no-change says 0 1 1 0 0, majority 0 1 1 1 0, the prior 1/2 2/3 3/4 3/5 1/2."""
    summary = evaluated(np.full(5, 0.5), np.array([1.0, 1.0, 0.0, 0.0, 1.0]))
    assert summary.no_change.accuracy == pytest.approx(2 / 5)
    assert summary.no_change.recall == pytest.approx(1 / 3)
    assert summary.majority.accuracy == pytest.approx(1 / 5)
    assert summary.majority.precision == pytest.approx(1 / 3)
    rates = [1 / 2, 2 / 3, 1 - 3 / 4, 1 - 3 / 5, 1 / 2]
    assert summary.prior_log_loss == pytest.approx(-sum(map(math.log, rates)) / 5)
    assert summary.prior_brier == pytest.approx(sum((1 - rate) ** 2 for rate in rates) / 5)


def test_binned_areas_hold_their_bounds() -> None:
    """On many kinds of scores the exact areas lie within the bounds, which are narrow for scores of a real kind."""
    for seed in range(10):
        scores, targets = predictions(seed, 800)
        for shaped in (scores, scores.round(1), scores**6, 1.0 - (1.0 - scores) ** 6, np.full(800, 0.4)):
            summary = evaluated(shaped, targets)
            assert summary.roc_auc.low - 1e-12 <= roc_auc(shaped, targets) <= summary.roc_auc.high + 1e-12
            assert summary.pr_auc.low - 1e-12 <= pr_auc(shaped, targets) <= summary.pr_auc.high + 1e-12
            assert summary.roc_auc.low <= summary.roc_auc.value <= summary.roc_auc.high
            assert summary.pr_auc.low <= summary.pr_auc.value <= summary.pr_auc.high
        smooth = evaluated(scores, targets)
        assert smooth.roc_auc.value == pytest.approx(roc_auc(scores, targets), abs=0.005)
        assert smooth.roc_auc.high - smooth.roc_auc.low < 0.03
        assert smooth.pr_auc.value == pytest.approx(pr_auc(scores, targets), abs=0.03)


def test_rows_without_score_or_target_are_skipped() -> None:
    """Three of six rows are known: they alone count, and the others are counted apart."""
    metrics = Prequential(Binary())
    metrics.update(np.array([0.9, np.nan, 0.1, 0.2, 0.8, 0.7]), np.array([1.0, 1.0, np.nan, 0.0, 0.0, np.nan]))
    assert metrics.summary() == evaluated(np.array([0.9, 0.2, 0.8]), np.array([1.0, 0.0, 0.0]))
    assert metrics.skipped == 3


def test_scores_outside_probabilities_are_clipped() -> None:
    """-1 and 2 count as 0 and 1."""
    assert evaluated(np.array([-1.0, 2.0]), np.array([0.0, 1.0])) == evaluated(
        np.array([0.0, 1.0]), np.array([0.0, 1.0])
    )


def test_what_rows_do_not_define_is_nan() -> None:
    """Nothing seen, and then negatives only: no areas, no recall, and no error."""
    nothing = Prequential(Binary()).summary()
    assert nothing.count == 0
    assert all(map(math.isnan, (nothing.log_loss, nothing.decisions.accuracy, nothing.roc_auc.value)))
    negatives = evaluated(np.array([0.1, 0.2]), np.array([0.0, 0.0]))
    assert all(map(math.isnan, (negatives.roc_auc.value, negatives.pr_auc.value, negatives.decisions.recall)))
    assert negatives.decisions.accuracy == 1.0
