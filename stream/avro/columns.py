"""The columns of a reader's schema: its leaves, under dotted names."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from stream.avro.schema import (
    Array,
    EnumType,
    Fixed,
    Map,
    Primitive,
    Record,
    Schema,
    Type,
    Union,
    is_null,
    logical_of,
    short_name,
    type_name,
)
from stream.errors import SchemaError
from stream.records import Column, Kind

_KINDS: Final = {
    "boolean": Kind.BOOLEAN,
    "int": Kind.LONG,
    "long": Kind.LONG,
    "float": Kind.DOUBLE,
    "double": Kind.DOUBLE,
    "bytes": Kind.BYTES,
    "string": Kind.STRING,
}
# A row of this many columns is 32 KB of cells; a schema beyond it is a mistake (or an attack by doubling references).
_MAX_VISITED: Final = 4096
MAX_NESTING: Final = 64  # records in records

TWO_CELLS: Final = frozenset({Kind.BYTES, Kind.STRING, Kind.LIST})


def columns_of(reader: Schema, wanted: Collection[str] | None = None) -> tuple[Column, ...]:
    """The columns that a reader's record schema decodes to, in the schema's order.

    Nested records have dotted names. A union of null and one type is that type's columns, nullable; a union of several
    types is a column for each (`field.int`, `field.Name.x`), of which at most one is present. Arrays and maps are LIST
    columns: of primitives, enums, fixed and of records of these (one column for each leaf); `field.keys` holds a
    map's keys. Other arrays and maps, and what a record repeats of itself, have no columns.

    Args:
        reader: a record schema.
        wanted: names of the columns to keep; None keeps all. Slots and indices are counted among the kept ones.

    Raises:
        SchemaError: the schema is no record, a wanted column does not exist, two columns share a name, or there are
            more than 4,096 fields.
    """
    if not isinstance(reader.type, Record):
        raise SchemaError(f"events are records; this schema is of type {type_name(reader.type)}")
    leaves = list(_Walk().leaves(reader.type, "", False))
    names = [leaf.name for leaf in leaves]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(f"two columns would be called {', '.join(twice)}; rename a field (with an alias)")
    if wanted is not None:
        _check_wanted(wanted, names)
        leaves = [leaf for leaf in leaves if leaf.name in wanted]
    return _placed(leaves)


def _check_wanted(wanted: Collection[str], names: list[str]) -> None:
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise SchemaError(f"the schema has no column {', '.join(unknown)}; it has {', '.join(names)}")


def _placed(leaves: list[Column]) -> tuple[Column, ...]:
    placed, slot = [], 0
    for index, leaf in enumerate(leaves):
        placed.append(replace(leaf, slot=slot, index=index))
        slot += 2 if leaf.kind in TWO_CELLS else 1
    return tuple(placed)


def joined(path: str, name: str) -> str:
    """The dotted name of a member."""
    return f"{path}.{name}" if path else name


def branch_path(union: Union, branch: Type, path: str) -> str:
    """The name under which the columns of a union's branch stand: the union's own if null is all there is beside."""
    others = [each for each in union.branches if not is_null(each)]
    if len(others) <= 1:
        return path
    name = type_name(branch)
    shorts = [short_name(type_name(each)) for each in others]
    return joined(path, short_name(name) if shorts.count(short_name(name)) == 1 else name)


def kind_of(of: Type) -> Kind | None:
    """The kind of a leaf; None for a type that is none."""
    if logical_of(of) == "decimal":
        return Kind.DOUBLE
    match of:
        case Primitive():
            return _KINDS.get(of.type)
        case Fixed():
            return Kind.BYTES
        case EnumType():
            return Kind.ENUM
        case _:
            return None


@dataclass(slots=True)
class _Walk:
    """Walks a schema down to its leaves; the records it is inside of stop a recursive one."""

    inside: list[Record] = field(default_factory=list)
    visited: int = 0

    def leaves(self, of: Type, path: str, nullable: bool) -> Iterator[Column]:
        self._count(path)
        match of:
            case Union():
                several = len(of.branches) > 1
                for branch in of.branches:
                    yield from self.leaves(branch, branch_path(of, branch, path), nullable or several)
            case Record() if of not in self.inside:
                self.inside.append(of)
                for each in of.fields:
                    yield from self.leaves(each.type, joined(path, each.name), nullable)
                self.inside.pop()
            case Array():
                yield from self._items(of.items, path, nullable)
            case Map():
                yield _list_column(Primitive("string"), Kind.STRING, joined(path, "keys"), nullable)
                yield from self._items(of.values, path, nullable)
            case _ if (kind := kind_of(of)) is not None:
                symbols = of.symbols if isinstance(of, EnumType) else ()
                yield Column(path, kind, 0, 0, nullable, logical_of(of), symbols)

    def _items(self, of: Type, path: str, nullable: bool) -> Iterator[Column]:
        self._count(path)
        kind = kind_of(of)
        if kind is not None:
            yield _list_column(of, kind, path, nullable)
        elif isinstance(of, Record) and of not in self.inside:
            self.inside.append(of)
            for each in of.fields:
                yield from self._items(each.type, joined(path, each.name), nullable)
            self.inside.pop()

    def _count(self, path: str) -> None:
        self.visited += 1
        if self.visited > _MAX_VISITED or len(self.inside) > MAX_NESTING:
            raise SchemaError(
                f"{path}: a schema of more than {_MAX_VISITED} fields, or {MAX_NESTING} records in each other"
            )


def _list_column(of: Type, kind: Kind, path: str, nullable: bool) -> Column:
    symbols = of.symbols if isinstance(of, EnumType) else ()
    return Column(path, Kind.LIST, 0, 0, nullable, logical_of(of), symbols, kind)
