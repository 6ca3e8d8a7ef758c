"""What a decoded event must hold besides its schema: a key, and a time that is not far in the future."""

from dataclasses import dataclass

import numpy as np

from stream.engine.plan import EventPlan
from stream.engine.record_keys import with_other_key
from stream.records import Bools, ColumnBatch, Ints, RecordBatch, Rejection, RejectReason

# Units of a timestamp in a millisecond.
_PER_MS = {"timestamp-millis": 1, "local-timestamp-millis": 1, "timestamp-micros": 1000, "local-timestamp-micros": 1000}


@dataclass(frozen=True, slots=True)
class Admitted:
    """The events that go on, and why others do not."""

    columns: ColumnBatch
    times_ms: Ints  # (n,): event times
    rejections: tuple[Rejection, ...]
    has_other_key: Bools  # (n,): events whose key field does not encode to the record's key; they go on


def event_times(events: EventPlan, batch: RecordBatch, columns: ColumnBatch) -> Ints:
    """Event times (n,) in ms: the time column's, the record's own where that is null or undeclared."""
    recorded = batch.timestamps_ms[columns.rows]
    column = events.time
    if column is None:
        return recorded
    times = columns.cells[:, column.slot] // _PER_MS[column.logical or "timestamp-millis"]
    return np.where(columns.present[:, column.index], times, recorded)


def admit(events: EventPlan, batch: RecordBatch, columns: ColumnBatch) -> Admitted:
    """Let the events pass that may be scored.

    Args:
        events: how they are read; its columns are those of `columns`.
        batch: as fetched.
        columns: as decoded.
    """
    times = event_times(events, batch, columns)
    ahead = times > batch.timestamps_ms[columns.rows] + events.ahead_ms
    rejections = [_time_ahead(events, batch, columns, int(row), times) for row in np.flatnonzero(ahead)]
    refused = ahead
    if events.key and events.rejects_null_key:
        keyless = ~columns.present[:, [column.index for column in events.key]].all(axis=1) & ~ahead
        names = ", ".join(column.name for column in events.key)
        rejections += [
            Rejection(int(columns.rows[row]), RejectReason.NULL_KEY, names, "a key", "null")
            for row in np.flatnonzero(keyless)
        ]
        refused = refused | keyless
    if refused.any():
        columns, times = _chosen(columns, ~refused), times[~refused]
    return Admitted(columns, times, tuple(rejections), with_other_key(events, batch, columns))


def _time_ahead(events: EventPlan, batch: RecordBatch, columns: ColumnBatch, row: int, times: Ints) -> Rejection:
    record = int(columns.rows[row])
    return Rejection(
        record,
        RejectReason.TIME_AHEAD,
        events.time.name if events.time else "",
        f"at most {events.ahead_ms} ms ahead of the record's timestamp {int(batch.timestamps_ms[record])}",
        str(int(times[row])),
    )


def _chosen(columns: ColumnBatch, chosen: Bools) -> ColumnBatch:
    return ColumnBatch(
        columns.columns,
        columns.rows[chosen],
        columns.cells[chosen],
        columns.present[chosen],
        columns.data,
        columns.items,
    )
