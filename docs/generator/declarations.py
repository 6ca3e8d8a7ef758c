"""Pages of what an app is declared with: App, expressions, models, detectors; and the metrics of an evaluation."""

import inspect

from docs.generator.docstrings import markdown_of
from docs.generator.python_api import class_block, function_block, methods_of
from stream import App, distance_km, drift, evaluate, lit, models, speed_kmh, udf, when
from stream.app import Events
from stream.features import Expression, col, expression
from stream.features.udf import UserFunction
from stream.models import river_adapter

_SCALERS = ("StandardScaler", "MinMaxScaler")
_ESTIMATORS = (
    "LogisticRegression",
    "LinearRegression",
    "PAClassifier",
    "GaussianNB",
    "MultinomialNB",
    "HalfSpaceTrees",
)
_OPTIMIZERS = ("SGD", "AdaGrad", "Adam", "FTRLProximal")
_RATES = ("InverseScaling", "Zeros", "Constant")
_BINARY_LOSSES = ("Log", "Hinge", "BinaryFocalLoss")
_REGRESSION_LOSSES = ("Squared", "Absolute", "Huber", "Quantile", "Cauchy", "EpsilonInsensitiveHinge", "Poisson")
_SUMMARIES = (
    "BinarySummary",
    "MulticlassSummary",
    "RegressionSummary",
    "Decisions",
    "ClassDecisions",
    "Errors",
    "Bounded",
)


def app_page() -> str:
    """App and its methods."""
    methods = tuple(name for names in methods_of(App).values() for name in names if not name.startswith("_"))
    parts = ["# Declaring an app", class_block(App, level=2, methods=methods)]
    parts.append("## The event topic\n\nWhat `App.events` returns has one method of its own.")
    parts.append(function_block(Events.features))
    return "\n\n".join(parts)


def expressions_page() -> str:
    """Everything that gives an expression, by the groups of the class's source."""
    parts = ["# Expressions", markdown_of(expression), "## Where an expression begins"]
    parts += [function_block(function) for function in (col, lit, when, distance_km, speed_kmh)]
    parts += ["## A function of your own", function_block(udf), markdown_of(UserFunction), _operators()]
    for title, names in methods_of(Expression).items():
        public = [name for name in names if not name.startswith("_") and name != "option"]
        if public:
            heading, _, explained = title.partition("; ")
            parts.append(f"## {_sentence(heading)}")
            parts += [f"{_sentence(explained)}."] if explained else []
            parts += [function_block(getattr(Expression, name)) for name in public]
    return "\n\n".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _operators() -> str:
    """Python's own operators, as the class has them."""
    titles = [title for title, names in methods_of(Expression).items() if any(name in _SIGNS for name in names)]
    lines = []
    for title in titles:
        signs = [f"`{_SIGNS[name]}`" for name in methods_of(Expression)[title] if name in _SIGNS]
        lines.append(f"- {' '.join(signs)}: {title}")
    return "## Python's operators\n\n" + "\n".join(lines)


_SIGNS = {
    "__add__": "+",
    "__sub__": "-",
    "__mul__": "*",
    "__truediv__": "/",
    "__mod__": "%",
    "__pow__": "**",
    "__neg__": "-x",
    "__abs__": "abs(x)",
    "__lt__": "<",
    "__le__": "<=",
    "__gt__": ">",
    "__ge__": ">=",
    "__eq__": "==",
    "__ne__": "!=",
    "__and__": "&",
    "__or__": "|",
    "__invert__": "~",
}


def models_page() -> str:
    """Compiled models and their parts, and how River's come in."""
    parts = ["# Models", markdown_of(models)]
    groups = {
        "Scalers": _SCALERS,
        "Models that are compiled": _ESTIMATORS,
        "Optimizers": _OPTIMIZERS,
        "Learning rates and first weights": _RATES,
        "Losses of a binary target": _BINARY_LOSSES,
        "Losses of a regression": _REGRESSION_LOSSES,
    }
    for title, names in groups.items():
        parts.append(f"## {title}")
        parts += [class_block(getattr(models, name)) for name in names]
    parts += ["## River's models", markdown_of(river_adapter), markdown_of(river_adapter.RiverModel)]
    parts.append(function_block(models.check_reproducible))
    return "\n\n".join(parts)


def detectors_page() -> str:
    """Drift detectors and what makes their detections alerts."""
    parts = [
        "# Drift detectors",
        markdown_of(drift),
        "What each finds on real signals, and how often it is wrong: [drift.md](../drift.md).",
    ]
    parts += [class_block(cls, level=2) for cls in (drift.ADWIN, drift.DDM, drift.PageHinkley, drift.KSWIN)]
    parts += ["## Alerts", markdown_of(inspect.getmodule(drift.AlertPolicy))]
    parts += [class_block(drift.AlertPolicy), function_block(drift.effect_size)]
    return "\n\n".join(parts)


def metrics_page() -> str:
    """Prequential metrics and what a summary holds."""
    parts = ["# Metrics of an evaluation", markdown_of(evaluate)]
    parts.append(class_block(evaluate.Prequential, level=2, methods=("update", "summary", "by_segment", "others")))
    parts.append("## What is evaluated")
    parts += [class_block(cls) for cls in (evaluate.Binary, evaluate.Multiclass, evaluate.Regression)]
    parts.append("## What a summary holds")
    parts += [class_block(getattr(evaluate, name)) for name in _SUMMARIES]
    parts += ["## Exact ranking metrics", function_block(evaluate.roc_auc), function_block(evaluate.pr_auc)]
    return "\n\n".join(parts)
