"""Bytes of any record as a value for people: Avro of the registry, Avro of known schemas, JSON, text, or hex."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from stream.avro import Framing, InvalidValue, Schema, decode_one, header, parse_schema
from stream.avro.schema import Array, Logical, Map, Primitive, Record, Type, Union, is_null
from stream.avro.schema import Fixed as FixedType
from stream.errors import SchemaError

_CONFLUENT_HEADER: Final = 5
_SINGLE_OBJECT_HEADER: Final = 10
_MICROSECONDS: Final = {"millis": 1000, "micros": 1}
_HEX_SHOWN: Final = 64

FetchText = Callable[[int], str | None]


class Read(NamedTuple):
    """A value and what it was."""

    value: Any  # what JSON can hold
    format: str  # "avro", "json", "text", "hex" or "null"


@dataclass(slots=True)
class ValueReader:
    """Reads values of any format.

    Args:
        fetch: the text of a schema by its id in the registry, None where it has none.
        known: schemas of single-object encoding.
    """

    fetch: FetchText
    known: Iterable[Schema] = ()
    _by_id: dict[int, Schema | None] = field(default_factory=dict)
    _by_header: dict[bytes, Schema] | None = None

    def read(self, data: bytes | None) -> Read:
        """Read one value, as far as that goes; raises RetriableError where the registry does not answer."""
        if data is None:
            return Read(None, "null")
        schema, body = self._writer(data)
        if schema is not None:
            try:
                return Read(plain(schema.type, decode_one(schema, body)), "avro")
            except InvalidValue:
                pass
        return _without_schema(data)

    def _writer(self, data: bytes) -> tuple[Schema | None, bytes]:
        if data[:1] == b"\0" and len(data) >= _CONFLUENT_HEADER:
            return self._fetched(int.from_bytes(data[1:_CONFLUENT_HEADER], "big")), data[_CONFLUENT_HEADER:]
        if data[:2] == b"\xc3\x01" and len(data) >= _SINGLE_OBJECT_HEADER:
            if self._by_header is None:
                self._by_header = {header(Framing.SINGLE_OBJECT, each.fingerprint): each for each in self.known}
            return self._by_header.get(data[:_SINGLE_OBJECT_HEADER]), data[_SINGLE_OBJECT_HEADER:]
        return None, data

    def _fetched(self, schema_id: int) -> Schema | None:
        if schema_id not in self._by_id:
            try:
                text = self.fetch(schema_id)
                self._by_id[schema_id] = parse_schema(text) if text is not None else None
            except SchemaError:
                self._by_id[schema_id] = None
        return self._by_id[schema_id]


def plain(of: Type, value: Any) -> Any:
    """A decoded value as JSON can hold it: times as ISO 8601, decimals as text, bytes as text or hex."""
    match of, value:
        case _, None:
            return None
        case Union(), _:
            branches = [branch for branch in of.branches if not is_null(branch)]
            return plain(branches[0], value) if len(branches) == 1 else _guessed(value)
        case Record(), dict():
            return {each.name: plain(each.type, value[each.name]) for each in of.fields}
        case Array(), list():
            return [plain(of.items, item) for item in value]
        case Map(), dict():
            return {key: plain(of.values, item) for key, item in value.items()}
        case ((Primitive() | FixedType()), _):
            return _logical(of.logical, value) if of.logical else _guessed(value)
        case _:
            return value


def _logical(of: Logical, value: Any) -> Any:
    if isinstance(value, bytes):
        unscaled = Decimal(int.from_bytes(value, "big", signed=True))
        return str(unscaled.scaleb(-of.scale)) if of.precision else _guessed(value)
    unit = of.name.rpartition("-")[2]
    try:
        if of.name == "date":
            return str(date(1970, 1, 1) + timedelta(days=value))
        if "timestamp" in of.name and unit in _MICROSECONDS:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value * _MICROSECONDS[unit])
            is_local = of.name.startswith("local-")
            return moment.replace(tzinfo=None).isoformat() if is_local else moment.isoformat().replace("+00:00", "Z")
    except OverflowError:
        pass
    return value


def _guessed(value: Any) -> Any:
    if isinstance(value, bytes):
        return _text(value) if _text(value) is not None else value.hex()
    if isinstance(value, dict):
        return {key: _guessed(item) for key, item in value.items()}
    return [_guessed(item) for item in value] if isinstance(value, list) else value


def _without_schema(data: bytes) -> Read:
    if data[:1] in (b"{", b"["):
        try:
            return Read(orjson.loads(data), "json")
        except orjson.JSONDecodeError:
            pass
    text = _text(data)
    if text is not None:
        return Read(text, "text")
    more = f"… ({len(data)} bytes)" if len(data) > _HEX_SHOWN else ""
    return Read(data[:_HEX_SHOWN].hex() + more, "hex")


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter in "\r\n\t" for letter in text) else None
