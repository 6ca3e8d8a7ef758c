"""Alerts for the tests of this room."""

import struct
from dataclasses import replace

from stream.control.alerts import Action, Alert, Command
from stream.control.wire import encode_alert

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
