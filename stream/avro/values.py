"""Single values to Avro and back, in plain Python: JSON events, control records, and the kernels' twin in the tests."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from stream.avro.defaults import Chosen, typed_default
from stream.avro.logical_values import decimal_to_bytes, integer_from_iso
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
    short_name,
    type_name,
)
from stream.errors import StreamError

Write: TypeAlias = Callable[[Any, bytearray], None]
_BITS: Final = {"int": 31, "long": 63}
_FLOATS: Final = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
_SHOWN: Final = 60  # characters of a wrong value in a message


class InvalidValue(StreamError):
    """A value is not what the schema says. Correct the value, or let the schema allow it."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.path: list[str] = []  # grows outwards while the error rises
        self.expected = expected
        self.got = got

    @property
    def field(self) -> str:
        """The dotted name of the field."""
        return ".".join(reversed(self.path))

    def __str__(self) -> str:
        return f"{self.field or 'value'}: expected {self.expected}, got {self.got}"


def encode_one(schema: Schema, value: object) -> bytes:
    """One value in Avro's binary encoding, without a header.

    Beside Avro's own values (bytes, float, dict, ...) it takes what JSON has for them: text of code points below 256
    for bytes, ISO 8601 text for dates and times, numbers and text for decimals; a union's value with or without the
    wrapper `{"type": value}`. A field that is missing has its default, one that the schema does not know is ignored.

    Raises:
        InvalidValue: says the field, what was expected and what was there.
    """
    out = bytearray()
    ValueWriter().of(schema.type)(value, out)
    return bytes(out)


def write_long(value: int, out: bytearray) -> None:
    """Append a zigzag variable-length integer."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)


@dataclass(slots=True)
class ValueWriter:
    """Makes one function for each type, which appends a value to a buffer or raises InvalidValue."""

    _records: dict[int, Write] = field(default_factory=dict)  # by identity, so that a record can hold itself

    def of(self, of: Type) -> Write:
        """The function that writes values of this type."""
        match of:
            case Primitive():
                return _primitive(of)
            case Fixed():
                return _fixed(of)
            case EnumType():
                return _enum(of)
            case Array():
                return _array(self.of(of.items))
            case Map():
                return _map(self.of(of.values))
            case Union():
                return _union(of, [self.of(branch) for branch in of.branches])
            case Record():
                return self._record(of)

    def _record(self, of: Record) -> Write:
        if id(of) in self._records:
            return lambda value, out: self._records[id(of)](value, out)
        fields: list[tuple[str, Write, bytes | None]] = []  # filled below: a field may hold this record again

        def write(value: Any, out: bytearray) -> None:
            if not isinstance(value, Mapping):
                raise InvalidValue(f"an object with the fields of {of.name}", shown(value))
            for name, write_field, default in fields:
                try:
                    if name in value:
                        write_field(value[name], out)
                    elif default is not None:
                        out += default
                    else:
                        raise InvalidValue("a value (the field has no default)", "nothing")
                except InvalidValue as error:
                    error.path.append(name)
                    raise

        self._records[id(of)] = write
        fields += [(each.name, self.of(each.type), None) for each in of.fields]
        for index, each in enumerate(of.fields):
            if each.default is not MISSING:
                out = bytearray()
                fields[index][1](typed_default(each.type, each.default, each.name), out)
                fields[index] = (each.name, fields[index][1], bytes(out))
        return write


def shown(value: object) -> str:
    """A wrong value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _primitive(of: Primitive) -> Write:
    match of.type:
        case "null":
            return _write_null
        case "boolean":
            return _write_boolean
        case "int" | "long":
            return _integer(of.type, of.logical)
        case "float" | "double":
            return _floating(of.type)
        case "bytes":
            return _prefixed(_bytes(of))
        case _:
            return _write_string


def _write_null(value: object, out: bytearray) -> None:
    if value is not None:
        raise InvalidValue("null", shown(value))


def _write_boolean(value: object, out: bytearray) -> None:
    if not isinstance(value, bool):
        raise InvalidValue("boolean", shown(value))
    out.append(value)


def _write_string(value: object, out: bytearray) -> None:
    if not isinstance(value, str):
        raise InvalidValue("string", shown(value))
    try:
        text = value.encode()
    except UnicodeEncodeError:
        raise InvalidValue("text that has UTF-8", shown(value)) from None
    write_long(len(text), out)
    out += text


def _integer(name: str, logical: Logical | None) -> Write:
    limit = 1 << _BITS[name]
    expected = f"{name} ({logical.name}: a number or ISO 8601 text)" if logical else name

    def write(value: object, out: bytearray) -> None:
        if logical is not None and isinstance(value, str):
            try:
                value = integer_from_iso(value, logical.name)
            except ValueError:
                raise InvalidValue(expected, shown(value)) from None
        if type(value) is not int or not -limit <= value < limit:
            raise InvalidValue(expected, shown(value))
        write_long(value, out)

    return write


def _floating(name: str) -> Write:
    pack = _FLOATS[name].pack

    def write(value: Any, out: bytearray) -> None:
        if value in ("NaN", "Infinity", "-Infinity"):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue(name, shown(value))
        try:
            out += pack(value)
        except (OverflowError, struct.error):
            raise InvalidValue(name, shown(value)) from None

    return write


def _bytes(of: Primitive | Fixed) -> Callable[[object], bytes]:
    """What turns a value into the bytes of a bytes or fixed type."""
    size = of.size if isinstance(of, Fixed) else None
    decimal = of.logical if of.logical and of.logical.name == "decimal" else None
    expected = f"decimal({decimal.precision}, {decimal.scale})" if decimal else f"{size or ''} bytes".strip()

    def convert(value: object) -> bytes:
        try:
            if isinstance(value, bytes | bytearray | memoryview):
                data = bytes(value)
            elif decimal is not None and not isinstance(value, bool):
                data = decimal_to_bytes(value, decimal, size)
            elif isinstance(value, str):
                data = value.encode("latin-1")
            else:
                raise InvalidValue(expected, shown(value))
        except (ValueError, OverflowError):
            raise InvalidValue(expected, shown(value)) from None
        if size is not None and len(data) != size:
            raise InvalidValue(expected, f"{len(data)} bytes")
        return data

    return convert


def _prefixed(convert: Callable[[object], bytes]) -> Write:
    def write(value: object, out: bytearray) -> None:
        data = convert(value)
        write_long(len(data), out)
        out += data

    return write


def _fixed(of: Fixed) -> Write:
    convert = _bytes(of)

    def write(value: object, out: bytearray) -> None:
        out += convert(value)

    return write


def _enum(of: EnumType) -> Write:
    places = {symbol: index for index, symbol in enumerate(of.symbols)}
    default = None if of.default is None else places[of.default]

    def write(value: object, out: bytearray) -> None:
        index = places.get(value, default) if isinstance(value, str) else None
        if index is None:
            raise InvalidValue("one of " + ", ".join(of.symbols), shown(value))
        write_long(index, out)

    return write


def _array(write_item: Write) -> Write:
    def write(value: object, out: bytearray) -> None:
        if not isinstance(value, list | tuple):
            raise InvalidValue("a list", shown(value))
        if value:
            write_long(len(value), out)
            for item in value:
                write_item(item, out)
        out.append(0)

    return write


def _map(write_value: Write) -> Write:
    def write(value: object, out: bytearray) -> None:
        if not isinstance(value, Mapping):
            raise InvalidValue("an object (a map)", shown(value))
        if value:
            write_long(len(value), out)
            for key, item in value.items():
                _write_string(key, out)
                write_value(item, out)
        out.append(0)

    return write


def _union(of: Union, writes: list[Write]) -> Write:
    """A value chooses its branch: by a wrapper, by being of its very type, or by being what it accepts."""
    null = next((index for index, branch in enumerate(of.branches) if is_null(branch)), None)
    names = [{type_name(branch), short_name(type_name(branch))} for branch in of.branches]

    def write(value: Any, out: bytearray) -> None:
        if value is None and null is not None:
            write_long(null, out)
            return
        if isinstance(value, Chosen):
            write_long(value.branch, out)
            writes[value.branch](value.value, out)
            return
        start = len(out)
        error: InvalidValue | None = None
        for index, inner in _candidates(of, names, value):
            try:
                write_long(index, out)
                writes[index](inner, out)
                return
            except InvalidValue as wrong:
                del out[start:]
                error = wrong
        others = len(of.branches) - (null is not None)
        if error is not None and others == 1:
            raise error
        raise InvalidValue(f"a {type_name(of)}", shown(value))

    return write


def _candidates(of: Union, names: list[set[str]], value: Any) -> list[tuple[int, Any]]:
    wrapped: list[tuple[int, Any]] = []
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, inner),) = value.items()
        wrapped = [(index, inner) for index in range(len(names)) if name in names[index]]
    own = [index for index, branch in enumerate(of.branches) if _is_own_type(branch, value)]
    rest = [index for index, branch in enumerate(of.branches) if index not in own and not is_null(branch)]
    return wrapped + [(index, value) for index in (*own, *rest)]


def _is_own_type(branch: Type, value: object) -> bool:
    match value:
        case bool():
            return branch == Primitive("boolean")
        case int():
            return isinstance(branch, Primitive) and branch.type in ("int", "long")
        case float():
            return isinstance(branch, Primitive) and branch.type in ("float", "double")
        case str():
            known = isinstance(branch, EnumType) and value in branch.symbols
            return known or (isinstance(branch, Primitive) and branch.type == "string")
        case _:
            return False
