"""Blocks become records in the order of their times."""

import io

import fastavro
import numpy as np
import orjson

from stream.avro import parse_schema
from stream.cli.demo.demos import read_schema_text
from stream.cli.demo.streams import fraud_blocks
from stream.cli.demo.writing import RecordWriter

NOW_MS = 1_790_000_000_000
HEADER_BYTES = 5


def written(planned: int) -> list[tuple[bool, int, bytes, bytes | None]]:
    """All records of a run of payments."""
    schemas = [(parse_schema(read_schema_text(name)), number) for number, name in ((7, "payment"), (8, "verdict"))]
    writer = RecordWriter(schemas[0], schemas[1])
    blocks = writer.write(fraud_blocks(planned, NOW_MS, 1))
    return [(record.is_label, record.event, record.value, record.key) for records, _ in blocks for record in records]


def test_a_label_follows_its_event_about_half_a_simulated_day_later() -> None:
    """Every label has its event before it, 2,000 events or so; those of the last half day are not known yet."""
    records, events_before = written(10_000), 0
    waits = []
    for is_label, event, _, _ in records:
        if is_label:
            waits.append(events_before - event)
        events_before += not is_label
    assert events_before == 10_000
    assert 1_600 < min(waits) < max(waits) < 2_500
    assert 7_500 < len(waits) < 8_400


def test_records_are_what_another_implementation_of_avro_reads() -> None:
    """fastavro reads the first event and its label; the record's key is the card, the framing Confluent's."""
    records = written(6_000)
    label = next(record for record in records if record[0])
    event = records[[record[:2] for record in records].index((False, label[1]))]
    payment, verdict = (read(name, record[2]) for name, record in (("payment", event), ("verdict", label)))
    assert event[2][:HEADER_BYTES] == b"\0\0\0\0\x07"
    assert payment["payment_id"] == verdict["payment_id"] == f"p-{label[1]:09d}"
    assert event[3] == label[3] == str(payment["card_id"]).encode()


def read(name: str, value: bytes) -> dict[str, object]:
    """The value as fastavro reads it."""
    schema = fastavro.parse_schema(orjson.loads(read_schema_text(name)))
    decoded: dict[str, object] = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), schema, None)
    return decoded


def test_ids_of_a_run_are_all_different() -> None:
    """Labels are joined by them."""
    numbers = [record[1] for record in written(5_000) if not record[0]]
    assert np.array_equal(numbers, np.arange(5_000))
