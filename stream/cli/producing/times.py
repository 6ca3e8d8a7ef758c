"""Timestamps of records: now, or the time that a row says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.app.suggest import one_of
from stream.avro import Schema, columns_of
from stream.cli.evaluation.recorded import milliseconds
from stream.cli.files.opening import Row, RowFile


@dataclass(frozen=True, slots=True)
class RecordTime:
    """Where a row says its time.

    Args:
        name: a field of the schema, dotted in nested records, or else a column of the file.
        is_field: which of them it is.
        logical: of the field: the unit of a number; milliseconds of a column.
    """

    name: str
    is_field: bool
    logical: str

    def of(self, row: Row, value: Mapping[str, Any]) -> int | None:
        """Milliseconds since 1970; None where the row says no time."""
        found: Any = row.values.get(self.name)
        if self.is_field:
            found = value
            for part in self.name.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        return None if found is None or found == "" else milliseconds(found, self.logical)


def record_time(name: str, schema: Schema, file: RowFile) -> RecordTime | None:
    """What `--time NAME` means; None where nothing is said. Raises ConfigError if nothing is called so."""
    if not name:
        return None
    fields = {column.name: column for column in columns_of(schema)}
    if name in fields:
        return RecordTime(name, True, fields[name].logical or "timestamp-millis")
    return RecordTime(one_of(name, [*fields, *file.columns], "--time", "field or column"), False, "timestamp-millis")
