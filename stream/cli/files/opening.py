"""Rows of a file, one after the other: CSV, JSON lines, Parquet and Arrow."""

import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import orjson

from stream.errors import ConfigError

FORMATS = ("csv", "jsonl", "parquet", "arrow")
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_DELIMITERS = ",;\t|"
# Lines of JSON from which the names of columns are taken: they need not be the same in every line.
_LOOKED_AT_LINES = 100
_ROWS_AT_ONCE = 4096


class Row(NamedTuple):
    """One row: its values by column, or why it has none."""

    number: int  # counted from 1; a header is no row
    values: Mapping[str, Any]
    expected: str = ""  # of a row that cannot be read at all
    got: str = ""
    raw: Any = None  # what stands there instead: the cells of a row too short or too long, text, or another value


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file that was opened: what it holds, and its rows as often as they are asked for."""

    path: Path
    columns: tuple[str, ...]
    count: int | None  # rows, where the format tells
    is_text: bool  # every value is a text (CSV); null is the empty one
    rows: Callable[[], Iterator[Row]]


def open_rows(path: Path, format: str = "") -> RowFile:
    """Open a file.

    Args:
        path: the file.
        format: one of FORMATS; by the file's suffix if empty.

    Raises:
        ConfigError: there is no such file, or it cannot be read as that.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: " + ("is a folder" if path.is_dir() else "there is no such file"))
    chosen = format or _BY_SUFFIX.get(path.suffix.lower(), "")
    if chosen not in FORMATS:
        raise ConfigError(f"{path}: which format? Say --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    try:
        return {"csv": _csv, "jsonl": _json_lines, "parquet": _parquet, "arrow": _arrow}[chosen](path)
    except (OSError, ValueError) as error:  # Arrow's own errors are among these
        raise unreadable(path, chosen, error) from error


def unreadable(path: Path, format: str, error: Exception) -> ConfigError:
    """What is told of a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return ConfigError(f"{path} cannot be read as {format}: {reason}")


def _csv(path: Path) -> RowFile:
    csv.field_size_limit(sys.maxsize)
    with _text(path) as file:
        first = file.readline()
    if not first.strip():
        raise ConfigError(f"{path} is empty: a line with the names of the columns was expected")
    delimiter = max(_DELIMITERS, key=first.count)
    with _text(path) as file:
        columns = tuple(name.strip() for name in next(csv.reader(file, delimiter=delimiter)))
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ConfigError(f"{path}: the column {twice!r} is there twice")

    def rows() -> Iterator[Row]:
        with _text(path) as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader)
            number = 0
            for values in reader:
                if not values:
                    continue
                number += 1
                if len(values) == len(columns):
                    yield Row(number, dict(zip(columns, values, strict=True)))
                else:
                    yield Row(number, {}, f"{len(columns)} values", f"{len(values)}", values)

    return RowFile(path, columns, None, True, rows)


def _text(path: Path) -> TextIO:
    # Bytes that are no UTF-8 become lone surrogates: only their row does not fit, not the whole file.
    return path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")


def _json_lines(path: Path) -> RowFile:
    def rows() -> Iterator[Row]:
        with path.open("rb") as file:
            for number, line in enumerate((line for line in file if line.strip()), 1):
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    text = line.decode(errors="surrogateescape")
                    yield Row(number, {}, f"a JSON object ({error})", repr(line[:40].decode(errors="replace")), text)
                    continue
                if isinstance(value, dict):
                    yield Row(number, value)
                else:
                    yield Row(number, {}, "a JSON object", type(value).__name__, value)

    columns = dict.fromkeys(name for row in islice(rows(), _LOOKED_AT_LINES) for name in row.values)
    if not columns:
        raise ConfigError(f"{path} holds no JSON object a line")
    return RowFile(path, tuple(columns), None, False, rows)


def _parquet(path: Path) -> RowFile:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        columns, count = tuple(file.schema_arrow.names), file.metadata.num_rows

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE)

    return RowFile(path, columns, count, False, lambda: _arrow_rows(batches()))


def _arrow(path: Path) -> RowFile:
    import pyarrow as pa

    def table() -> Any:
        with pa.memory_map(str(path)) as file:
            try:
                return pa.ipc.open_file(file).read_all()
            except pa.ArrowInvalid:
                file.seek(0)
                return pa.ipc.open_stream(file).read_all()

    opened = table()
    return RowFile(
        path,
        tuple(opened.column_names),
        len(opened),
        False,
        lambda: _arrow_rows(opened.to_batches(max_chunksize=_ROWS_AT_ONCE)),
    )


def _arrow_rows(batches: Any) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for values in _in_microseconds(batch).to_pylist():
            number += 1
            yield Row(number, values)


def _in_microseconds(batch: Any) -> Any:
    """Nanoseconds have no type in Python's standard library."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            finest = pa.timestamp("us", field.type.tz)
            batch = batch.set_column(place, field.name, batch.column(place).cast(finest, safe=False))
    return batch
