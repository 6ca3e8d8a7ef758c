"""Metrics of regression against River's."""

import numpy as np
import pytest
from river import metrics as river_metrics

from stream.evaluate import Prequential, Regression


def test_agrees_with_river() -> None:
    """MAE, RMSE and R2, of the model and of the baselines (from their second row on)."""
    draw = np.random.default_rng(0)
    targets = 100.0 + draw.normal(size=2_000).cumsum()
    scores = targets + draw.normal(size=2_000)
    peers = [(river_metrics.MAE(), river_metrics.RMSE()) for _ in range(3)]
    r2 = river_metrics.R2()
    for row in range(2_000):
        r2.update(targets[row], scores[row])
        guesses = [scores[row]] + ([targets[row - 1], targets[:row].mean()] if row else [])
        for guess, peer in zip(guesses, peers, strict=False):
            for metric in peer:
                metric.update(targets[row], guess)

    metrics = Prequential(Regression())
    metrics.update(scores, targets)

    summary = metrics.summary()
    assert summary.count == 2_000
    assert summary.r2 == pytest.approx(r2.get(), rel=1e-9)
    for errors, (mae, rmse) in zip((summary.errors, summary.no_change, summary.running_mean), peers, strict=True):
        assert errors.mae == pytest.approx(mae.get(), rel=1e-9)
        assert errors.rmse == pytest.approx(rmse.get(), rel=1e-9)


def test_what_rows_do_not_define_is_nan() -> None:
    """Nothing seen, one row, and rows that are missing."""
    metrics = Prequential(Regression())
    assert np.isnan(metrics.summary().errors.mae)
    metrics.update(np.array([1.0, np.nan, np.inf]), np.array([3.0, 1.0, 1.0]))
    summary = metrics.summary()
    assert (summary.errors.mae, summary.count, metrics.skipped) == (2.0, 1, 2)
    assert np.isnan(summary.r2)
    assert np.isnan(summary.no_change.mae)
