"""What is to be evaluated: a binary classification, one with several classes, or a regression."""

import math
from dataclasses import dataclass

from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Binary:
    """Scores are probabilities of the positive class, (n,), clipped to 0 to 1; targets are 0 or 1.

    Args:
        threshold: A score at or above it decides for the positive class. Between 0 and 1.

    Raises:
        ConfigError: The threshold is out of range.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"Binary: threshold={self.threshold!r}, but it must lie between 0 and 1.")


@dataclass(frozen=True, slots=True)
class Multiclass:
    """Scores are (n, classes), the largest decides, the first of equal ones; targets are class indices from 0.

    Args:
        classes: Number of classes, 2 to 1,000 (the state has three tables of classes * classes counts per segment).

    Raises:
        ConfigError: The number of classes is out of range.
    """

    classes: int

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= 1_000:
            raise ConfigError(f"Multiclass: classes={self.classes!r}, but it must be 2 to 1,000.")


@dataclass(frozen=True, slots=True)
class Regression:
    """Scores are predicted values, (n,); targets are the true ones."""


Task = Binary | Multiclass | Regression

NOT_DEFINED = math.nan  # of a metric that its rows do not define, e.g. ROC-AUC without positives
