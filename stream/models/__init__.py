"""Models that learn from every event: compiled ones by River's names, and any of River's own.

from stream import models

models.StandardScaler() | models.LogisticRegression(models.AdaGrad(0.1), l2=1e-4)
models.AdaptiveRandomForest(n_models=10, seed=1)  # not compiled here: River's class of that name
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
