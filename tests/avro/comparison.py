"""Whether a row of columns says the same as a value of the reader's schema."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from stream.avro.columns import branch_path, joined, kind_of
from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Type, Union, is_null
from stream.records import Column, ColumnBatch, Kind


def row_values(batch: ColumnBatch, row: int) -> dict[str, Any]:
    """The row's values by column: None where absent, a list for a list."""
    values: dict[str, Any] = {}
    for column in batch.columns:
        if not batch.present[row, column.index]:
            assert not batch.cells[row, column.slot], "the cells of an absent value are 0"
            values[column.name] = None
        elif column.kind is Kind.LIST:
            assert column.item is not None
            first, behind = batch.cells[row, column.slot : column.slot + 2]
            values[column.name] = [
                _cell(batch, column, column.item, cells) for cells in batch.items[column.name][first:behind]
            ]
        else:
            values[column.name] = _cell(batch, column, column.kind, batch.cells[row, column.slot : column.slot + 2])
    return values


def _cell(batch: ColumnBatch, column: Column, kind: Kind, cells: Any) -> Any:
    first = int(cells[0])
    match kind:
        case Kind.BOOLEAN:
            return bool(first)
        case Kind.LONG:
            return first
        case Kind.DOUBLE:
            return float(np.int64(first).view(np.float64))
        case Kind.ENUM:
            return column.symbols[first]
        case Kind.STRING:
            return batch.data[first : cells[1]].tobytes().decode()
        case _:
            return batch.data[first : cells[1]].tobytes()


def plain_items(of: Type, values: list[Any], path: str) -> dict[str, list[Any]]:
    """What the list columns of an array's items (or a map's values) should hold."""
    return _Items({}).fill(of, values, path)


@dataclass
class _Items:
    lists: dict[str, list[Any]]

    def fill(self, of: Type, values: list[Any], path: str) -> dict[str, list[Any]]:
        if isinstance(of, Record):
            for each in of.fields:
                self.fill(each.type, [value[each.name] for value in values], joined(path, each.name))
        elif kind_of(of) is not None:
            self.lists[path] = [leaf(of, value) for value in values]
        return self.lists


def leaf(of: Type, value: Any) -> Any:
    """A plain value as its column has it."""
    logical = of.logical if isinstance(of, Primitive | Fixed) else None
    if logical is not None and logical.name == "decimal" and isinstance(value, bytes):
        return Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-logical.scale)
    if isinstance(value, str) and (isinstance(of, Fixed) or of == Primitive("bytes")):
        return value.encode("latin-1")  # a default, which fastavro hands out as the schema's JSON has it
    if of == Primitive("float"):
        return struct.unpack("<f", struct.pack("<f", value))[0]  # an integer promoted to float
    return value


@dataclass
class Agreement:
    """Compares one row with one value: the union's branch is found by trying."""

    row: Mapping[str, Any]
    inside: list[Record] = field(default_factory=list)

    def value(self, of: Type, value: Any, path: str) -> bool:
        match of:
            case Union():
                return any(self._branch(of, branch, value, path) for branch in of.branches)
            case Record() if of in self.inside:
                return isinstance(value, dict)
            case Record():
                return self._record(of, value, path)
            case Array():
                return isinstance(value, list) and self._lists(plain_items(of.items, value, path))
            case Map():
                return isinstance(value, dict) and self._map(of, value, path)
            case _ if is_null(of):
                return value is None
            case _:
                return _fits(of, value) and _same(self.row[path], leaf(of, value))

    def _record(self, of: Record, value: Any, path: str) -> bool:
        if not isinstance(value, dict) or set(value) != {each.name for each in of.fields}:
            return False
        self.inside.append(of)
        agreed = all(self.value(each.type, value[each.name], joined(path, each.name)) for each in of.fields)
        self.inside.pop()
        return agreed

    def _map(self, of: Map, value: Mapping[str, Any], path: str) -> bool:
        keys = self.row[joined(path, "keys")]
        if keys is None or len(keys) != len(set(keys)):
            return keys is not None  # a dict has forgotten what came under a key before
        return keys == list(value) and self._lists(plain_items(of.values, list(value.values()), path))

    def _lists(self, expected: Mapping[str, list[Any]]) -> bool:
        found = [(self.row[name], items) for name, items in expected.items() if name in self.row]
        return all(row is not None and len(row) == len(items) and all(map(_same, row, items)) for row, items in found)

    def _branch(self, of: Union, branch: Type, value: Any, path: str) -> bool:
        inside = branch_path(of, branch, path)
        mine = {name for name in self.row if name == inside or name.startswith(f"{inside}.")}
        others = {name for name in self.row if name == path or name.startswith(f"{path}.")} - mine
        if is_null(branch):
            return value is None and all(self.row[name] is None for name in mine | others)
        return all(self.row[name] is None for name in others) and self.value(branch, value, inside)


def _fits(of: Type, value: Any) -> bool:
    """Whether the value is of the type's Python type: branches of a union are told apart by it."""
    checks: dict[str, Callable[[Any], bool]] = {
        "boolean": lambda v: isinstance(v, bool),
        "int": lambda v: type(v) is int,
        "long": lambda v: type(v) is int,
        "float": lambda v: type(v) in (int, float),
        "double": lambda v: type(v) in (int, float),
        "string": lambda v: isinstance(v, str),
        "bytes": lambda v: isinstance(v, bytes | str),
    }
    if isinstance(of, EnumType):
        return isinstance(value, str) and value in of.symbols
    if isinstance(of, Fixed):
        return isinstance(value, bytes) and len(value) == of.size
    return isinstance(of, Primitive) and checks[of.type](value)


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, Decimal):
        # Two roundings (of the integer, of the quotient) are within two units in the last place.
        return isinstance(found, float) and math.isclose(found, float(expected), rel_tol=5e-16, abs_tol=0.0)
    if isinstance(found, float) and isinstance(expected, float | int):
        return found == float(expected) or (math.isnan(found) and math.isnan(expected))
    return type(found) is type(expected) and bool(found == expected)
