"""`stream produce`: rows of a file into a topic."""

import json
import sys
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream.avro import Schema
    from stream.cli.files.misfits import MisfitReport
    from stream.cli.files.opening import Row, RowFile
    from stream.cli.producing.records import RecordWriter
    from stream.config import KafkaSettings

_PREVIEWED = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is sent, and how fast."""

    rate: float
    limit: int | None
    loops: bool


def entry(
    file: Path = typer.Argument(help="CSV, JSON lines, Parquet or Arrow."),
    topic: str = typer.Option(..., help="Where the records go; it must exist."),
    schema: str = typer.Option(..., help="An .avsc file, its name here or in schemas/, or a subject of the registry."),
    key: str = typer.Option("", help="Field whose text is the record's key; several as a,b."),
    key_encoding: str = typer.Option(
        "utf8", help="utf8: the fields' text, several joined by |; avro: by a schema of their own, TOPIC-key."
    ),
    columns: str = typer.Option("", help="Take only these, FIELD=COLUMN or FIELD, separated by commas."),
    time: str = typer.Option("", help="Field, or column, with each record's timestamp; it is now if not given."),
    framing: str = typer.Option("confluent", help="confluent (with the registry), single-object or json."),
    preview: bool = typer.Option(
        False, "--preview", help=f"Show the first {_PREVIEWED} records, or --limit, and send nothing."
    ),
    rate: float = typer.Option(0.0, min=0.0, help="Records a second; 0: as fast as possible."),
    loop: bool = typer.Option(False, "--loop", help="Begin again at the end of the file, until --limit or Ctrl-C."),
    limit: int | None = typer.Option(None, min=1, help="Read at most so many rows."),
    rejects: Path | None = typer.Option(None, help="Write rows that do not fit to this file, as JSON lines."),
    format: str = typer.Option("", help="csv, jsonl, parquet or arrow; by the file's name if not given."),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Send the rows of a file as Avro, keyed and partitioned as Java's producers do (murmur2).

    Rows that do not fit the schema are left out and reported; the exit status is then 1. With the registry, the schema
    is registered as the subject TOPIC-value, that of an Avro key as TOPIC-key: the registry decides, by the subject's
    compatibility, whether it takes it.

    --time gives records the times of their rows, so that a backfill (`stream run --from beginning --emit-from TIME`)
    takes events and labels in that order. The topic must keep records that old: retention.ms.

    Example: stream produce orders.csv --topic orders --schema order --key customer --columns customer=client,amount
    """
    from stream.cli.connection import kafka_settings
    from stream.cli.files.encoding import RowEncoder, parse_columns
    from stream.cli.files.misfits import MisfitReport
    from stream.cli.files.opening import open_rows
    from stream.cli.producing.keys import KeyWriter, check_text_key, key_fields
    from stream.cli.producing.records import RecordWriter, wire_format
    from stream.cli.producing.schemas import find_schema
    from stream.cli.producing.times import record_time

    rows_file = open_rows(file, format)
    settings = kafka_settings(config)
    uses_registry = framing == "confluent"
    latest = (lambda subject: _latest(settings, subject)) if uses_registry else None
    found = find_schema(schema, latest, lambda: _subjects(settings))
    encoder = RowEncoder(found, rows_file, parse_columns(columns))
    fields = key_fields(key, found)
    key_type = _key_schema(key_encoding, framing, fields, found)
    if key_type is None:
        check_text_key(fields, found)
    times = record_time(time, found, rows_file)
    wire_format(framing, found, 0)  # a misspelt format is told before anything is asked of others
    pace = Pace(rate, limit, loop)
    with MisfitReport(rejects) as report:
        if preview:
            chosen, head = wire_format("single-object", found, 0)
            writer = RecordWriter(found, encoder, KeyWriter(fields), chosen, head, times)
            _preview(rows_file, writer, limit or _PREVIEWED, report)
            done: dict[str, Any] = {"topic": topic, "produced": 0}
        else:
            ids = _prepare(settings, topic, {"value": found, "key": key_type} if uses_registry else {})
            chosen, head = wire_format(framing, found, ids.get("value", 0))
            key_head = wire_format(framing, key_type, ids.get("key", 0))[1] if key_type else b""
            writer = RecordWriter(found, encoder, KeyWriter(fields, key_type, key_head), chosen, head, times)
            done = _send(rows_file, writer, settings, topic, pace, report)
        if as_json:
            print(json.dumps({**done, "rejected": report.count, "rejections": report.as_json()}))
        _tell_misfits(report, rejects)
    raise typer.Exit(1 if report.count else 0)


def _latest(settings: "KafkaSettings", subject: str) -> str | None:
    from stream.cli.connection import answering_registry

    with answering_registry(settings) as registry:
        latest = registry.latest(subject)
    return latest.schema if latest else None


def _subjects(settings: "KafkaSettings") -> list[str]:
    from stream.cli.connection import answering_registry

    with answering_registry(settings) as registry:
        return registry.subjects()


def _key_schema(encoding: str, framing: str, fields: tuple[str, ...], schema: "Schema") -> "Schema | None":
    from stream.app.suggest import one_of
    from stream.cli.producing.keys import ENCODINGS, key_schema

    if one_of(encoding, ENCODINGS, "--key-encoding", "encoding") == "utf8":
        return None
    if framing == "json":
        raise ConfigError("--key-encoding avro: keys of JSON records are utf8; or choose another --framing")
    return key_schema(fields, schema)


def _prepare(settings: "KafkaSettings", topic: str, schemas: "Mapping[str, Schema | None]") -> dict[str, int]:
    """See that the topic is there, and register the schemas of its value and key; their ids."""
    from stream.cli.connection import answering_registry, existing_topic, reachable_admin

    existing_topic(reachable_admin(settings), topic, "create it first: `stream topics create APP --inputs`")
    if not schemas:
        return {}
    with answering_registry(settings) as registry:
        return {part: registry.register(f"{topic}-{part}", each.text) for part, each in schemas.items() if each}


def _rows(file: "RowFile", pace: Pace) -> "Iterator[Row]":
    rounds = count() if pace.loops and next(file.rows(), None) is not None else range(1)
    return islice(chain.from_iterable(file.rows() for _ in rounds), pace.limit)


def _preview(file: "RowFile", writer: "RecordWriter", count: int, report: "MisfitReport") -> None:
    from stream.avro import json_text
    from stream.cli.files.encoding import Misfit

    total = f", {file.count:,} rows" if file.count is not None else ""
    print(f"{file.path.name}{total}; columns: {', '.join(file.columns)}")
    for row in islice(file.rows(), count):
        record = writer.write(row)
        if isinstance(record, Misfit):
            report.add(record, writer.rows.as_json(row))
            print(f"{row.number}\tdoes not fit: {record.field or 'row'}: expected {record.expected}, got {record.got}")
        else:
            shown = "-" if record.key is None else record.key.decode(errors="replace")
            print(f"{row.number}\t{shown}\t{json_text(writer.schema, record.value[len(writer.header) :]).decode()}")


def _send(
    file: "RowFile",
    writer: "RecordWriter",
    settings: "KafkaSettings",
    topic: str,
    pace: Pace,
    report: "MisfitReport",
) -> dict[str, Any]:
    from stream.cli.files.encoding import Misfit
    from stream.cli.producing.sending import Sender
    from stream.cli.progress import row_progress

    sender = Sender(settings, topic, pace.rate)
    total = pace.limit if pace.loops else min(file.count or sys.maxsize, pace.limit or sys.maxsize)
    was_stopped = False
    with row_progress(f"producing to {topic}", total if total != sys.maxsize else None) as advance:
        try:
            for done, row in enumerate(_rows(file, pace), 1):
                record = writer.write(row)
                if isinstance(record, Misfit):
                    report.add(record, writer.rows.as_json(row))
                else:
                    sender.send(record)
                advance(done)
        except KeyboardInterrupt:
            was_stopped = True
    sender.finish()
    if not sender.count and not report.count:
        raise ConfigError(f"{file.path} holds no row")
    seconds = max(sender.seconds, 1e-9)
    said = "stopped; " if was_stopped else ""
    print(
        f"{said}produced {sender.count:,} records to {topic} in {seconds:.1f} s ({sender.count / seconds:,.0f}/s)",
        file=sys.stderr,
    )
    return {"topic": topic, "produced": sender.count, "seconds": round(seconds, 3)}


def _tell_misfits(report: "MisfitReport", rejects: Path | None) -> None:
    if not report.count:
        return
    where = f"; they are in {rejects}" if rejects else "; keep them with --rejects FILE"
    noun = "row does" if report.count == 1 else "rows do"
    print(f"{report.count:,} {noun} not fit the schema{where}", file=sys.stderr)
    for line in report.lines():
        print(line, file=sys.stderr)
