"""Alerts for the tests of this room."""

import copy
import io
import json
import struct
from dataclasses import asdict, replace
from typing import Any

import fastavro

from stream.control.alerts import Action, Alert, Command
from stream.control.wire import encode_alert
from stream.resources import schema_text

_SINGLE_OBJECT_HEADER_BYTES = 10

ALERT = Alert(
    id="fraud/payments/0/1200/error/ADWIN",
    kind="drift",
    app="fraud",
    model="champion",
    topic="payments",
    partition=0,
    offset=1200,
    signal="error",
    detector="ADWIN",
    parameters={"delta": 0.002},
    before=0.1,
    after=0.3,
    placed_offset=1000,
    placed_time=1_700_000_000_000,
    severity="warning",
    sentence="the error of champion rose from 0.1 to 0.3",
    event_time=1_700_000_060_000,
    processing_time=1_700_000_060_500,
)


# A later release writes more, in another order, with symbols and a type that this one does not know.
SHIPPED: dict[str, Any] = json.loads(schema_text("alert"))
LATER: dict[str, Any] = copy.deepcopy(SHIPPED)
LATER["fields"].reverse()
LATER["fields"].insert(3, {"name": "runbook", "type": ["null", "string"], "default": None})
next(field for field in LATER["fields"] if field["name"] == "severity")["type"]["symbols"].append("PANIC")
FOREIGN = {"type": "record", "name": "Parcel", "fields": [{"name": "weight_kg", "type": "double"}]}
WRITERS = {7: json.dumps(SHIPPED), 8: json.dumps(LATER), 9: json.dumps(FOREIGN), 10: '{"type": "nothing"}'}


def written_later(alert: Alert, severity: str = "WARNING", schema_id: int = 8) -> bytes:
    """The alert as a later release writes it."""
    out = io.BytesIO(b"\0" + struct.pack(">I", schema_id))
    out.seek(0, io.SEEK_END)
    record = {**asdict(alert), "kind": "DRIFT", "severity": severity, "runbook": "https://example.org/drift"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(LATER)), record)
    return out.getvalue()


def alert_at(offset: int, severity: str = "warning", model: str | None = "champion") -> Alert:
    """An alert of its own at this offset, raised a second per offset later."""
    return replace(
        ALERT,
        id=f"fraud/payments/0/{offset}/error/ADWIN",
        offset=offset,
        severity=severity,
        model=model,
        processing_time=ALERT.processing_time + offset * 1_000,
    )


def confluent(alert: Alert, schema_id: int = 7) -> bytes:
    """The alert in Confluent wire format, as a worker sends it."""
    return b"\0" + struct.pack(">I", schema_id) + encode_alert(alert)[_SINGLE_OBJECT_HEADER_BYTES:]


def command(
    action: Action, by: str = "alice", at_ms: int = 1_700_000_100_000, reason: str = "", id: str = "c1"
) -> Command:
    """A command for ALERT."""
    return Command(id, ALERT.id, action, by, at_ms, reason)
