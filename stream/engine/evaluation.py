"""Prequential metrics of every model beside its baselines, as labels become known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream.evaluate import (
    Binary,
    BinarySummary,
    Multiclass,
    MulticlassSummary,
    Prequential,
    Regression,
    RegressionSummary,
)
from stream.models import Task, TaskKind
from stream.records import Array, Floats


class Evaluation:
    """Metrics of the models of one task; the scores are those of prediction time.

    Args:
        problem: what the models are asked.
        threshold: from which score on the decision is "true".
        models: their names.
    """

    def __init__(self, problem: Task, threshold: float, models: Sequence[str]) -> None:
        self._scores = problem.scores
        self._by_model: dict[str, Prequential[Any]] = {}
        if problem.kind is not TaskKind.ANOMALY:
            self._by_model = {name: _prequential(problem, threshold) for name in models}

    def observe(self, scores: Floats, targets: Floats) -> None:
        """Take in scores (n, models * scores) with the targets (n,) that are known of them, NaN elsewhere.

        Scores are NaN where the model did not exist yet when the event was scored: metrics leave such rows out.
        """
        known = ~np.isnan(targets)
        if not known.any():
            return
        if not known.all():
            scores, targets = scores[known], targets[known]
        for place, metrics in enumerate(self._by_model.values()):
            own = scores[:, place * self._scores : (place + 1) * self._scores]
            metrics.update(own if self._scores > 1 else own[:, 0], targets)

    def figures(self) -> dict[str, dict[str, float]]:
        """By model, by metric: where it stands; baselines begin with `no_change_` and `prior_`."""
        return {
            name: {metric: value for metric, value in _figures(metrics.summary()).items() if not np.isnan(value)}
            for name, metrics in self._by_model.items()
        }

    def arrays(self) -> dict[str, Array]:
        """All counters, live."""
        return {
            f"{model}/{name}": array
            for model, metrics in self._by_model.items()
            for name, array in metrics.arrays().items()
        }

    def load(self, arrays: Mapping[str, Array], models: Sequence[str]) -> None:
        """Take over saved counters of these models; others begin at zero."""
        for model in models:
            if model in self._by_model:
                metrics = self._by_model[model]
                metrics.load(
                    {name: arrays[f"{model}/{name}"] for name in metrics.arrays() if f"{model}/{name}" in arrays}
                )


def _prequential(problem: Task, threshold: float) -> Prequential[Any]:
    if problem.kind is TaskKind.REGRESSION:
        return Prequential(Regression())
    if problem.kind is TaskKind.MULTICLASS:
        return Prequential(Multiclass(problem.scores))
    return Prequential(Binary(threshold))


def _figures(summary: object) -> dict[str, float]:
    match summary:
        case BinarySummary():
            return {
                "labelled": float(summary.count),
                "roc_auc": summary.roc_auc.value,
                "pr_auc": summary.pr_auc.value,
                "base_rate": summary.base_rate,
                "log_loss": summary.log_loss,
                "prior_log_loss": summary.prior_log_loss,
                "brier": summary.brier,
                "calibration_error": summary.calibration_error,
                "kappa": summary.decisions.kappa,
                "no_change_kappa": summary.no_change.kappa,
                "accuracy": summary.decisions.accuracy,
                "no_change_accuracy": summary.no_change.accuracy,
                "precision": summary.decisions.precision,
                "recall": summary.decisions.recall,
            }
        case MulticlassSummary():
            return {
                "labelled": float(summary.count),
                "log_loss": summary.log_loss,
                "prior_log_loss": summary.prior_log_loss,
                "kappa": summary.decisions.kappa,
                "no_change_kappa": summary.no_change.kappa,
                "accuracy": summary.decisions.accuracy,
                "macro_f1": summary.decisions.macro_f1,
            }
        case RegressionSummary():
            return {
                "labelled": float(summary.count),
                "mae": summary.errors.mae,
                "no_change_mae": summary.no_change.mae,
                "rmse": summary.errors.rmse,
                "r2": summary.r2,
            }
    return {}
