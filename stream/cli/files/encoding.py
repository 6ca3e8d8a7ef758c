"""Rows of a file become records of a schema, or a misfit that says what was wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from stream.app.suggest import one_of
from stream.avro import InvalidValue, Schema
from stream.avro.schema import MISSING, Record, Union
from stream.avro.values import ValueWriter
from stream.cli.files.fitting import Fit, fit_text, fit_value, json_value
from stream.cli.files.opening import Row, RowFile
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row that does not fit the schema."""

    row: int  # counted from 1
    field: str  # "" where the whole row is to blame
    expected: str
    got: str


class Fitted(NamedTuple):
    """A row as the schema has it."""

    value: Mapping[str, Any]
    data: bytes  # Avro, without a header


class _Taken(NamedTuple):
    """What a field is made of."""

    field: str
    column: str  # "" where it is a record of several columns
    fit: Fit
    parts: tuple["_Taken", ...] = ()


class RowEncoder:
    """Encodes the rows of a file.

    Args:
        schema: a record.
        file: the columns of this file are taken; dotted ones (`merchant.city`) are fields of nested records.
        chosen: column by field; only these are taken. All columns by their own names where it is empty.

    Raises:
        ConfigError: a field or column does not exist, or a field without a default has no column.
    """

    def __init__(self, schema: Schema, file: RowFile, chosen: Mapping[str, str]) -> None:
        if not isinstance(schema.type, Record):
            raise ConfigError(f"the schema is no record: {schema.canonical[:80]}")
        fit = fit_text if file.is_text else fit_value
        columns = _checked(schema.type, file, chosen) if chosen else {name: name for name in file.columns}
        self._takes = tuple(_takes(schema.type, "", columns, fit))
        _check_complete(schema.type, {taken.field for taken in self._takes}, file, bool(chosen))
        self._write = ValueWriter().of(schema.type)

    def encode(self, row: Row) -> Fitted | Misfit:
        """One row."""
        if row.expected:
            return Misfit(row.number, "", row.expected, row.got)
        value = _value(self._takes, row.values)
        out = bytearray()
        try:
            self._write(value, out)
        except InvalidValue as error:
            return Misfit(row.number, error.field, error.expected, error.got)
        return Fitted(value, bytes(out))

    def as_json(self, row: Row) -> Any:
        """The row by column, as a file of JSON lines with these columns would hold it: what is null, a number or a
        time in this file is so there too. What stands there, where the row cannot be read."""
        if row.expected:
            return row.raw
        return json_value({**row.values, **_by_column(self._takes, row.values)})


def parse_columns(text: str) -> dict[str, str]:
    """`amount=AMT,card_id` as {"amount": "AMT", "card_id": "card_id"}: the column of each field."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {field.strip(): (column.strip() if equals else field.strip()) for field, equals, column in parts}


def _checked(record: Record, file: RowFile, chosen: Mapping[str, str]) -> dict[str, str]:
    fields = [each.name for each in record.fields]
    for field, column in chosen.items():
        one_of(field.partition(".")[0], fields, "--columns", "field")
        one_of(column, file.columns, f"--columns, {file.path.name}", "column")
    return dict(chosen)


def _takes(record: Record, prefix: str, columns: Mapping[str, str], fit: Callable[..., Fit]) -> Iterable[_Taken]:
    for field in record.fields:
        path = prefix + field.name
        if path in columns:
            yield _Taken(field.name, columns[path], fit(field.type))
        elif (inner := _record_of(field.type)) and any(name.startswith(path + ".") for name in columns):
            yield _Taken(field.name, "", fit(field.type), tuple(_takes(inner, path + ".", columns, fit)))


def _record_of(of: object) -> Record | None:
    branches: Sequence[object] = of.branches if isinstance(of, Union) else (of,)
    return next((branch for branch in branches if isinstance(branch, Record)), None)


def _value(takes: Iterable[_Taken], row: Mapping[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for field, column, fit, parts in takes:
        if parts:
            value[field] = _value(parts, row)
        elif column in row:
            value[field] = fit(row[column])
    return value


def _by_column(takes: Iterable[_Taken], row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _, column, fit, parts in takes:
        if parts:
            found |= _by_column(parts, row)
        elif column in row:
            found[column] = fit(row[column])
    return found


def _check_complete(record: Record, taken: set[str], file: RowFile, is_chosen: bool) -> None:
    missing = [field.name for field in record.fields if field.default is MISSING and field.name not in taken]
    if not missing:
        return
    hints = []
    for name in missing:
        near = get_close_matches(name, file.columns, n=1)
        hints.append(f"{name!r}" + (f" (did you mean --columns {name}={near[0]}?)" if near else ""))
    what = "--columns names none for" if is_chosen else f"{file.path.name} has no column for"
    raise ConfigError(
        f"{what} {', '.join(hints)}, and the schema has no default; there are {', '.join(file.columns)}. "
        "Rename with --columns FIELD=COLUMN,..."
    )
