"""Rows of a file as an app's events: keys, times and chunks, and the times that a topic would not keep."""

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from stream import App, avro, col, models
from stream.app.compile import compile_app
from stream.avro import decode_one
from stream.cli.backfill import rows
from stream.cli.backfill.rows import Chunk, chunks, record_writer, schema_of_key
from stream.cli.backfill.times import check_times, iso
from stream.cli.files.opening import open_rows
from stream.engine.effects import OutputBatch
from stream.engine.plan import EventPlan
from stream.errors import ConfigError

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "card", "type": ["null", "int"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": "double"},
    ],
}
AT_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
FILE = """card,at,amount
7,2025-01-01,1.5
-2,2025-01-01T00:00:01Z,2.5
,2025-01-01T00:00:02Z,3.5
9,2025-01-01T00:00:03Z,none
"""


def events_of(**changes: Any) -> EventPlan:
    """An app's events, by card and time unless told."""
    app = App("bank")
    declared = {"schema": SCHEMA, "key": "card", "time": "at", "framing": "single-object", **changes}
    app.events("payments", **declared).features(amount=col("amount"))
    app.model("model", models.HalfSpaceTrees(seed=1))
    return compile_app(app, {}).events


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four payments, of which the third has no card and the fourth no amount."""
    path = tmp_path / "payments.csv"
    path.write_text(FILE)
    return path


def all_chunks(path: Path, events: EventPlan, behind: int = 0) -> list[Chunk]:
    """The file as an app's events."""
    opened = open_rows(path)
    return list(chunks(opened, record_writer(events, opened, 0, 0), events.topic, behind))


def keys_of(batch: OutputBatch) -> list[bytes | None]:
    """Its records' keys."""
    return [None if start < 0 else batch.data.tobytes()[start:end] for start, end in batch.keys.tolist()]


def values_of(batch: OutputBatch) -> list[bytes]:
    """Its records' values."""
    return [batch.data.tobytes()[start:end] for start, end in batch.values.tolist()]


def test_rows_are_records_as_the_app_reads_them(file: Path) -> None:
    """Its framing, its key, and the time of its time field; what does not fit is left out and told."""
    events = events_of()
    (chunk,) = all_chunks(file, events)

    assert (chunk.rows, chunk.is_last) == (4, True)
    assert keys_of(chunk.records) == [b"7", b"-2"]
    assert chunk.records.timestamps_ms.tolist() == [AT_MS, AT_MS + 1000]
    first = values_of(chunk.records)[0]
    assert first[:2] == b"\xc3\x01"
    assert decode_one(events.schema, first[10:]) == {"card": 7, "at": AT_MS, "amount": 1.5}
    assert [(each.row, each.field) for each in chunk.misfits] == [(3, "card"), (4, "amount")]


def test_rows_without_a_key_are_sent_where_the_app_scores_them(file: Path) -> None:
    """null_key="score": without a key, as live producers send them."""
    (chunk,) = all_chunks(file, events_of(null_key="score"))
    assert keys_of(chunk.records) == [b"7", b"-2", None]


def test_keys_are_encoded_as_the_app_says(file: Path) -> None:
    """As Kafka's IntegerSerializer writes an int, or Avro in the framing of the events."""
    (binary,) = all_chunks(file, events_of(key_encoding="bytes"))
    assert keys_of(binary.records) == [struct.pack(">i", 7), struct.pack(">i", -2)]

    events = events_of(key_encoding="avro")
    (chunk,) = all_chunks(file, events)
    key = keys_of(chunk.records)[0]
    schema = schema_of_key(events)
    assert key is not None
    assert schema is not None
    assert decode_one(schema, key[10:]) == 7
    assert key[:10] == avro.header(avro.Framing.SINGLE_OBJECT, schema.fingerprint)


def test_chunks_say_how_far_they_go_and_begin_behind_what_is_sent(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit count: whoever goes on counts rows of the file."""
    monkeypatch.setattr(rows, "CHUNK_ROWS", 2)
    events = events_of()

    found = all_chunks(file, events)
    assert [(each.rows, len(each.records), each.is_last) for each in found] == [
        (2, 2, False),
        (4, 0, False),
        (4, 0, True),
    ]
    (behind,) = all_chunks(file, events, behind=3)
    assert [misfit.row for misfit in behind.misfits] == [4]


def test_large_rows_make_small_chunks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded by their bytes: a chunk must be sent well within its transaction's time."""
    monkeypatch.setattr(rows, "_CHUNK_BYTES", 20)
    assert [each.rows for each in all_chunks(file, events_of())][:2] == [1, 2]


def test_an_app_without_event_times_takes_no_file(file: Path) -> None:
    """A backfill goes by times: the text says how to send the file with one."""
    with pytest.raises(ConfigError, match=re.escape("says no time of its events")):
        all_chunks(file, events_of(time=None))


def test_columns_of_other_names_are_told_with_a_way_out(tmp_path: Path) -> None:
    """`stream produce --columns` renames."""
    path = tmp_path / "payments.csv"
    path.write_text("card,when,amount\n7,2025-01-01,1.5\n")
    with pytest.raises(ConfigError, match=r"no column for 'at'.*stream produce .* --columns FIELD=COLUMN"):
        all_chunks(path, events_of())


def check(config: dict[str, str], latest_ms: int = AT_MS + 1000) -> None:
    """What a topic with these settings says to rows of a day ago."""
    check_times("payments", config, AT_MS, latest_ms, AT_MS + 86_400_000)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"message.timestamp.type": "LogAppendTime"}, "Set it to CreateTime"),
        ({"retention.ms": "86399999"}, "of 2025-01-01T00:00:00+00:00: it would be deleted"),
        ({"message.timestamp.before.max.ms": "1000"}, "Raise message.timestamp.before.max.ms"),
    ],
)
def test_times_that_the_topic_would_lose_are_refused(config: dict[str, str], told: str) -> None:
    """Before the chunk that has them is sent."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        check(config)


def test_times_ahead_of_what_the_topic_takes_are_refused() -> None:
    """Most likely they are wrong."""
    with pytest.raises(ConfigError, match="Are the times of the file right"):
        check({"message.timestamp.after.max.ms": "3600000"}, AT_MS + 2 * 86_400_000)


def test_times_that_the_topic_keeps_are_taken() -> None:
    """At the limit, without limits, and where settings may not be read."""
    limits = ("retention.ms", "message.timestamp.before.max.ms")
    check({**dict.fromkeys(limits, "86400000"), "message.timestamp.type": "CreateTime"})
    check({"retention.ms": "-1", "message.timestamp.after.max.ms": "3600000"})
    check({})


@pytest.mark.parametrize("time_ms", [0, 1, AT_MS, AT_MS + 7, 4_102_444_799_999])
def test_a_time_is_told_to_the_millisecond(time_ms: int) -> None:
    """Settings read it back as it was."""
    from stream.runtime.settings import time_ms as read

    assert read(iso(time_ms), "emit_from") == time_ms
