"""Avro schemas as parsed values (Apache Avro 1.12 specification, section "Schema Declaration")."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Missing:
    """The absence of a default: null is a default of its own."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Logical:
    """A logical type that is valid on the type that carries it; others are ignored, as the specification says."""

    name: str
    precision: int = 0  # digits, of a decimal
    scale: int = 0  # digits behind the point, of a decimal


@dataclass(frozen=True, slots=True)
class Primitive:
    """One of the eight primitive types."""

    type: str
    logical: Logical | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """`size` bytes under a name."""

    name: str  # the full name: namespace and name, as everywhere here
    aliases: tuple[str, ...]
    size: int
    logical: Logical | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EnumType:
    """One of several symbols."""

    name: str
    aliases: tuple[str, ...]
    symbols: tuple[str, ...]
    default: str | None = None  # what a writer's symbol becomes that the reader does not know


@dataclass(frozen=True, slots=True)
class Array:
    """Items of one type."""

    items: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """Values of one type under string keys."""

    values: "Type"


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types."""

    branches: tuple["Type", ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record."""

    name: str
    type: "Type"
    aliases: tuple[str, ...] = ()
    default: object = MISSING  # as the schema's JSON has it


@dataclass(slots=True, eq=False)
class Record:
    """Fields in order. The parser fills `fields` once, after its name is known, so that a record can hold itself."""

    name: str
    aliases: tuple[str, ...]
    fields: tuple[Field, ...] = field(default=(), repr=False)


Named: TypeAlias = Fixed | EnumType | Record
Type: TypeAlias = Primitive | Array | Map | Union | Fixed | EnumType | Record


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A parsed schema."""

    type: Type
    names: Mapping[str, Named]  # by full name: every type it defines or refers to
    text: str  # JSON as it was given
    canonical: str  # the parsing canonical form
    fingerprint: int  # CRC-64-AVRO of the canonical form, as a signed 64-bit integer


def short_name(full_name: str) -> str:
    """The name without its namespace."""
    return full_name.rpartition(".")[2]


def type_name(of: Type) -> str:
    """What messages and JSON's union wrappers call a type: `long`, `array`, or the full name of a named type."""
    match of:
        case Primitive():
            return of.type
        case Array():
            return "array"
        case Map():
            return "map"
        case Union():
            return "union of " + ", ".join(type_name(branch) for branch in of.branches)
        case _:
            return of.name


def is_null(of: Type) -> bool:
    """Whether this is the type null."""
    return isinstance(of, Primitive) and of.type == "null"


def logical_of(of: Type) -> str | None:
    """The name of its logical type."""
    return of.logical.name if isinstance(of, Primitive | Fixed) and of.logical else None
