"""Rows as records: key, value in the wire format."""

from dataclasses import dataclass
from typing import NamedTuple

from stream.app.suggest import one_of
from stream.avro import Framing, Schema, header, json_text
from stream.cli.files.encoding import Misfit, RowEncoder
from stream.cli.files.opening import Row
from stream.cli.producing.keys import KeyWriter
from stream.cli.producing.times import RecordTime


class OutRecord(NamedTuple):
    """One record to send."""

    key: bytes | None
    value: bytes
    timestamp_ms: int = 0  # 0: when it is sent


@dataclass(frozen=True, slots=True)
class RecordWriter:
    """Makes records of rows.

    Args:
        schema: of the values.
        rows: fits and encodes rows of the file.
        key: makes the key.
        framing: what the value looks like.
        header: what stands before it.
        time: where a row says the record's timestamp; None: it is that of its sending.
        takes_null_key: whether a row without a key is sent without one.
    """

    schema: Schema
    rows: RowEncoder
    key: KeyWriter
    framing: Framing
    header: bytes
    time: RecordTime | None = None
    takes_null_key: bool = False

    def write(self, row: Row) -> OutRecord | Misfit:
        """One row."""
        fitted = self.rows.encode(row)
        if isinstance(fitted, Misfit):
            return fitted
        key = self.key.write(fitted.value)
        if self.key.fields and key is None and not self.takes_null_key:
            return Misfit(row.number, ", ".join(self.key.fields), "a key", "null")
        time_ms = self.time.of(row, fitted.value) if self.time else 0
        if time_ms is None or time_ms < 0:
            return Misfit(
                row.number, self.time.name if self.time else "", "a time since 1970", "none, or an earlier one"
            )
        if self.framing is Framing.JSON:
            return OutRecord(key, json_text(self.schema, fitted.data), time_ms)
        return OutRecord(key, self.header + fitted.data, time_ms)


def wire_format(framing: str, schema: Schema, schema_id: int) -> tuple[Framing, bytes]:
    """The format of a name ("confluent", "single-object", "json") and what stands before each record."""
    name = one_of(framing, ("confluent", "single-object", "json"), "--framing", "format")
    chosen = Framing[name.replace("-", "_").upper()]
    number = schema.fingerprint if chosen is Framing.SINGLE_OBJECT else schema_id
    return chosen, header(chosen, number)
