"""What an expression can be, and what each operator takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from stream.records import Column, Kind


class Type(Enum):
    """The type of an expression; the value is how an error names it."""

    NUMBER = "a number"
    BOOLEAN = "a boolean"
    TIME = "a time"
    TEXT = "text"
    CATEGORY = "an enum"
    LIST = "a list"
    SPARSE = "a sparse feature"


# Avro's logical types that are points in time, and how many of the column's units make a millisecond (a date's unit is
# 86,400,000 ms).
TIME_UNITS_PER_MS: Mapping[str, float] = {
    "timestamp-millis": 1.0,
    "timestamp-micros": 1e3,
    "timestamp-nanos": 1e6,
    "local-timestamp-millis": 1.0,
    "local-timestamp-micros": 1e3,
    "local-timestamp-nanos": 1e6,
    "date": 1 / 86_400_000,
}

_KIND_TYPES = {
    Kind.BOOLEAN: Type.BOOLEAN,
    Kind.LONG: Type.NUMBER,
    Kind.DOUBLE: Type.NUMBER,
    Kind.ENUM: Type.CATEGORY,
    Kind.BYTES: Type.TEXT,
    Kind.STRING: Type.TEXT,
    Kind.LIST: Type.LIST,
}


def column_type(column: Column) -> Type:
    """The type of a column's values: a long with a logical type of time is a time."""
    if column.kind is Kind.LONG and column.logical in TIME_UNITS_PER_MS:
        return Type.TIME
    return _KIND_TYPES[column.kind]


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator takes, operand by operand, and gives. The last entry of `accepts` repeats."""

    accepts: tuple[frozenset[Type], ...]
    returns: Type | None  # None: what its last operand is


_NUMBER = frozenset({Type.NUMBER})
_BOOLEAN = frozenset({Type.BOOLEAN})
_TIME = frozenset({Type.TIME})
_TEXT = frozenset({Type.TEXT})
_LIST = frozenset({Type.LIST})
_SCALAR = frozenset({Type.NUMBER, Type.BOOLEAN, Type.TIME})
_HASHABLE = frozenset({Type.NUMBER, Type.BOOLEAN, Type.TEXT, Type.CATEGORY})
_ANY = frozenset(Type) - {Type.SPARSE}


def _numeric(count: int) -> Signature:
    return Signature((_NUMBER,) * count, Type.NUMBER)


SIGNATURES: Mapping[str, Signature] = {
    "add": _numeric(2),
    "subtract": Signature((_NUMBER | _TIME,) * 2, Type.NUMBER),
    "multiply": _numeric(2),
    "divide": _numeric(2),
    "remainder": _numeric(2),
    "power": _numeric(2),
    "negate": _numeric(1),
    "abs": _numeric(1),
    "log": _numeric(1),
    "log1p": _numeric(1),
    "exp": _numeric(1),
    "sqrt": _numeric(1),
    "clip": _numeric(1),
    "fill_null": Signature((_NUMBER | _BOOLEAN,), None),
    "fill_mean": _numeric(1),
    "is_null": Signature((_ANY,), Type.BOOLEAN),
    "less": Signature((_SCALAR,) * 2, Type.BOOLEAN),
    "less_equal": Signature((_SCALAR,) * 2, Type.BOOLEAN),
    "equal": Signature((_SCALAR,) * 2, Type.BOOLEAN),
    "is_in": Signature((_HASHABLE,), Type.BOOLEAN),
    "and": Signature((_BOOLEAN,) * 2, Type.BOOLEAN),
    "or": Signature((_BOOLEAN,) * 2, Type.BOOLEAN),
    "not": Signature((_BOOLEAN,), Type.BOOLEAN),
    "to_number": Signature((_BOOLEAN | _NUMBER,), Type.NUMBER),
    "to_boolean": Signature((_BOOLEAN | _NUMBER,), Type.BOOLEAN),
    "select": Signature((_BOOLEAN, _SCALAR, _SCALAR), None),
    "udf": Signature((_NUMBER | _BOOLEAN,), Type.NUMBER),
    "length": Signature((_TEXT | _LIST,), Type.NUMBER),
    "list_sum": Signature((_LIST,), Type.NUMBER),
    "list_mean": Signature((_LIST,), Type.NUMBER),
    "hash": Signature((_HASHABLE | _LIST,), Type.SPARSE),
    "one_hot": Signature((_HASHABLE,), Type.SPARSE),
    "bag_of_words": Signature((_TEXT,), Type.SPARSE),
    "char_ngrams": Signature((_TEXT,), Type.SPARSE),
    "target_mean": Signature((_HASHABLE,), Type.NUMBER),
    "calendar": Signature((_TIME,), Type.NUMBER),
    "is_weekend": Signature((_TIME,), Type.BOOLEAN),
    "since_last": Signature((_TIME,), Type.NUMBER),
    "distance_km": _numeric(2),
    "speed_kmh": _numeric(2),
    "ewm": Signature((_NUMBER | _BOOLEAN,), Type.NUMBER),
    "window": Signature((_NUMBER | _BOOLEAN,), Type.NUMBER),
    "window_count": Signature((_HASHABLE | _TIME,), Type.NUMBER),
    "window_nunique": Signature((_HASHABLE,), Type.NUMBER),
}
