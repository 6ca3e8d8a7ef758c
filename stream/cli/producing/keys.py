"""Keys of records: a text made of fields, or Avro by a schema of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.app.suggest import one_of
from stream.avro import Schema, encode_one, parse_schema
from stream.avro.canonical import canonical_form
from stream.avro.schema import Array, Field, Map, Primitive, Record, Type, Union, is_null
from stream.errors import ConfigError

ENCODINGS = ("utf8", "avro")


@dataclass(frozen=True, slots=True)
class KeyWriter:
    """Makes the key of a record.

    Args:
        fields: of the value, dotted in nested records; none for a null key.
        schema: of an Avro key; None where the key is the fields' text, joined by "|".
        header: what stands before an Avro key.
        integer_bytes: of an integer that is the key alone, big end first; its digits where 0.
    """

    fields: tuple[str, ...]
    schema: Schema | None = None
    header: bytes = b""
    integer_bytes: int = 0

    def write(self, value: Mapping[str, Any]) -> bytes | None:
        """The key; None where there is none, or a field of it is null. Raises InvalidValue."""
        found = [_found(value, name) for name in self.fields]
        if self.integer_bytes and len(found) == 1 and isinstance(found[0], int):
            return found[0].to_bytes(self.integer_bytes, "big", signed=True)
        if self.schema is None or not found or None in found:
            return key_bytes(found)
        whole = found[0] if len(found) == 1 else dict(zip(_names(self.fields), found, strict=True))
        return self.header + encode_one(self.schema, whole)


def key_bytes(values: Sequence[Any]) -> bytes | None:
    """A record's key: the fields' text joined by "|" (bytes as they are); None where there is none or one is null."""
    if not values or None in values:
        return None
    return b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def key_fields(text: str, schema: Schema) -> tuple[str, ...]:
    """The fields of `--key a,b`; raises ConfigError for one that the schema does not have."""
    fields = tuple(part.strip() for part in text.split(",") if part.strip())
    for field in fields:
        _type_of(schema.type, field)
    return fields


def check_text_key(fields: Sequence[str], schema: Schema) -> None:
    """Raises ConfigError for a field that has no text of its own: a record, an array or a map."""
    for name in fields:
        of = _without_null(_type_of(schema.type, name))
        if isinstance(of, Record):
            parts = ", ".join(f"{name}.{each.name}" for each in of.fields)
            raise ConfigError(f"--key {name}: it is a record, which has no text. Name fields of it: {parts}")
        if isinstance(of, Array | Map):
            kind = "an array" if isinstance(of, Array) else "a map"
            raise ConfigError(f"--key {name}: it is {kind}, which has no text: choose another field")


def key_schema(fields: Sequence[str], schema: Schema) -> Schema:
    """The schema of an Avro key: the type of its field without null; a record of them where there are several."""
    if not fields:
        raise ConfigError("--key-encoding avro: say with --key which fields the key is made of")
    types = [_without_null(_type_of(schema.type, name)) for name in fields]
    of = types[0]
    if len(types) > 1:
        assert isinstance(schema.type, Record)
        parts = tuple(Field(name, each) for name, each in zip(_names(fields), types, strict=True))
        of = Record(f"{schema.type.name}Key", (), parts)
    parsed = parse_schema(canonical_form(of))
    # The fields' own types, which know of dates and decimals: values are given as files have them.
    return Schema(of, parsed.names, parsed.text, parsed.canonical, parsed.fingerprint)


def integer_bytes(fields: Sequence[str], schema: Schema) -> int:
    """Bytes that Kafka's serializers take for the field that is the key: 4 of an int, 8 of a long, 0 of others."""
    kinds = [_without_null(_type_of(schema.type, name)) for name in fields]
    of = kinds[0] if len(kinds) == 1 else None
    return {"int": 4, "long": 8}.get(of.type, 0) if isinstance(of, Primitive) else 0


def _names(fields: Sequence[str]) -> list[str]:
    return [name.replace(".", "_") for name in fields]


def _type_of(of: Type, path: str) -> Type:
    name, _, rest = path.partition(".")
    record = _without_null(of)
    if not isinstance(record, Record):
        raise ConfigError(f"--key: {path!r} is a field of no record")
    types = {field.name: field.type for field in record.fields}
    chosen = types[one_of(name, types, "--key", "field")]
    return _type_of(chosen, rest) if rest else chosen


def _without_null(of: Type) -> Type:
    others = [branch for branch in of.branches if not is_null(branch)] if isinstance(of, Union) else [of]
    return others[0] if len(others) == 1 else of


def _found(value: Mapping[str, Any], name: str) -> Any:
    found: Any = value
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
