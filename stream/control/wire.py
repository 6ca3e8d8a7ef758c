"""Alerts, commands and table rows as bytes: Avro by the schemas that ship, JSON where an app chose it for alerts."""

import io
from dataclasses import asdict, fields
from functools import cache
from typing import Any

import fastavro
import orjson
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType

from stream.control.alerts import Action, Alert, AlertState, Change, Command, TrackedAlert
from stream.errors import StreamError
from stream.resources import schema_text

_CONFLUENT_MAGIC = b"\x00"
_CONFLUENT_HEADER_BYTES = 5  # magic byte and the schema's id, 4 bytes
_SINGLE_OBJECT_MARKER = b"\xc3\x01"
_ALERT_FIELDS = frozenset(field.name for field in fields(Alert))


class UnreadableRecord(StreamError):
    """A record of a topic is not what its schema says. Leave it aside; the topic's other records are fine."""


def writer_id_of(value: bytes) -> int | None:
    """The id of the schema by which a value in Confluent wire format was written; None of any other format."""
    if not value.startswith(_CONFLUENT_MAGIC) or len(value) < _CONFLUENT_HEADER_BYTES:
        return None
    return int.from_bytes(value[len(_CONFLUENT_MAGIC) : _CONFLUENT_HEADER_BYTES], "big")


def parsed_schema(text: str) -> Any:
    """A writer's schema, for `decode_alert`; raises UnreadableRecord."""
    try:
        return fastavro.parse_schema(_without_logical_types(orjson.loads(text)))
    except (SchemaParseException, UnknownType, orjson.JSONDecodeError) as error:
        raise UnreadableRecord(f"the schema by which an alert was written does not parse: {error}") from error


def decode_alert(value: bytes, writer: Any = None) -> Alert:
    """Read an alert in Confluent wire format, single-object encoding or JSON; raises UnreadableRecord.

    Args:
        value: the record's value.
        writer: the parsed schema by which a value in Confluent wire format was written; what it has is resolved to
            schemas/alert.
    """
    if value.startswith(b"{"):
        return _checked(_alert(_parsed_json(value)))
    if writer is not None:
        return _alert(_read("alert", value[_CONFLUENT_HEADER_BYTES:], writer))
    return _alert(_decode("alert", value))


def encode_alert(alert: Alert) -> bytes:
    """An alert in single-object encoding."""
    return _encode("alert", {**asdict(alert), "kind": alert.kind.upper(), "severity": alert.severity.upper()})


def decode_command(value: bytes) -> Command:
    """Read a record of the command topic; raises UnreadableRecord."""
    found = _decode("alert-command", value)
    if found["action"] not in Action.__members__:
        raise UnreadableRecord(f"a command asks for {found['action']}, which this release does not know")
    return Command(**{**found, "action": Action[found["action"]]})


def encode_command(command: Command) -> bytes:
    """A record of the command topic."""
    return _encode("alert-command", {**asdict(command), "action": command.action.name})


def decode_tracked(value: bytes) -> TrackedAlert:
    """Read a row of the table; raises UnreadableRecord."""
    found = _decode("alert-state", value)
    changes = tuple(Change(**{**change, "state": AlertState[change["state"]]}) for change in found["changes"])
    return TrackedAlert(decode_alert(found["alert"]), found["partition"], changes)


def encode_tracked(tracked: TrackedAlert) -> bytes:
    """A row of the table."""
    changes = [{**asdict(change), "state": change.state.name} for change in tracked.changes]
    row = {"partition": tracked.partition, "alert": encode_alert(tracked.alert), "changes": changes}
    return _encode("alert-state", row)


def _alert(found: dict[str, Any]) -> Alert:
    missing = sorted(_ALERT_FIELDS - found.keys())
    if missing:
        raise UnreadableRecord(f"an alert lacks {', '.join(missing)} (schemas/alert/v1.avsc)")
    known = {name: found[name] for name in _ALERT_FIELDS}
    return Alert(**{**known, "kind": str(known["kind"]).lower(), "severity": str(known["severity"]).lower()})


def _checked(alert: Alert) -> Alert:
    """The alert, if it can be a row of the table: JSON may hold anything."""
    try:
        encode_alert(alert)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableRecord(f"an alert in JSON does not fit schemas/alert/v1.avsc: {error}") from error
    return alert


def _parsed_json(value: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UnreadableRecord(f"an alert is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableRecord("an alert in JSON is no object")
    return found


def _encode(subject: str, record: dict[str, Any]) -> bytes:
    schema, header = _schema(subject)
    out = io.BytesIO()
    out.write(header)
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def _decode(subject: str, value: bytes) -> dict[str, Any]:
    _, header = _schema(subject)
    if not value.startswith(header):
        raise UnreadableRecord(f"a record is not in a version of schemas/{subject} that this release can read")
    return _read(subject, value[len(header) :])


def _read(subject: str, body: bytes, writer: Any = None) -> dict[str, Any]:
    """Read by the writer's schema, as the subject's; by the subject's own where no other is given."""
    schema, _ = _schema(subject)
    source = io.BytesIO(body)
    try:
        found: Any = fastavro.schemaless_reader(source, writer or schema, schema if writer else None)
    except SchemaResolutionError as error:
        raise UnreadableRecord(f"a record's schema does not resolve to schemas/{subject}/v1.avsc: {error}") from error
    except (EOFError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise UnreadableRecord(f"a record does not decode by schemas/{subject}/v1.avsc: {error}") from error
    if source.tell() != len(body):
        left = len(body) - source.tell()
        raise UnreadableRecord(f"a record has {left} bytes behind its last field (schemas/{subject}/v1.avsc)")
    return dict(found)


@cache
def _schema(subject: str) -> tuple[Any, bytes]:
    """The parsed schema and the header of its single-object encoding: marker and CRC-64-AVRO fingerprint."""
    declared = orjson.loads(schema_text(subject))
    canonical = fastavro.schema.to_parsing_canonical_form(declared)
    fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    return fastavro.parse_schema(_without_logical_types(declared)), _SINGLE_OBJECT_MARKER + fingerprint


def _without_logical_types(schema: Any) -> Any:
    """The same schema with times as the plain milliseconds that they are: no datetimes, no lost time zones."""
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    return schema
