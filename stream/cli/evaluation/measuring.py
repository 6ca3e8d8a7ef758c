"""What predictions were worth: prequential metrics and exact ranking metrics, beside baselines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.cli.evaluation.loading import Loaded
from stream.cli.evaluation.running import Ran
from stream.engine.plan import Plan
from stream.evaluate import Binary, Decisions, Multiclass, Prequential, Regression, pr_auc, roc_auc
from stream.evaluate.decisions import ClassDecisions
from stream.evaluate.regression import Errors
from stream.models import TaskKind
from stream.records import Floats

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics by model and by baseline; NaN where one is not defined."""

    evaluated: int  # events with a score and a known truth
    models: Mapping[str, Figures]
    baselines: Mapping[str, Figures]


def measure(plan: Plan, loaded: Loaded, ran: Ran) -> Measured | None:
    """Evaluate every model; None where no truth is known.

    Each event counts once, in the order in which its truth became known, with the score from before the model
    learned from it.
    """
    scores, truths = _in_order(loaded, ran)
    known = ~np.isnan(truths) & ~np.isnan(scores).any(axis=1) if len(scores) else np.zeros(0, np.bool_)
    scores, truths = scores[known], truths[known]
    if not len(truths):
        return None
    width = plan.problem.scores
    models: dict[str, Figures] = {}
    baselines: dict[str, Figures] = {}
    for place, model in enumerate(plan.models):
        own = np.ascontiguousarray(scores[:, place * width : (place + 1) * width])
        threshold = plan.decision.threshold if place == plan.decision.model else 0.5
        models[model.name], baselines = _figures(plan, own, truths, threshold)
    return Measured(len(truths), models, baselines)


def _in_order(loaded: Loaded, ran: Ran) -> tuple[Floats, Floats]:
    """Scores and truths (m, ...) in the order in which the truths became known; the first label of an event counts."""
    if loaded.truths is not None:
        return ran.scores, loaded.truths
    labels = loaded.labels
    if labels is None:
        return ran.scores, ran.targets
    usable = np.flatnonzero((labels.events >= 0) & ~np.isnan(labels.targets))
    _, first = np.unique(labels.events[usable], return_index=True)
    chosen = usable[np.sort(first)]
    return ran.scores[labels.events[chosen]], labels.targets[chosen]


def _figures(plan: Plan, scores: Floats, truths: Floats, threshold: float) -> tuple[Figures, dict[str, Figures]]:
    match plan.problem.kind:
        case TaskKind.BINARY:
            return binary_figures(scores[:, 0], truths, threshold)
        case TaskKind.MULTICLASS:
            return _multiclass(scores, truths)
        case TaskKind.REGRESSION:
            return _regression(scores[:, 0], truths)
        case TaskKind.ANOMALY:
            rate = float(np.mean(truths))
            ranking = {"roc_auc": roc_auc(scores[:, 0], truths), "pr_auc": pr_auc(scores[:, 0], truths)}
            return ranking, {"prior": {"roc_auc": 0.5, "pr_auc": rate}}


def binary_figures(scores: Floats, truths: Floats, threshold: float) -> tuple[Figures, dict[str, Figures]]:
    """Metrics of one model on a binary problem, and those of the baselines.

    Args:
        scores: (n,), in the order in which the truths became known.
        truths: (n,), 0 or 1.
        threshold: a score at or above it decides for 1.
    """
    metrics = Prequential(Binary(threshold if 0.0 <= threshold <= 1.0 else 0.5))
    metrics.update(scores, truths)
    found = metrics.summary()
    own = {
        "roc_auc": roc_auc(scores, truths),
        "pr_auc": pr_auc(scores, truths),
        **_decisions(found.decisions),
        "log_loss": found.log_loss,
        "brier": found.brier,
        "calibration_error": found.calibration_error,
    }
    prior = {"roc_auc": 0.5, "pr_auc": found.base_rate, "log_loss": found.prior_log_loss, "brier": found.prior_brier}
    baselines: dict[str, Figures] = {
        "no-change": _decisions(found.no_change),
        "majority": _decisions(found.majority),
        "prior": prior,
    }
    return own, baselines


def _multiclass(scores: Floats, truths: Floats) -> tuple[Figures, dict[str, Figures]]:
    metrics = Prequential(Multiclass(scores.shape[1]))
    metrics.update(scores, truths)
    found = metrics.summary()
    baselines: dict[str, Figures] = {
        "no-change": _decisions(found.no_change),
        "majority": _decisions(found.majority),
        "prior": {"log_loss": found.prior_log_loss},
    }
    return {**_decisions(found.decisions), "log_loss": found.log_loss}, baselines


def _regression(scores: Floats, truths: Floats) -> tuple[Figures, dict[str, Figures]]:
    metrics = Prequential(Regression())
    metrics.update(scores, truths)
    found = metrics.summary()
    baselines: dict[str, Figures] = {"no-change": _errors(found.no_change), "running mean": _errors(found.running_mean)}
    return {**_errors(found.errors), "r2": found.r2}, baselines


def _decisions(found: Decisions | ClassDecisions) -> dict[str, float]:
    names = ("accuracy", "balanced_accuracy", "kappa", "f1", "macro_f1")
    return {name: float(getattr(found, name)) for name in names if hasattr(found, name)}


def _errors(found: Errors) -> dict[str, float]:
    return {"mae": found.mae, "rmse": found.rmse}


def without_nan(figures: Figures) -> dict[str, float | None]:
    """As JSON has it: null where a metric is not defined."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
