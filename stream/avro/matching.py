"""Which writer's type may be read as which reader's type (Avro 1.12, "Schema Resolution")."""

from typing import Final

from stream.avro.schema import (
    Array,
    Field,
    Fixed,
    Logical,
    Map,
    Named,
    Primitive,
    Record,
    Type,
    Union,
    logical_of,
    short_name,
    type_name,
)

PROMOTIONS: Final = frozenset(
    {
        ("int", "long"),
        ("int", "float"),
        ("int", "double"),
        ("long", "float"),
        ("long", "double"),
        ("float", "double"),
        ("string", "bytes"),
        ("bytes", "string"),
    }
)


def mismatch(writer: Type, reader: Type) -> str:
    """Why the two, neither a union, do not match, in words; empty where they do.

    Members of records, arrays and maps are not looked at: they are resolved one by one.
    """
    if isinstance(writer, Primitive) and isinstance(reader, Primitive):
        if writer.type != reader.type and (writer.type, reader.type) not in PROMOTIONS:
            return f"{writer.type} is not promoted to {reader.type}"
    elif type(writer) is not type(reader):
        return f"{type_name(writer)} does not resolve to {type_name(reader)}"
    elif isinstance(writer, Named) and isinstance(reader, Named):
        if not same_name(writer, reader):
            return f"{writer.name} is not called {reader.name}; an alias in the reader's schema would match them"
        if isinstance(writer, Fixed) and isinstance(reader, Fixed) and writer.size != reader.size:
            return f"{writer.name} has {writer.size} bytes, the reader's {reader.size}"
    return _logical_mismatch(writer, reader)


def same_name(writer: Named, reader: Named) -> bool:
    """Whether names match: unqualified, or one of the reader's aliases."""
    return short_name(writer.name) == short_name(reader.name) or writer.name in reader.aliases


def branch_for(writer: Type, reader: Union) -> Type | None:
    """The branch of a reader's union that a writer's type is read as: its own type if it is there, else the first that
    matches."""
    for is_branch in (_is_same, _matches):
        for branch in reader.branches:
            if is_branch(writer, branch):
                return branch
    return None


def writers_field(writer: Record, reader: Record, wanted: Field) -> Field | None:
    """The writer's field that a reader's field is read from: of its name, else of one of its aliases that is not the
    name of another of the reader's fields."""
    taken = {each.name for each in reader.fields}
    for name in (wanted.name, *(alias for alias in wanted.aliases if alias not in taken)):
        for each in writer.fields:
            if each.name == name:
                return each
    return None


def _is_same(writer: Type, reader: Type) -> bool:
    if isinstance(writer, Primitive) and isinstance(reader, Primitive):
        return writer.type == reader.type and not _logical_mismatch(writer, reader)
    if isinstance(writer, Named) and isinstance(reader, Named):
        return writer.name == reader.name and not mismatch(writer, reader)
    if isinstance(writer, Array) and isinstance(reader, Array):
        return _is_same(writer.items, reader.items)
    if isinstance(writer, Map) and isinstance(reader, Map):
        return _is_same(writer.values, reader.values)
    if isinstance(writer, Union) and isinstance(reader, Union):
        return len(writer.branches) == len(reader.branches) and all(
            _is_same(each, other) for each, other in zip(writer.branches, reader.branches, strict=True)
        )
    return False


def _matches(writer: Type, reader: Type) -> bool:
    if isinstance(writer, Union):
        return any(_matches(branch, reader) for branch in writer.branches)
    if isinstance(reader, Union):
        return any(_matches(writer, branch) for branch in reader.branches)
    if isinstance(writer, Array) and isinstance(reader, Array):
        return _matches(writer.items, reader.items)
    if isinstance(writer, Map) and isinstance(reader, Map):
        return _matches(writer.values, reader.values)
    return not mismatch(writer, reader)


def _logical_mismatch(writer: Type, reader: Type) -> str:
    """Decimals match if precision and scale do; milliseconds are not microseconds. One that only one side declares is
    no obstacle: the reader's holds."""
    wrote, reads = logical_of(writer), logical_of(reader)
    if wrote is None or reads is None or _logical(writer) == _logical(reader):
        return ""
    if wrote == reads:
        return f"{_logical(writer)} and {_logical(reader)}: precision and scale must be the same"
    return f"{wrote} does not resolve to {reads}"


def _logical(of: Type) -> Logical | None:
    return of.logical if isinstance(of, Primitive | Fixed) else None
