"""Metrics of decisions, from a table of counts: by true class (rows) and decided class (columns)."""

from dataclasses import dataclass

import numpy as np

from stream.evaluate.tasks import NOT_DEFINED
from stream.records import Floats, Ints


@dataclass(frozen=True, slots=True)
class Decisions:
    """How good decisions between two classes were. NaN where the rows do not define it."""

    accuracy: float
    balanced_accuracy: float  # mean recall of the classes that occurred
    kappa: float  # Cohen's: 0 is what chance reaches, 1 is always right
    precision: float  # share of positive decisions that were right
    recall: float  # share of positives that were decided so
    f1: float


@dataclass(frozen=True, slots=True)
class ClassDecisions:
    """How good decisions between several classes were. NaN where the rows do not define it."""

    accuracy: float
    balanced_accuracy: float  # mean recall of the classes that occurred
    kappa: float
    macro_f1: float  # mean F1 of the classes that occurred or were decided for


def binary_decisions(table: Ints) -> Decisions:
    """Metrics of a (2, 2) table; class 1 is the positive one."""
    true_positives = float(table[1, 1])
    return Decisions(
        accuracy=_accuracy(table),
        balanced_accuracy=_balanced_accuracy(table),
        kappa=_kappa(table),
        precision=_ratio(true_positives, float(table[:, 1].sum())),
        recall=_ratio(true_positives, float(table[1].sum())),
        f1=_ratio(2.0 * true_positives, float(table[1].sum() + table[:, 1].sum())),
    )


def class_decisions(table: Ints) -> ClassDecisions:
    """Metrics of a (classes, classes) table."""
    seen: Floats = (table.sum(axis=0) + table.sum(axis=1)).astype(np.float64)
    f1 = 2.0 * np.diagonal(table)[seen > 0] / seen[seen > 0]
    return ClassDecisions(
        accuracy=_accuracy(table),
        balanced_accuracy=_balanced_accuracy(table),
        kappa=_kappa(table),
        macro_f1=float(f1.mean()) if len(f1) else NOT_DEFINED,
    )


def _accuracy(table: Ints) -> float:
    return _ratio(float(np.trace(table)), float(table.sum()))


def _balanced_accuracy(table: Ints) -> float:
    occurred = table.sum(axis=1) > 0
    recalls = np.diagonal(table)[occurred] / table.sum(axis=1)[occurred]
    return float(recalls.mean()) if len(recalls) else NOT_DEFINED


def _kappa(table: Ints) -> float:
    """Where chance alone is always right (one class only, always decided), kappa is not defined."""
    total = float(table.sum())
    if total == 0.0:
        return NOT_DEFINED
    by_chance = float((table.sum(axis=0) / total) @ (table.sum(axis=1) / total))
    return _ratio(_accuracy(table) - by_chance, 1.0 - by_chance)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole != 0.0 else NOT_DEFINED
