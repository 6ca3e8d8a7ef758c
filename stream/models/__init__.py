"""Models that learn from every event: compiled ones by River's names, and any of River's own.

    from stream import models

    models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.1), l2=1e-4)
    models.AdaptiveRandomForest(n_models=10, seed=1)  # not compiled here: River's class of that name

Compiled models agree with River 0.26 to 1e-9 (relative). What surprises in River, and is followed:

- A feature that is missing does not decay: Adam's moments, L1 and L2 penalties act on the features of the event alone.
- FTRLProximal takes the gradient from the weights before their refresh, and keeps a weight whose |z| is within l1.
- L1 penalties use the learning rate after the step, the intercept uses the one before it, and is never penalised.
- An initial weight counts from the first event that the feature is learned from; before that it scores as 0.
- Absolute loss has gradient -1 at no error; EpsilonInsensitiveHinge aims at twice the target less one.
- The probability is exactly 0 below a sum of -30 and exactly 1 above 30.
- GaussianNB has no density where a feature has no variance, and adds 1e-9 to every density.
- MultinomialNB counts a feature that is there with value 0 as a term.

What differs, on purpose:

- An input that is infinite or beyond 1e100 is missing, and counted; an impossible target is not learned, and counted.
- Scalers leave sparse features alone (hashed, one-hot, words). River's scale every key, also one-hot ones.
- MinMaxScaler gives 0 before it saw a first value (River: NaN, or a TypeError with a window).
- StandardScaler with a window gives 0 where rounding leaves a variance below 0 (River: a complex number).
- Poisson loss gives inf for a sum above 709 (River: an OverflowError).
- Naive Bayes gives equal probabilities before it learned (River: none). MultinomialNB needs alpha above 0.
- HalfSpaceTrees split on all dense features, not on those of the first event, and need a seed.
- clip_gradient is at most River's default of 1e12, so that one event cannot overflow a weight.
- Normal initializers, the Optimal schedule and other optimizers are not compiled: pass River's object.
"""

from typing import Any

from stream.models.compile import compile_model
from stream.models.declaration import Declaration, Pipeline
from stream.models.half_space_trees import HalfSpaceTrees
from stream.models.linear import LinearRegression, LogisticRegression, PAClassifier
from stream.models.losses import (
    Absolute,
    BinaryFocalLoss,
    Cauchy,
    EpsilonInsensitiveHinge,
    Hinge,
    Huber,
    Log,
    Poisson,
    Quantile,
    Squared,
)
from stream.models.model import Model, ScaleAt, Scored
from stream.models.naive_bayes import GaussianNB, MultinomialNB
from stream.models.optimizers import FTRL, SGD, AdaGrad, Adam, FTRLProximal
from stream.models.reproducible import Reproducibility, check_reproducible
from stream.models.scalers import MinMaxScaler, StandardScaler
from stream.models.schedules import Constant, InverseScaling, Zeros
from stream.models.task import ANOMALY, BINARY, REGRESSION, Task, TaskKind, multiclass

__all__ = [
    "ANOMALY",
    "BINARY",
    "FTRL",
    "REGRESSION",
    "SGD",
    "Absolute",
    "AdaGrad",
    "Adam",
    "BinaryFocalLoss",
    "Cauchy",
    "Constant",
    "Declaration",
    "EpsilonInsensitiveHinge",
    "FTRLProximal",
    "GaussianNB",
    "HalfSpaceTrees",
    "Hinge",
    "Huber",
    "InverseScaling",
    "LinearRegression",
    "Log",
    "LogisticRegression",
    "MinMaxScaler",
    "Model",
    "MultinomialNB",
    "PAClassifier",
    "Pipeline",
    "Poisson",
    "Quantile",
    "Reproducibility",
    "ScaleAt",
    "Scored",
    "Squared",
    "StandardScaler",
    "Task",
    "TaskKind",
    "Zeros",
    "check_reproducible",
    "compile_model",
    "multiclass",
]


def __getattr__(name: str) -> Any:
    """River's class of that name, for every name that is not compiled here."""
    if name.startswith("_"):
        raise AttributeError(name)
    from stream.models.river_names import river_class

    return river_class(name, tuple(__all__))
