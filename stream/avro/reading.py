"""Single values from Avro, in plain Python."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stream.avro.defaults import Chosen
from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Schema, Type, Union, type_name
from stream.avro.values import InvalidValue

_FLOATS: Final = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
# As in the kernels: see stream.avro.opcodes.
_MAX_EMPTY_ITEMS: Final = 65536
_MAX_DEPTH: Final = 128


def decode_one(schema: Schema, data: bytes) -> object:
    """One value from Avro's binary encoding (without a header), read as the schema that wrote it.

    Logical types stay their integers and bytes; a union's value stands without a wrapper.

    Raises:
        InvalidValue: the bytes are not such a value, or more are left behind it.
    """
    return _unwrapped(read_value(schema, data))


def read_value(schema: Schema, data: bytes) -> object:
    """As `decode_one`, with each union's value as `Chosen`."""
    reader = _Reader(data)
    value = reader.read(schema.type, 0)
    if reader.position != len(data):
        raise InvalidValue("the end of the value", f"{len(data) - reader.position} more bytes")
    return value


def _unwrapped(value: object) -> object:
    match value:
        case Chosen():
            return _unwrapped(value.value)
        case dict():
            return {key: _unwrapped(item) for key, item in value.items()}
        case list():
            return [_unwrapped(item) for item in value]
        case _:
            return value


@dataclass(slots=True)
class _Reader:
    data: bytes
    position: int = 0
    empty_items: int = 0

    def read(self, of: Type, depth: int) -> object:
        if depth > _MAX_DEPTH:
            raise InvalidValue(f"types nested at most {_MAX_DEPTH} deep", "more")
        match of:
            case Primitive():
                return self._primitive(of.type)
            case Fixed():
                return self._take(of.size)
            case EnumType():
                return of.symbols[self._index(len(of.symbols), of)]
            case Array():
                return [self.read(of.items, depth + 1) for _ in self._items()]
            case Map():
                return {self._string(): self.read(of.values, depth + 1) for _ in self._items()}
            case Union():
                index = self._index(len(of.branches), of)
                return Chosen(index, self.read(of.branches[index], depth + 1))
            case Record():
                return {each.name: self._field(each.name, each.type, depth + 1) for each in of.fields}

    def _field(self, name: str, of: Type, depth: int) -> object:
        try:
            return self.read(of, depth)
        except InvalidValue as error:
            error.path.append(name)
            raise

    def _primitive(self, of: str) -> object:
        match of:
            case "null":
                return None
            case "boolean":
                byte = self._take(1)[0]
                if byte > 1:
                    raise InvalidValue("boolean", f"a byte {byte:02X}")
                return bool(byte)
            case "int" | "long":
                value = self._long()
                if of == "int" and not -(1 << 31) <= value < 1 << 31:
                    raise InvalidValue("int", f"{value}, which is no 32-bit integer")
                return value
            case "float" | "double":
                return _FLOATS[of].unpack(self._take(_FLOATS[of].size))[0]
            case "bytes":
                return self._take(self._long())
            case _:
                return self._string()

    def _string(self) -> str:
        try:
            return self._take(self._long()).decode()
        except UnicodeDecodeError as error:
            raise InvalidValue("string", f"text that is not UTF-8 from byte {error.start} on") from None

    def _items(self) -> Iterator[None]:
        """Once for each item of an array or map, block by block."""
        while (count := self._long()) != 0:
            if count < 0:
                count = -count
                if self._long() < 0:
                    raise InvalidValue("the size of a block", "a negative one")
            for _ in range(count):
                before = self.position
                yield
                self.empty_items += self.position == before
                if self.empty_items > _MAX_EMPTY_ITEMS:
                    raise InvalidValue(f"at most {_MAX_EMPTY_ITEMS} items without any bytes", "more")

    def _index(self, count: int, of: Type) -> int:
        index = self._long()
        if not 0 <= index < count:
            raise InvalidValue(type_name(of), f"index {index} of {count}")
        return index

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise InvalidValue("a length", str(size))
        behind = self.position + size
        if behind > len(self.data):
            raise InvalidValue(f"{size} bytes", f"{len(self.data) - self.position}")
        taken = self.data[self.position : behind]
        self.position = behind
        return taken

    def _long(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> 64:
                    break
                return (value >> 1) ^ -(value & 1)
        raise InvalidValue("long", "an integer of more than 64 bits")
