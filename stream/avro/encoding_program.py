"""From a schema to the program that encodes its columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from stream.avro import encoding_opcodes as op
from stream.avro.columns import branch_path, joined, kind_of
from stream.avro.framing import Framing, header
from stream.avro.program import Assembler, Place
from stream.avro.resolution import float_bits
from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Schema, Type, Union, is_null, type_name
from stream.errors import SchemaError
from stream.records import Column, Kind

_OPERATIONS: Final = {
    "boolean": op.BOOLEAN,
    "int": op.INT,
    "long": op.LONG,
    "float": op.FLOAT,
    "double": op.DOUBLE,
    "bytes": op.STRING,
    "string": op.STRING,
}
# A decimal is rounded from a float64 through an integer of 64 bits.
_MAX_UNSCALED: Final = 2.0**63


@dataclass(frozen=True, slots=True)
class EncodingProgram:
    """What the kernel interprets."""

    words: list[int]
    places: dict[int, Place]
    groups: list[list[Column]]  # list columns that one array or map fills: they have as many items in every row


def encoding_program(schema: Schema, columns: Sequence[Column], framing: Framing, schema_id: int) -> EncodingProgram:
    """The program that writes a header and the schema's fields, each from its column.

    Raises:
        SchemaError: part of the schema has no column (see `columns_of`).
    """
    encoding = _Encoding({column.name: column for column in columns}, Assembler(0))
    encoding.raw(header(framing, schema_id))
    encoding.value(schema.type, "")
    encoding.out.emit(op.END, Place("", ""))
    return EncodingProgram(encoding.out.words(), encoding.out.places, encoding.groups)


@dataclass(slots=True)
class _Encoding:
    columns: dict[str, Column]
    out: Assembler
    groups: list[list[Column]] = field(default_factory=list)
    inside: list[Record] = field(default_factory=list)

    def raw(self, data: bytes) -> None:
        """Bytes that stand before every row."""
        for start in range(0, len(data), 8):
            word = data[start : start + 8]
            as_cell = int.from_bytes(word.ljust(8, b"\0"), "little", signed=True)
            self.out.emit(op.RAW, Place("", ""), slot=len(word), operand=as_cell)

    def value(self, of: Type, path: str) -> None:
        match of:
            case Record() if of in self.inside:
                raise SchemaError(f"{path}: {of.name} holds itself, and cannot be encoded from columns")
            case Record():
                self.inside.append(of)
                for each in of.fields:
                    self.value(each.type, joined(path, each.name))
                self.inside.pop()
            case Union():
                self._union(of, path)
            case Array():
                self._items(of.items, False, path)
            case Map():
                self._items(of.values, True, path)
            case _:
                column = self._column(of, path)
                if column is not None:
                    self._leaf(of, path, column.slot, column.index)

    def _column(self, of: Type, path: str) -> Column | None:
        if is_null(of):
            return None
        if path not in self.columns:
            raise SchemaError(f"{path}: {type_name(of)} has no column here, so that it cannot be encoded from columns")
        return self.columns[path]

    def _leaf(self, of: Type, path: str, slot: int, index: int) -> None:
        place = Place(path, type_name(of))
        logical = of.logical if isinstance(of, Primitive | Fixed) else None
        if logical is not None and logical.name == "decimal":
            size = of.size if isinstance(of, Fixed) else -1
            too_large = min(float(10**logical.precision), _MAX_UNSCALED)
            table = [size, float_bits(10.0**logical.scale), float_bits(too_large)]
            self.out.emit_with_table(op.DECIMAL, place, table, slot, index)
        elif isinstance(of, Fixed):
            self.out.emit(op.FIXED, place, slot, index, of.size)
        elif isinstance(of, EnumType):
            self.out.emit(op.ENUM, place, slot, index, len(of.symbols))
        elif isinstance(of, Primitive):
            self.out.emit(_OPERATIONS[of.type], place, slot, index)

    def _union(self, of: Union, path: str) -> None:
        """The first branch of which a column is present; null where none is."""
        null = next((index for index, branch in enumerate(of.branches) if is_null(branch)), None)
        if null is None and len(of.branches) == 1:
            self.out.emit(op.INDEX, Place(path, ""), operand=0)
            self.value(of.branches[0], path)
            return
        jumps = []
        for index, branch in enumerate(of.branches):
            if is_null(branch):
                continue
            where = branch_path(of, branch, path)
            first, behind = self._columns_under(branch, where)
            test = self.out.emit(op.IF_PRESENT, Place(path, ""), slot=first, index=behind)
            self.out.emit(op.INDEX, Place(path, ""), operand=index)
            self.value(branch, where)
            jumps.append(self.out.emit(op.JUMP, Place(path, "")))
            self.out.aim(test)
        if null is None:
            self.out.emit(op.FAIL, Place(path, type_name(of)))
        else:
            self.out.emit(op.INDEX, Place(path, ""), operand=null)
        for jump in jumps:
            self.out.aim(jump)

    def _columns_under(self, branch: Type, path: str) -> tuple[int, int]:
        """First and past-the-last index of the columns of a branch; they lie together, in the schema's order."""
        inside = f"{path}."
        exact = not isinstance(branch, Record | Array | Map)
        indices = [
            column.index
            for name, column in self.columns.items()
            if name == path or (not exact and name.startswith(inside))
        ]
        return (min(indices), max(indices) + 1) if indices else (0, 0)

    def _items(self, of: Type, keyed: bool, path: str) -> None:
        lists = [column for column in self.columns.values() if column.kind is Kind.LIST]
        numbers = {column.name: k for k, column in enumerate(lists)}
        inside = f"{path}."
        mine = [column for column in lists if column.name == path or column.name.startswith(inside)]
        if not mine:
            raise SchemaError(f"{path}: items of type {type_name(of)} have no columns, and cannot be encoded from them")
        self.groups.append(mine)
        begin = self.out.emit(op.ITEMS, Place(path, "a list"), mine[0].slot, mine[0].index)
        again = self.out.here
        if keyed:
            self.out.emit(op.STRING, Place(joined(path, "keys"), "string"), 0, -2 - numbers[joined(path, "keys")])
        self._item(of, path, numbers)
        self.out.emit(op.NEXT_ITEM, Place(path, ""), operand=again)
        self.out.aim(begin)

    def _item(self, of: Type, path: str, numbers: dict[str, int]) -> None:
        if isinstance(of, Record) and of not in self.inside:
            self.inside.append(of)
            for each in of.fields:
                self._item(each.type, joined(path, each.name), numbers)
            self.inside.pop()
        elif kind_of(of) is not None:
            self._leaf(of, path, 0, -2 - numbers[path])
        elif not is_null(of):
            raise SchemaError(
                f"{path}: {type_name(of)} inside a list has no column, and cannot be encoded from columns"
            )
