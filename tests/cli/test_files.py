"""Rows of files become records of a schema; what does not fit is told by row and field."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from stream.avro import Framing, Schema, decode_one, parse_schema
from stream.cli.files.encoding import Fitted, Misfit, RowEncoder, parse_columns
from stream.cli.files.misfits import MisfitReport
from stream.cli.files.opening import open_rows
from stream.cli.producing.keys import KeyWriter
from stream.cli.producing.records import RecordWriter
from stream.cli.producing.times import record_time
from stream.errors import ConfigError

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": ["null", "double"], "default": None},
        {"name": "paid", "type": "boolean", "default": False},
        {
            "name": "shop",
            "type": ["null", {"type": "record", "name": "Shop", "fields": [{"name": "city", "type": "string"}]}],
            "default": None,
        },
    ],
}
AT_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z


@pytest.fixture
def schema() -> Schema:
    """Orders."""
    return parse_schema(SCHEMA)


def encoded(path: Path, schema: Schema, columns: str = "") -> list[Any]:
    """What each row became: the value that its bytes decode to, or a Misfit."""
    file = open_rows(path)
    encoder = RowEncoder(schema, file, parse_columns(columns))
    results = [encoder.encode(row) for row in file.rows()]
    return [decode_one(schema, each.data) if isinstance(each, Fitted) else each for each in results]


def order(**changes: Any) -> dict[str, Any]:
    """The order that all files below hold."""
    return {"id": "o1", "at": AT_MS, "amount": 9.5, "paid": True, "shop": None, **changes}


def test_csv_texts_become_what_the_schema_says(tmp_path: Path, schema: Schema) -> None:
    """Times, numbers and booleans from text; empty is null; dotted columns are nested; the delimiter is seen."""
    path = tmp_path / "orders.csv"
    path.write_text("id;at;amount;paid;shop.city\no1;2025-01-01T00:00:00Z;9.5;true;Bonn\no1;1735689600000;;0;Bonn\n")
    first, second = encoded(path, schema)
    assert first == order(shop={"city": "Bonn"})
    assert second == order(amount=None, paid=False, shop={"city": "Bonn"})


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_every_format_gives_the_same_records(suffix: str, tmp_path: Path, schema: Schema) -> None:
    """Columns beside the schema's are ignored, whole floats and 0 and 1 go where they fit, NaN is null."""
    path = tmp_path / f"orders.{suffix}"
    rows = [
        {"id": "o1", "at": datetime(2025, 1, 1), "amount": 9.5, "paid": 1, "other": 3},  # noqa: DTZ001
        {"id": "o1", "at": datetime(2025, 1, 1), "amount": float("nan"), "paid": 0, "other": 3},  # noqa: DTZ001
    ]
    if suffix == "jsonl":
        texts = [{**row, "at": "2025-01-01T00:00:00", "amount": None if row["paid"] == 0 else 9.5} for row in rows]
        path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    elif suffix == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    assert encoded(path, schema) == [order(), order(amount=None, paid=False)]


def test_columns_are_chosen_and_renamed(tmp_path: Path, schema: Schema) -> None:
    """FIELD=COLUMN takes that column and no other; the rest has its default."""
    path = tmp_path / "orders.csv"
    path.write_text("number,when,amount\no1,2025-01-01,9.5\n")
    assert encoded(path, schema, "id=number,at=when") == [order(amount=None, paid=False)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("idd=number,at=when", "there is no field 'idd'; did you mean 'id'?"),
        ("id=numbr,at=when", "there is no column 'numbr'; did you mean 'number'?"),
        ("id=number", "--columns names none for 'at'"),
        ("", "orders.csv has no column for 'id', 'at'"),
    ],
)
def test_a_misspelt_column_is_told_before_any_row(columns: str, said: str, tmp_path: Path, schema: Schema) -> None:
    """With the one that is near."""
    path = tmp_path / "orders.csv"
    path.write_text("number,when\no1,2025-01-01\n")
    with pytest.raises(ConfigError, match=re.escape(said)):
        encoded(path, schema, columns)


def test_rows_that_do_not_fit_are_told_one_by_one(tmp_path: Path, schema: Schema) -> None:
    """Row, field, expected and got; the rows beside them are taken."""
    path = tmp_path / "orders.csv"
    path.write_bytes(
        b"id,at,amount\no1,2025-01-01,9.5\no2,2025-01-01,x\no3,2025-01-01\n\xff,2025-01-01,1\no1,2025-01-01,9.5\n"
    )
    first, wrong, short, bytes_, last = encoded(path, schema)
    assert first == last == order(paid=False)
    assert wrong == Misfit(2, "amount", "double", "'x'")
    assert short == Misfit(3, "", "3 values", "2")
    assert (bytes_.row, bytes_.field, bytes_.expected) == (4, "id", "text that has UTF-8")


def test_lines_that_are_no_objects_are_told(tmp_path: Path, schema: Schema) -> None:
    """Broken JSON and other values."""
    path = tmp_path / "orders.jsonl"
    path.write_text('{"id": "o1", "at": 1735689600000, "amount": 9.5, "paid": true}\n{"id": \n[1]\n')
    good, broken, other = encoded(path, schema)
    assert good == order()
    assert (broken.row, broken.got) == (2, "'{\"id\": \\n'")
    assert other == Misfit(3, "", "a JSON object", "list")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "there is no such file"),
        ("orders.xls", b"x", "which format"),
        ("orders.csv", b"", "is empty"),
        ("orders.csv", b"a,a\n1,2\n", "the column 'a' is there twice"),
        ("orders.parquet", b"no parquet", "cannot be read as parquet"),
        ("orders.arrow", b"no arrow", "cannot be read as arrow"),
        ("orders.jsonl", b"nothing\n", "holds no JSON object"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    """It says what is wrong with it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        open_rows(tmp_path / name)


def test_the_report_counts_kinds_and_keeps_the_rows(tmp_path: Path, schema: Schema) -> None:
    """Most frequent first, with the first example; the rejected rows are in the file."""
    path = tmp_path / "orders.csv"
    path.write_text("id,at,amount\no1,2025-01-01,x\no2,never,1\no3,2025-01-01,y\n")
    file = open_rows(path)
    encoder = RowEncoder(schema, file, {})
    with MisfitReport(tmp_path / "rejects.jsonl") as report:
        for row in file.rows():
            misfit = encoder.encode(row)
            assert isinstance(misfit, Misfit)
            report.add(misfit, encoder.as_json(row))
    assert report.count == 3
    assert report.lines()[0] == "  2 x amount: expected double, got 'x' (row 1), 'y' (row 3)"
    kept = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [each["row"] for each in kept] == [1, 2, 3]
    assert kept[1]["record"] == {"id": "o2", "at": "never", "amount": 1.0}


def rejected(path: Path, schema: Schema) -> list[Any]:
    """What the rejects file has of each row that does not fit."""
    file = open_rows(path)
    encoder = RowEncoder(schema, file, {})
    with MisfitReport(path.with_suffix(".rejects")) as report:
        for row in file.rows():
            misfit = encoder.encode(row)
            if isinstance(misfit, Misfit):
                report.add(misfit, encoder.as_json(row))
    return [json.loads(line)["record"] for line in path.with_suffix(".rejects").read_text().splitlines()]


def test_rejected_rows_that_cannot_be_read_keep_their_content(tmp_path: Path, schema: Schema) -> None:
    """The cells of rows that are too short or too long; lines that are no JSON, or no object."""
    (tmp_path / "orders.csv").write_text("id,at,amount\no1,2025-01-01\no2,2025-01-01,9.5,more\n")
    (tmp_path / "orders.jsonl").write_text('{"id": "o1", "at": 1}\n{"id": \n[1]\n')
    assert rejected(tmp_path / "orders.csv", schema) == [["o1", "2025-01-01"], ["o2", "2025-01-01", "9.5", "more"]]
    assert rejected(tmp_path / "orders.jsonl", schema) == ['{"id": \n', [1]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_rejected_row_fits_once_it_is_repaired(suffix: str, tmp_path: Path, schema: Schema) -> None:
    """As a line of JSON, in which times, numbers, booleans and what is missing are as they were."""
    path = tmp_path / f"orders.{suffix}"
    if suffix == "csv":
        path.write_text("id,at,amount,paid,shop.city,note\n\xff,2025-01-01T00:00:00Z,,1,Bonn,x\n", "latin-1")
    else:
        at = datetime.fromisoformat("2025-01-01T00:00:00+00:00")
        row = {"id": 1, "at": at, "amount": float("nan"), "paid": 1, "shop": {"city": "Bonn"}, "note": b"\xe9"}
        parquet.write_table(pa.Table.from_pylist([row]), path)
    (record,) = rejected(path, schema)
    (tmp_path / "repaired.jsonl").write_text(json.dumps({**record, "id": "o1"}))
    assert encoded(tmp_path / "repaired.jsonl", schema) == [order(amount=None, shop={"city": "Bonn"})]


def test_records_have_the_times_of_their_rows(tmp_path: Path, schema: Schema) -> None:
    """By a field of the schema in its unit, or by a column that the schema does not have; a row without one is told."""
    path = tmp_path / "orders.csv"
    path.write_text("id,at,known\na,2025-01-01T00:00:00Z,2025-01-01T00:00:01Z\nb,5,\n")
    file = open_rows(path)
    encoder = RowEncoder(schema, file, {"id": "id", "at": "at"})

    def written(time: str) -> list[Any]:
        times = record_time(time, schema, file)
        writer = RecordWriter(schema, encoder, KeyWriter(()), Framing.SINGLE_OBJECT, b"", times)
        return [writer.write(row) for row in file.rows()]

    assert [record.timestamp_ms for record in written("at")] == [AT_MS, 5]
    assert [record.timestamp_ms for record in written("")] == [0, 0]
    first, second = written("known")
    assert first.timestamp_ms == AT_MS + 1000
    assert (second.row, second.field) == (2, "known")
    with pytest.raises(ConfigError, match="--time"):
        record_time("knwon", schema, file)
