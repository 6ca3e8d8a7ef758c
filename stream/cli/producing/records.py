"""Rows as records: key, value in the wire format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream.app.suggest import one_of
from stream.avro import Framing, Schema, header, json_text
from stream.avro.schema import Record
from stream.cli.files.encoding import Fitted, Misfit, RowEncoder
from stream.cli.files.opening import Row


class OutRecord(NamedTuple):
    """One record to send."""

    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class RecordWriter:
    """Makes records of rows.

    Args:
        schema: of the values.
        rows: fits and encodes rows of the file.
        key: fields whose text, joined by "|", is the key; none for a null key.
        framing: what the value looks like.
        header: what stands before it.
    """

    schema: Schema
    rows: RowEncoder
    key: tuple[str, ...]
    framing: Framing
    header: bytes

    def write(self, row: Row) -> OutRecord | Misfit:
        """One row."""
        fitted = self.rows.encode(row)
        if isinstance(fitted, Misfit):
            return fitted
        key = self._key(fitted)
        if self.key and key is None:
            return Misfit(row.number, ", ".join(self.key), "a key", "null")
        if self.framing is Framing.JSON:
            return OutRecord(key, json_text(self.schema, fitted.data))
        return OutRecord(key, self.header + fitted.data)

    def _key(self, fitted: Fitted) -> bytes | None:
        values = [_field(fitted.value, name) for name in self.key]
        return key_bytes(values)


def key_bytes(values: Sequence[Any]) -> bytes | None:
    """A record's key: the fields' text joined by "|" (bytes as they are); None where there is none or one is null."""
    if not values or None in values:
        return None
    return b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def wire_format(framing: str, schema: Schema, schema_id: int) -> tuple[Framing, bytes]:
    """The format of a name ("confluent", "single-object", "json") and what stands before each record."""
    name = one_of(framing, ("confluent", "single-object", "json"), "--framing", "format")
    chosen = Framing[name.replace("-", "_").upper()]
    number = schema.fingerprint if chosen is Framing.SINGLE_OBJECT else schema_id
    return chosen, header(chosen, number)


def key_fields(text: str, schema: Schema) -> tuple[str, ...]:
    """The fields of `--key a,b`; raises ConfigError for one that the schema does not have."""
    assert isinstance(schema.type, Record)
    names = [field.name for field in schema.type.fields]
    fields = tuple(part.strip() for part in text.split(",") if part.strip())
    for field in fields:
        one_of(field.partition(".")[0], names, "--key", "field")
    return fields


def _field(value: Mapping[str, Any], name: str) -> Any:
    found: Any = value
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
