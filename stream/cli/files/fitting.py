"""Values of a file as the schema's types take them. What cannot be one is left as it is: the encoder says why."""

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any, Final, TypeAlias

import orjson

from stream.avro.schema import Array, Map, Primitive, Record, Type, Union, is_null, logical_of

Fit: TypeAlias = Callable[[Any], Any]

_WHOLE: Final = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER: Final = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf|infinity)\s*", re.IGNORECASE
)
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


def fit_text(of: Type) -> Fit:
    """For values that are texts, as in CSV: empty is null where that is allowed; arrays and maps are JSON."""
    match of:
        case Union():
            return _nullable(of, fit_text, lambda value: value == "")
        case Primitive(type="boolean"):
            return lambda text: _BOOLEANS.get(text.strip().lower(), text)
        case Primitive(type="int" | "long"):
            return lambda text: int(text) if _WHOLE.fullmatch(text) else text.strip()
        case Primitive(type="float" | "double"):
            return lambda text: float(text) if _NUMBER.fullmatch(text) else text
        case Array() | Map() | Record():
            return _from_json
        case _:
            return _same


def fit_value(of: Type) -> Fit:
    """For values with types of their own: whole floats as integers, 0 and 1 as booleans, dates and times as text."""
    match of:
        case Union():
            return _nullable(of, fit_value, lambda value: value != value)
        case Primitive(type="boolean"):
            return lambda value: bool(value) if type(value) is int and value in (0, 1) else value
        case Primitive(type="int" | "long"):
            return _time if logical_of(of) else _whole
        case Map(values):
            fit = fit_value(values)
            # Arrow has maps as lists of pairs.
            return lambda value: {key: fit(item) for key, item in dict(value).items()} if value is not None else value
        case Array(items):
            fit = fit_value(items)
            return lambda value: [fit(item) for item in value] if isinstance(value, list) else value
        case Record():
            fits = {each.name: fit_value(each.type) for each in of.fields}
            return lambda value: _fitted(value, fits)
        case _:
            return _same


def json_value(value: Any) -> Any:
    """A value of a file in the words that JSON has for it, which `stream.avro.encode_one` takes."""
    match value:
        case dict():
            return {str(key): json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [json_value(item) for item in value]
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode("latin-1")
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str() | int() | float() | None:
            return value
        case _:
            return str(value)  # decimals


def _fitted(value: Any, fits: dict[str, Fit]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: fits[name](item) for name, item in value.items() if name in fits}


def _nullable(of: Union, fit: Callable[[Type], Fit], is_missing: Callable[[Any], bool]) -> Fit:
    """The one type beside null; a value of a union of several types stays as it is."""
    others = [branch for branch in of.branches if not is_null(branch)]
    inner = fit(others[0]) if len(others) == 1 else _same
    if len(others) == len(of.branches):
        return inner
    return lambda value: None if value is None or is_missing(value) else inner(value)


def _same(value: Any) -> Any:
    return value


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date | time) else _whole(value)


def _from_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
