"""From a pair of schemas to a program: the writer's bytes, read as the reader's columns.

What resolves to what is Avro 1.12's section "Schema Resolution". The program follows the writer's schema, since that is
how the bytes lie. Every field of the reader is checked whether its column is wanted or not, so that what is accepted
does not depend on what is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import numpy as np

from stream.avro import opcodes as op
from stream.avro.columns import MAX_NESTING, branch_path, joined
from stream.avro.defaults import Chosen, typed_default
from stream.avro.matching import branch_for, mismatch, writers_field
from stream.avro.program import Assembler, Mark, Place
from stream.avro.schema import (
    MISSING,
    Array,
    EnumType,
    Fixed,
    Logical,
    Map,
    Primitive,
    Record,
    Schema,
    Type,
    Union,
    is_null,
    type_name,
)
from stream.avro.sizes import least_bytes
from stream.errors import SchemaError
from stream.records import Column, Kind

_NUMBERS: Final = {
    ("int", "int"): op.INT,
    ("int", "long"): op.INT,
    ("int", "float"): op.INT_TO_FLOAT,
    ("int", "double"): op.INT_TO_DOUBLE,
    ("long", "long"): op.LONG,
    ("long", "float"): op.LONG_TO_FLOAT,
    ("long", "double"): op.LONG_TO_DOUBLE,
    ("float", "float"): op.FLOAT,
    ("float", "double"): op.FLOAT,
    ("double", "double"): op.DOUBLE,
    ("boolean", "boolean"): op.BOOLEAN,
    ("string", "string"): op.STRING,
    ("bytes", "string"): op.STRING,
    ("string", "bytes"): op.BYTES,
    ("bytes", "bytes"): op.BYTES,
}
_STRING: Final = Primitive("string")


class Into(Enum):
    """Where values go."""

    ROW = auto()
    ITEMS = auto()  # of a list column
    NOWHERE = auto()  # they are only checked


@dataclass(frozen=True, slots=True)
class Target:
    """The columns that programs write, by name; list columns are numbered in order."""

    columns: Mapping[str, Column]
    lists: Mapping[str, int]

    @classmethod
    def of(cls, columns: tuple[Column, ...]) -> "Target":
        """The target that these columns are."""
        lists = [column.name for column in columns if column.kind is Kind.LIST]
        return cls({column.name: column for column in columns}, {name: k for k, name in enumerate(lists)})

    def cell(self, path: str, into: Into) -> tuple[int, int]:
        """Slot and index of an instruction that stores the leaf of this name."""
        if into is Into.ITEMS and path in self.lists:
            return -2 - self.lists[path], op.NOWHERE
        column = self.columns.get(path)
        if into is Into.ROW and column is not None and column.kind is not Kind.LIST:
            return column.slot, column.index
        return op.NOWHERE, op.NOWHERE

    def lists_under(self, path: str) -> list[tuple[Column, int]]:
        """The list columns that an array or map of this name fills."""
        inside = f"{path}."
        return [(self.columns[name], k) for name, k in self.lists.items() if name == path or name.startswith(inside)]


def resolve(writer: Schema, reader: Schema, target: Target, defaults: bytearray, base: int) -> Assembler:
    """The program that reads what `writer` wrote as `reader`, to lie at `base`; its first instruction is its entry.

    Bytes of default strings are added to `defaults`.

    Raises:
        SchemaError: the schemas do not resolve; says where, and both types.
    """
    resolution = _Resolution(target, defaults, Assembler(base))
    try:
        resolution.pair(writer.type, reader.type, "", Into.ROW)
    except RecursionError:
        raise SchemaError("schema: the writer's types nest too deep") from None
    resolution.out.emit(op.END, Place("", "the end of the record"))
    return resolution.out


@dataclass(slots=True)
class _Resolution:
    target: Target
    defaults: bytearray
    out: Assembler
    inside: list[Record] = field(default_factory=list)  # the reader's records that are being written to columns
    subroutines: dict[tuple[int, int], int] = field(default_factory=dict)  # by identity of writer's and reader's record
    depth: int = 0

    def pair(self, writer: Type, reader: Type, path: str, into: Into) -> None:
        """Emit what reads one value of `writer` as `reader`."""
        if isinstance(writer, Union):
            self._writers_union(writer, reader, path, into)
            return
        if isinstance(reader, Union):
            branch = branch_for(writer, reader)
            if branch is None:
                raise SchemaError(_unresolved(path, writer, reader, "no branch of the reader's union matches"))
            path, reader, into = branch_path(reader, branch, path), branch, _inside_union(into)
        reason = mismatch(writer, reader)
        if reason:
            raise SchemaError(_unresolved(path, writer, reader, reason))
        match writer, reader:
            case Record(), Record():
                self._record_somewhere(writer, reader, path, into)
            case EnumType(), EnumType():
                self._enum(writer, reader, path, into)
            case Array(), Array():
                self._blocks(writer.items, reader.items, False, path, into)
            case Map(), Map():
                self._blocks(writer.values, reader.values, True, path, into)
            case _:
                self._leaf(writer, reader, path, into)

    def skip(self, writer: Type, path: str) -> None:
        """Emit what passes over a value that the reader does not have: checked for its form only."""
        match writer:
            case Record():
                self._call(writer, None, path)
            case Union():
                self._union(writer, None, path, Into.NOWHERE)
            case Array():
                self._blocks(writer.items, None, False, path, Into.NOWHERE)
            case Map():
                self._blocks(writer.values, None, True, path, Into.NOWHERE)
            case EnumType():
                table = [len(writer.symbols), *range(len(writer.symbols))]
                self.out.emit_with_table(op.ENUM, _enum_place(writer, writer, path), table)
            case Primitive("string"):
                self.out.emit(op.BYTES, Place(path, "string"))
            case _:
                self._leaf(writer, _plain(writer), path, Into.NOWHERE)

    def _leaf(self, writer: Type, reader: Type, path: str, into: Into) -> None:
        if is_null(writer):
            return
        slot, index = self.target.cell(path, into)
        place = Place(path, type_name(reader))
        logical = reader.logical if isinstance(reader, Primitive | Fixed) else None
        if logical is not None and logical.name == "decimal":
            size = writer.size if isinstance(writer, Fixed) else -1
            self.out.emit_with_table(op.DECIMAL, place, [size, float_bits(10.0**logical.scale)], slot, index)
        elif isinstance(writer, Fixed):
            self.out.emit(op.FIXED, place, slot, index, writer.size)
        elif isinstance(writer, Primitive) and isinstance(reader, Primitive):
            self.out.emit(_NUMBERS[writer.type, reader.type], place, slot, index)

    def _enum(self, writer: EnumType, reader: EnumType, path: str, into: Into) -> None:
        slot, index = self.target.cell(path, into)
        places = {symbol: i for i, symbol in enumerate(reader.symbols)}
        unknown = -1 if reader.default is None else places[reader.default]
        table = [len(writer.symbols), *(places.get(symbol, unknown) for symbol in writer.symbols)]
        self.out.emit_with_table(op.ENUM, _enum_place(writer, reader, path), table, slot, index)

    def _record_somewhere(self, writer: Record, reader: Record, path: str, into: Into) -> None:
        """In line where its columns are written; a subroutine where it is only checked (it may hold itself)."""
        if into is Into.NOWHERE or reader in self.inside:
            self._call(writer, reader, path)
            return
        if len(self.inside) >= MAX_NESTING:
            raise SchemaError(f"{path}: more than {MAX_NESTING} records in each other")
        self.inside.append(reader)
        self._record(writer, reader, path, into)
        self.inside.pop()

    def _record(self, writer: Record, reader: Record, path: str, into: Into) -> None:
        sources = {each.name: writers_field(writer, reader, each) for each in reader.fields}
        for written in writer.fields:
            readers = [each for each in reader.fields if sources[each.name] is written]
            if not readers:
                self.skip(written.type, joined(path, written.name))
            for each in readers[:1]:
                self.pair(written.type, each.type, joined(path, each.name), into)
        for each in reader.fields:
            if sources[each.name] is None:
                where = joined(path, each.name)
                if each.default is MISSING:
                    raise SchemaError(f"{where}: the writer's {writer.name} has no such field, and it has no default")
                self.default(each.type, typed_default(each.type, each.default, where), where, into)

    def _call(self, writer: Record, reader: Record | None, path: str) -> None:
        """Call the subroutine that checks one record; it is emitted where it is first called, and jumped over there."""
        key = (id(writer), id(reader))
        if key not in self.subroutines:
            self.depth += 1
            if self.depth > MAX_NESTING:
                raise SchemaError(f"{path}: more than {MAX_NESTING} records in each other")
            over = self.out.emit(op.JUMP, Place(path, ""))
            self.subroutines[key] = self.out.here
            if reader is None:
                for written in writer.fields:
                    self.skip(written.type, joined(path, written.name))
            else:
                self._record(writer, reader, path, Into.NOWHERE)
            self.out.emit(op.RETURN, Place(path, ""))
            self.out.aim(over)
            self.depth -= 1
        self.out.emit(
            op.CALL, Place(path, f"records nested at most {op.MAX_DEPTH} deep"), operand=self.subroutines[key]
        )

    def _blocks(self, written: Type, read: Type | None, keyed: bool, path: str, into: Into) -> None:
        """An array, or a map (`keyed`): its items into the list columns of this name."""
        lists = self.target.lists_under(path) if into is Into.ROW else []
        inner = Into.ITEMS if into is Into.ROW else Into.NOWHERE
        for column, k in lists:
            self.out.emit(op.LIST_BEGIN, Place(path, ""), column.slot, column.index, k)
        self.out.emit(op.BLOCKS_OPEN, Place(path, f"lists nested at most {op.MAX_DEPTH} deep"))
        least = least_bytes(written) + (1 if keyed else 0)
        again = self.out.emit(op.BLOCKS_NEXT, Place(path, "a block of items"), index=least)
        if keyed:
            slot, index = self.target.cell(joined(path, "keys"), inner)
            kind = op.STRING if read is not None else op.BYTES
            self.out.emit(kind, Place(joined(path, "keys"), "string"), slot, index)
        if read is None:
            self.skip(written, path)
        else:
            self.pair(written, read, path, _inside_item(read, inner))
        self.out.emit(op.JUMP, Place(path, ""), operand=again)
        self.out.aim(again)
        for column, k in lists:
            self.out.emit(op.LIST_END, Place(path, ""), column.slot, column.index, k)

    def _writers_union(self, writer: Union, reader: Type, path: str, into: Into) -> None:
        if not self._union(writer, reader, path, into):
            raise SchemaError(_unresolved(path, writer, reader, "no branch of the writer's union resolves"))

    def _union(self, writer: Union, reader: Type | None, path: str, into: Into) -> bool:
        """Read the branch's index and go there; whether any branch resolves."""
        nulls = [index for index, branch in enumerate(writer.branches) if is_null(branch)]
        place = Place(path, f"a branch of {type_name(writer)}")
        if len(writer.branches) == 2 and nulls:
            return self._nullable(writer, nulls[0], reader, path, into, place)
        table = self.out.emit_with_table(op.UNION, place, [len(writer.branches)] + [0] * len(writer.branches))
        jumps, resolved = [], False
        for index, branch in enumerate(writer.branches):
            self.out.tables[table + 1 + index] = self.out.here
            resolved |= self._branch(branch, reader, path, into)
            jumps.append(self.out.emit(op.JUMP, place))
        for jump in jumps:
            self.out.aim(jump)
        return resolved

    def _nullable(self, writer: Union, null: int, reader: Type | None, path: str, into: Into, place: Place) -> bool:
        choice = self.out.emit(op.NULLABLE, place, slot=null)
        resolved = self._branch(writer.branches[1 - null], reader, path, into)
        over = self.out.emit(op.JUMP, place)
        self.out.aim(choice)
        before = self.out.here
        resolved |= self._branch(writer.branches[null], reader, path, into)
        if self.out.here == before:  # null has no bytes and no column: nothing to jump over
            self.out.drop_last()
            self.out.aim(choice)
        else:
            self.out.aim(over)
        return resolved

    def _branch(self, branch: Type, reader: Type | None, path: str, into: Into) -> bool:
        if reader is None:
            self.skip(branch, path)
            return True
        mark, state = self.out.mark(), (len(self.inside), dict(self.subroutines), self.depth)
        try:
            self.pair(branch, reader, path, into)
        except SchemaError:
            self._back_to(mark, *state)
            self.out.emit(op.REJECT, Place(path, type_name(reader), type_name(branch)))
            return False
        return True

    def _back_to(self, mark: Mark, inside: int, subroutines: dict[tuple[int, int], int], depth: int) -> None:
        self.out.rewind(mark)
        del self.inside[inside:]
        self.subroutines = subroutines
        self.depth = depth

    def default(self, of: Type, value: object, path: str, into: Into) -> None:
        """Emit the constants that a default is."""
        match of, value:
            case Union(), Chosen(branch, inner):
                chosen = of.branches[branch]
                self.default(chosen, inner, branch_path(of, chosen, path), _inside_union(into))
            case Record(), dict() if of not in self.inside and into is not Into.NOWHERE:
                self.inside.append(of)
                for each in of.fields:
                    self.default(each.type, value[each.name], joined(path, each.name), into)
                self.inside.pop()
            case ((Array() | Map()), _) if into is Into.ROW:
                self._default_list(of, value, path)
            case _:
                self._default_leaf(of, value, path, into)

    def _default_list(self, of: Array | Map, value: object, path: str) -> None:
        lists = self.target.lists_under(path)
        item = of.items if isinstance(of, Array) else of.values
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for column, k in lists:
            self.out.emit(op.LIST_BEGIN, Place(path, ""), column.slot, column.index, k)
        for key in value if isinstance(value, dict) else ():
            self.default(_STRING, key, joined(path, "keys"), Into.ITEMS)
        for each in values:
            self.default(item, each, path, _inside_item(item, Into.ITEMS))
        for column, k in lists:
            self.out.emit(op.LIST_END, Place(path, ""), column.slot, column.index, k)

    def _default_leaf(self, of: Type, value: object, path: str, into: Into) -> None:
        slot, index = self.target.cell(path, into)
        if slot == op.NOWHERE or is_null(of):
            return
        place = Place(path, "")
        if isinstance(value, str | bytes) and not isinstance(of, EnumType):
            data = value.encode() if isinstance(value, str) else value
            logical = of.logical if isinstance(of, Primitive | Fixed) else None
            if logical is not None and logical.name == "decimal":
                cell = float_bits(decimal_double(data, logical))
                self.out.emit(op.CONSTANT, place, slot, index, cell)
                return
            self.out.emit_with_table(op.CONSTANT_BYTES, place, [len(self.defaults), len(data)], slot, index)
            self.defaults += data
            return
        self.out.emit(op.CONSTANT, place, slot, index, _cell(of, value))


def _inside_item(item: Type, into: Into) -> Into:
    """Items that are unions, arrays or maps have no column."""
    return Into.NOWHERE if isinstance(item, Union | Array | Map) else into


def _inside_union(into: Into) -> Into:
    """Nor has a union inside of an item."""
    return Into.NOWHERE if into is Into.ITEMS else into


def _cell(of: Type, value: object) -> int:
    """A default of one cell: boolean, int, long, float, double, enum."""
    if isinstance(of, EnumType):
        return of.symbols.index(str(value))
    if isinstance(value, float):
        return float_bits(float(np.float32(value)) if of == Primitive("float") else value)
    assert isinstance(value, int)
    return int(value)


def float_bits(value: float) -> int:
    """The cell that a double is."""
    return int(np.float64(value).view(np.int64))


def decimal_double(data: bytes, logical: Logical) -> float:
    """A decimal as the decoder has it: its integer rounded to a double, over the power of ten."""
    return float(int.from_bytes(data, "big", signed=True)) / 10.0**logical.scale


def _plain(of: Type) -> Type:
    """The type without its logical type: to pass over it is all that is wanted."""
    return Primitive(of.type) if isinstance(of, Primitive) else of


def _enum_place(writer: EnumType, reader: EnumType, path: str) -> Place:
    return Place(path, "one of " + ", ".join(reader.symbols), symbols=writer.symbols)


def _unresolved(path: str, writer: Type, reader: Type, reason: str) -> str:
    where = path or "schema"
    return f"{where}: writer's type {type_name(writer)}, reader's type {type_name(reader)}: {reason}"
