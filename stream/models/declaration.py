"""What a user writes to declare a model: frozen values composed by `|`, each with a stable text and digest."""

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, dataclass_transform

from stream.errors import ConfigError

Declared = TypeVar("Declared", bound="Declaration")


class Declaration:
    """A part of a model with its parameters. Two declarations are the same model exactly if their texts are equal."""

    __slots__ = ()

    @property
    def definition(self) -> str:
        """Canonical text: the class and every parameter in the order of the signature, defaults included."""
        return canonical(self)

    @property
    def digest(self) -> str:
        """SHA-256 of `definition`, in hexadecimal: state of another digest does not fit this model."""
        return hashlib.sha256(self.definition.encode()).hexdigest()

    def __or__(self, other: object) -> Any:
        """`self | other`: a Pipeline, or River's where `other` is River's."""
        return pipeline_of(self, other)

    def to_river(self) -> Any:
        """A new estimator of River with the same parameters (imports River)."""
        raise NotImplementedError


@dataclass_transform(frozen_default=True)
def declaration(cls: type[Declared]) -> type[Declared]:
    """Make `cls` a frozen dataclass whose constructor refuses unknown parameters with a ConfigError that lists them."""
    made: type[Declared] = dataclass(frozen=True, slots=True)(cls)
    construct: Callable[..., None] = made.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def checked(self: Declared, *arguments: object, **parameters: object) -> None:
        try:
            signature.bind(self, *arguments, **parameters)
        except TypeError as error:
            accepted = ", ".join(field.name for field in fields(made)) or "none"  # type: ignore[arg-type]
            raise ConfigError(
                f"{made.__name__}: {error}. Its parameters are: {accepted}. For what only River's class has, "
                f"pass River's object instead."
            ) from None
        construct(self, *arguments, **parameters)

    made.__init__ = checked  # type: ignore[method-assign, assignment]
    return made


@declaration
class Pipeline(Declaration):
    """Scalers, in order, before one estimator. Written with `|`: `StandardScaler() | LogisticRegression()`."""

    steps: tuple[Declaration, ...]

    @property
    def definition(self) -> str:
        return " | ".join(step.definition for step in self.steps)

    def to_river(self) -> Any:
        from river import compose

        return compose.Pipeline(*(step.to_river() for step in self.steps))


def pipeline_of(left: Declaration, right: object) -> Any:
    """`left | right`: of River's kind as soon as one of the two is River's."""
    if not isinstance(right, Declaration):
        from stream.models.river_declaration import is_river

        if is_river(right):
            return left.to_river() | right
        raise ConfigError(
            f"cannot continue a model pipeline with {right!r}: expected a declaration of stream.models, "
            f"such as LogisticRegression(), or an estimator of River"
        )
    return Pipeline(steps_of(left) + steps_of(right))


def steps_of(declared: Declaration) -> tuple[Declaration, ...]:
    """The steps of a pipeline; of anything else, itself."""
    return declared.steps if isinstance(declared, Pipeline) else (declared,)


def canonical(value: object) -> str:
    """A text that is the same in every process: no addresses, no hash order; 1 and 1.0 are the same number."""
    if isinstance(value, Pipeline):
        return value.definition
    if isinstance(value, Declaration):
        inner = ", ".join(f"{field.name}={canonical(getattr(value, field.name))}" for field in fields(value))  # type: ignore[arg-type]
        return f"{type(value).__name__}({inner})"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, int | float):
        return repr(float(value))
    if isinstance(value, tuple):
        return "(" + ", ".join(canonical(item) for item in value) + ")"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{canonical(key)}: {canonical(value[key])}" for key in sorted(value)) + "}"
    raise ConfigError(f"{value!r} cannot be part of a model's declaration: expected numbers, texts and declarations")


def numbers_of(owner: Declaration) -> tuple[float, ...]:
    """Every parameter of `owner` that is a number, in order."""
    values = [getattr(owner, field.name) for field in fields(owner)]  # type: ignore[arg-type]
    return tuple(float(value) for value in values if isinstance(value, int | float))


def check_number(
    owner: Declaration, name: str, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> None:
    """Raise ConfigError unless the parameter `name` of `owner` is a finite number within the bounds."""
    value = getattr(owner, name)
    bounds = [("above", above), ("at least", least), ("at most", most)]
    rule = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    fits = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < float("inf")
        and (above is None or value > above)
        and (least is None or value >= least)
        and (most is None or value <= most)
    )
    if not fits:
        raise ConfigError(
            f"{type(owner).__name__}.{name} is {value!r}: expected a finite number{' ' * bool(rule)}{rule}"
        )


def check_whole(owner: Declaration, name: str, *, least: int, most: int) -> None:
    """Raise ConfigError unless the parameter `name` of `owner` is an integer from `least` to `most`."""
    value = getattr(owner, name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}: expected an integer from {least} to {most}")


def check_kind(owner: Declaration, name: str, *kinds: type) -> None:
    """Raise ConfigError unless the parameter `name` of `owner` is one of `kinds`."""
    value = getattr(owner, name)
    if not isinstance(value, kinds):
        expected = ", ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}: expected one of {expected}")
