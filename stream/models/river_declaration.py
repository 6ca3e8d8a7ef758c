"""What can be known of a River object before it runs: its canonical text, and what makes it irreproducible."""

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from stream.errors import ConfigError

RANDOM_PARAMETERS = ("seed", "random_state")


def is_river(candidate: object) -> bool:
    """True for an instance of River's classes. Where River was never imported, nothing can be one."""
    base = sys.modules.get("river.base")
    return base is not None and isinstance(candidate, base.Base)


def river_definition(value: object) -> str:
    """Canonical text of a River object: classes with every parameter, the same in every process.

    Raises ConfigError for what has no such text, or could not be stored with the model: lambdas, local functions and
    objects that River does not know the parameters of.
    """
    if is_river(value):
        inner = ", ".join(f"{name}={river_definition(inner)}" for name, inner in parameters_of(value))
        return f"{type(value).__module__}.{type(value).__qualname__}({inner})"
    if isinstance(value, type | FunctionType):
        if "<" in value.__qualname__ or value.__module__ == "__main__":
            raise ConfigError(
                f"{value.__qualname__} inside a River model cannot be stored: define it at the top level of a module"
            )
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{river_definition(key)}: {river_definition(value[key])}" for key in value) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(river_definition(item) for item in value)) + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(river_definition(item) for item in value) + ")"
    text = repr(value)
    if " at 0x" in text:
        raise ConfigError(f"{text} inside a River model has no canonical text: pass numbers, texts and River's objects")
    return text


def unseeded_parameters(value: object, path: str) -> Iterator[str]:
    """Paths of all parameters that would draw another seed in every run, e.g. `ADWINBaggingClassifier.seed`."""
    if is_river(value) or isinstance(value, Mapping):
        for name, inner in value.items() if isinstance(value, Mapping) else parameters_of(value):
            if name in RANDOM_PARAMETERS and inner is None:
                yield f"{path}.{name}"
            yield from unseeded_parameters(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from unseeded_parameters(inner, f"{path}[{position}]")


def parameters_of(value: Any) -> list[tuple[str, Any]]:
    """Constructor parameters of a River object; the steps of a pipeline and the parts of a union by name."""
    for parts in ("steps", "transformers"):
        found = getattr(value, parts, None)
        if isinstance(found, Mapping):
            return list(found.items())
    # River gives nested estimators as (class, parameters); the objects themselves are more telling.
    return [(name, getattr(value, name, inner)) for name, inner in value._get_params().items()]
