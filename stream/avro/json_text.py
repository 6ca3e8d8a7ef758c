"""Avro data as JSON text, such as `JsonReader` takes."""

import math
from decimal import Decimal

import orjson

from stream.avro.defaults import Chosen
from stream.avro.reading import read_value
from stream.avro.schema import Array, Fixed, Logical, Map, Primitive, Record, Schema, Type, Union, is_null, type_name


def json_text(schema: Schema, data: bytes) -> bytes:
    """One record as JSON: decimals as text, bytes as text of code points below 256, what JSON has no number for as
    "NaN", "Infinity" and "-Infinity"; a union's value has the wrapper `{"type": value}` where several types are
    possible.
    """
    return orjson.dumps(_plain(schema.type, read_value(schema, data)))


def _plain(of: Type, value: object) -> object:
    match of, value:
        case Union(), Chosen(index, inner):
            branch = of.branches[index]
            plain = _plain(branch, inner)
            several = sum(not is_null(each) for each in of.branches) > 1
            return {type_name(branch): plain} if several and inner is not None else plain
        case Record(), dict():
            return {each.name: _plain(each.type, value[each.name]) for each in of.fields}
        case Array(), list():
            return [_plain(of.items, item) for item in value]
        case Map(), dict():
            return {key: _plain(of.values, item) for key, item in value.items()}
        case ((Primitive() | Fixed()), bytes()):
            return _decimal(value, of.logical) if of.logical else value.decode("latin-1")
        case Primitive(), float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def _decimal(value: bytes, logical: Logical) -> str:
    if logical.name != "decimal":
        return value.decode("latin-1")
    return f"{Decimal(int.from_bytes(value, 'big', signed=True)).scaleb(-logical.scale):f}"
