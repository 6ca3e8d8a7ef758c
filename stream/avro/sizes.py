"""The least number of bytes that a value of a type takes: what bounds the count of a list's items."""

from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Type, Union

_PRIMITIVES = {"null": 0, "float": 4, "double": 8}  # the others: one byte


def least_bytes(of: Type) -> int:
    """A lower bound; 0 only for types whose values take no bytes (null, empty records)."""
    return _least(of, {})


def _least(of: Type, known: dict[int, int]) -> int:
    match of:
        case Primitive():
            return _PRIMITIVES.get(of.type, 1)
        case Fixed():
            return of.size
        case Union():
            return 1 + min(_least(branch, known) for branch in of.branches)
        case Record():
            if id(of) not in known:
                known[id(of)] = 0  # met again below: a record in itself with no union or list between has no value
                known[id(of)] = sum(_least(each.type, known) for each in of.fields)
            return known[id(of)]
        case Array() | Map() | EnumType():
            return 1
