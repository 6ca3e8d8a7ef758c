"""Finding River's classes by name alone, so that `models.AdaptiveRandomForest` works."""

import difflib
import importlib
from typing import Any

# Where estimators live, and what is passed to them; the first module that has a name wins.
MODULES = (
    "anomaly",
    "compose",
    "dummy",
    "ensemble",
    "facto",
    "feature_extraction",
    "feature_selection",
    "forest",
    "imblearn",
    "linear_model",
    "model_selection",
    "multiclass",
    "naive_bayes",
    "neighbors",
    "preprocessing",
    "rules",
    "stats",
    "tree",
    "drift",
    "optim",
)

# River abbreviates two classes whose names in the literature are longer.
FULL_NAMES = {
    "AdaptiveRandomForest": "ARFClassifier",
    "AdaptiveRandomForestClassifier": "ARFClassifier",
    "AdaptiveRandomForestRegressor": "ARFRegressor",
}


def river_class(name: str, compiled: tuple[str, ...]) -> Any:
    """River's class `name`; an AttributeError with near names where there is none. Imports River."""
    known: dict[str, Any] = {}
    for module_name in MODULES:
        module = importlib.import_module(f"river.{module_name}")
        for exported in getattr(module, "__all__", ()):
            if hasattr(module, exported):  # River 0.26 lists names in compose that it no longer has
                known.setdefault(exported, getattr(module, exported))
    if FULL_NAMES.get(name, name) in known:
        return known[FULL_NAMES.get(name, name)]
    near = difflib.get_close_matches(name, [*known, *compiled], n=3, cutoff=0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else "; see https://riverml.xyz/latest/api/overview/"
    raise AttributeError(f"neither stream.models nor River has a model named {name!r}{hint}")
