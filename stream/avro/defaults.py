"""Defaults of a reader's fields: JSON, checked against the type, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stream.avro.schema import MISSING, Array, EnumType, Fixed, Map, Primitive, Record, Type, Union, type_name
from stream.errors import SchemaError

_RANGES: Final = {"int": 31, "long": 63}  # bits
# A record that holds itself can have a default without end.
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value of a union: which branch, and the value of that branch."""

    branch: int
    value: object


def typed_default(of: Type, value: object, path: str, depth: int = 0) -> object:
    """The default as a plain value of the type: bytes for bytes and fixed, float for float and double, every field of a
    record, `Chosen` for a union (the first branch that the default matches, as Avro 1.12 says).

    Raises:
        SchemaError: the default is not a value of the type.
    """
    if depth > _MAX_DEPTH:
        raise SchemaError(f"{path}: the default has no end: a record's default holds the record again")
    match of:
        case Primitive():
            return _primitive(of.type, value, path)
        case Fixed():
            data = _bytes(of, value, path)
            return data if len(data) == of.size else _refuse(of, value, path)
        case EnumType():
            return value if value in of.symbols else _refuse(of, value, path)
        case Array():
            if not isinstance(value, list):
                return _refuse(of, value, path)
            return [typed_default(of.items, item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        case Map():
            if not isinstance(value, Mapping):
                return _refuse(of, value, path)
            return {key: typed_default(of.values, item, f"{path}.{key}", depth + 1) for key, item in value.items()}
        case Union():
            return _union(of, value, path, depth)
        case Record():
            return _record(of, value, path, depth)


def _primitive(of: str, value: object, path: str) -> object:
    match of, value:
        case "null", None:
            return None
        case "boolean", bool():
            return value
        case (("int" | "long"), int()) if type(value) is int and -(2 ** _RANGES[of]) <= value < 2 ** _RANGES[of]:
            return value
        case (("float" | "double"), int() | float()) if type(value) is not bool:
            return float(value)
        case (("float" | "double"), "NaN" | "Infinity" | "-Infinity"):  # as Java writes them
            return float(value.removesuffix("inity"))
        case "string", str():
            return value
        case "bytes", str():
            return _bytes(Primitive("bytes"), value, path)
    return _refuse(Primitive(of), value, path)


def _bytes(of: Type, value: object, path: str) -> bytes:
    if isinstance(value, str) and all(character <= "\xff" for character in value):
        return value.encode("latin-1")
    _refuse(of, value, path)
    return b""


def _union(of: Union, value: object, path: str, depth: int) -> Chosen:
    for index, branch in enumerate(of.branches):
        try:
            return Chosen(index, typed_default(branch, value, path, depth + 1))
        except SchemaError:
            continue
    _refuse(of, value, path)
    return Chosen(0, None)


def _record(of: Record, value: object, path: str, depth: int) -> dict[str, object]:
    if not isinstance(value, Mapping):
        _refuse(of, value, path)
        return {}
    plain = {}
    for each in of.fields:
        given = value.get(each.name, each.default)
        if given is MISSING:
            raise SchemaError(f"{path}: the default of {of.name} has no {each.name}, and that field has no default")
        plain[each.name] = typed_default(each.type, given, f"{path}.{each.name}", depth + 1)
    return plain


def _refuse(of: Type, value: object, path: str) -> object:
    raise SchemaError(f"{path}: {value!r} is no default of type {type_name(of)}")
