"""What a decoded event must hold besides its schema: a key, a time not far ahead, an id and a key of limited size."""

from dataclasses import dataclass

import numpy as np

from stream.engine.plan import EventPlan
from stream.engine.record_keys import with_other_key
from stream.records import Bools, ColumnBatch, Ints, Kind, RecordBatch, Rejection, RejectReason

# Units of a timestamp in a millisecond.
_PER_MS = {"timestamp-millis": 1, "local-timestamp-millis": 1, "timestamp-micros": 1000, "local-timestamp-micros": 1000}

# Most bytes of an event's id and its record's key together: a prediction repeats them, and one that its topic does not
# take would stop the partition for ever (rule 12). A constant, and not made of `max_message_bytes`: it decides what is
# learned, and a replay under other settings must give the same state (rule 5). The id once and the key twice, in JSON
# six bytes for one at worst, are 28,672: below half of the smallest `max_message_bytes`, 65,536.
LARGEST_NAME_BYTES = 4_096


# Most bytes of a record that goes through several stages: the records between those hold it, and what they add must not
# be more than their topics take. A constant for the same reason; `max_message_bytes` must be 1,000,000 then.
LARGEST_TRAVELLING_BYTES = 900_000


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
    refused = times > batch.timestamps_ms[columns.rows] + events.ahead_ms
    rejections = [_time_ahead(events, batch, columns, int(row), times) for row in np.flatnonzero(refused)]
    if events.key and events.rejects_null_key:
        keyless = ~columns.present[:, [column.index for column in events.key]].all(axis=1) & ~refused
        names = ", ".join(column.name for column in events.key)
        rejections += [
            Rejection(int(columns.rows[row]), RejectReason.NULL_KEY, names, "a key", "null")
            for row in np.flatnonzero(keyless)
        ]
        refused = refused | keyless
    name_bytes = _name_bytes(events, batch, columns)
    too_large = (name_bytes > LARGEST_NAME_BYTES) & ~refused
    rejections += [_too_large(events, columns, int(row), name_bytes) for row in np.flatnonzero(too_large)]
    refused = refused | too_large
    if events.travels:
        sizes = _record_bytes(batch, columns)
        too_large = (sizes > LARGEST_TRAVELLING_BYTES) & ~refused
        rejections += [_too_large_to_travel(columns, int(row), sizes) for row in np.flatnonzero(too_large)]
        refused = refused | too_large
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


def _name_bytes(events: EventPlan, batch: RecordBatch, columns: ColumnBatch) -> Ints:
    """Bytes (n,) of event id and record key; an id that is an integer has none that count."""
    keys = batch.keys[columns.rows]
    sizes = keys[:, 1] - keys[:, 0]
    if events.event_id is not None and events.event_id.kind in (Kind.STRING, Kind.BYTES):
        slot = events.event_id.slot
        sizes += columns.cells[:, slot + 1] - columns.cells[:, slot]
    return sizes


def _too_large(events: EventPlan, columns: ColumnBatch, row: int, name_bytes: Ints) -> Rejection:
    return Rejection(
        int(columns.rows[row]),
        RejectReason.TOO_LARGE,
        events.event_id.name if events.event_id else "",
        f"event id and record key of {LARGEST_NAME_BYTES} bytes at most, together",
        f"{int(name_bytes[row])} bytes",
    )


def _record_bytes(batch: RecordBatch, columns: ColumnBatch) -> Ints:
    """Bytes (n,) of key, value and headers."""
    sizes = sum(spans[:, 1] - spans[:, 0] for spans in (batch.keys, batch.values, batch.headers))
    return np.asarray(sizes)[columns.rows]


def _too_large_to_travel(columns: ColumnBatch, row: int, sizes: Ints) -> Rejection:
    return Rejection(
        int(columns.rows[row]),
        RejectReason.TOO_LARGE,
        "",
        f"key, value and headers of {LARGEST_TRAVELLING_BYTES:,} bytes at most, together: the record goes through "
        "topics between stages",
        f"{int(sizes[row]):,} bytes",
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
