"""Prequential metrics beside baselines, overall and by segment; exact ranking metrics for offline use."""

from stream.evaluate.binary import BinarySummary
from stream.evaluate.decisions import ClassDecisions, Decisions
from stream.evaluate.multiclass import MulticlassSummary
from stream.evaluate.prequential import Prequential
from stream.evaluate.ranking import Bounded, pr_auc, roc_auc
from stream.evaluate.regression import Errors, RegressionSummary
from stream.evaluate.tasks import Binary, Multiclass, Regression, Task

__all__ = [
    "Binary",
    "BinarySummary",
    "Bounded",
    "ClassDecisions",
    "Decisions",
    "Errors",
    "Multiclass",
    "MulticlassSummary",
    "Prequential",
    "Regression",
    "RegressionSummary",
    "Task",
    "pr_auc",
    "roc_auc",
]
