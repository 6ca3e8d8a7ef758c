"""Rows as records: key, value in the wire format."""

from dataclasses import dataclass
from typing import NamedTuple

from stream.app.suggest import one_of
from stream.avro import Framing, Schema, header, json_text
from stream.cli.files.encoding import Misfit, RowEncoder
from stream.cli.files.opening import Row
from stream.cli.producing.keys import KeyWriter


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
        key: makes the key.
        framing: what the value looks like.
        header: what stands before it.
    """

    schema: Schema
    rows: RowEncoder
    key: KeyWriter
    framing: Framing
    header: bytes

    def write(self, row: Row) -> OutRecord | Misfit:
        """One row."""
        fitted = self.rows.encode(row)
        if isinstance(fitted, Misfit):
            return fitted
        key = self.key.write(fitted.value)
        if self.key.fields and key is None:
            return Misfit(row.number, ", ".join(self.key.fields), "a key", "null")
        if self.framing is Framing.JSON:
            return OutRecord(key, json_text(self.schema, fitted.data))
        return OutRecord(key, self.header + fitted.data)


def wire_format(framing: str, schema: Schema, schema_id: int) -> tuple[Framing, bytes]:
    """The format of a name ("confluent", "single-object", "json") and what stands before each record."""
    name = one_of(framing, ("confluent", "single-object", "json"), "--framing", "format")
    chosen = Framing[name.replace("-", "_").upper()]
    number = schema.fingerprint if chosen is Framing.SINGLE_OBJECT else schema_id
    return chosen, header(chosen, number)
