"""Compile the kernels of an app into STREAM_CACHE by running its engine over made-up records: warm.py MODULE:APP

The image's build runs it, so that a worker of the image compiles nothing. It needs no broker.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import orjson
from fastavro.utils import generate_one

from stream import avro, kernels
from stream.config import TopicNames
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.task import OutputFormat, Task
from stream.records import RecordBatch
from stream.runtime.loading import load_app

SCHEMA_ID = 1
NOW_MS = 1_700_000_000_000
EVENTS = 64


def main(target: str) -> None:
    """Load the app, and run a task of it over events, and over labels where it has them."""
    kernels.use_cache(Path(os.environ["STREAM_CACHE"]))
    plan = load_app(target).plan
    format = OutputFormat(TopicNames.of(plan.app), b"\0\0\0\0\1", b"\0\0\0\0\1")
    task = Task(plan, 0, 1, format)
    accepted = run_over(task, plan)
    task.load(task.checkpoint(NOW_MS), False)
    if not accepted:
        sys.exit(f"no made-up event of {target} was accepted, so that not all kernels are compiled")
    print(f"{plan.app}: {kernels.compilations()} kernels compiled in {kernels.compile_seconds():.1f} s")


def run_over(task: Task, plan: Plan) -> int:
    """Give the task one batch of events and one of labels; the number of events that it scored."""
    events = plan.events
    records = [made_up(events.schema) for _ in range(EVENTS)]
    for number, record in enumerate(records):
        if events.time is not None:
            put(record, events.time.name, NOW_MS * (1000 if "micros" in (events.time.logical or "") else 1))
        if events.event_id is not None:
            put(record, events.event_id.name, f"event-{number}")
    process(task, events.topic, events.schema, events.framing, records)
    accepted = 0 if task.observed is None else len(task.observed.rows)
    if plan.labels is not None:
        labels = [made_up(plan.labels.schema) for _ in range(EVENTS)]
        for number, label in enumerate(labels):
            put(label, plan.labels.event_id.name, f"event-{number}")
        process(task, plan.labels.topic, plan.labels.schema, plan.labels.framing, labels)
    task.close_cycle()
    return accepted


def process(task: Task, topic: str, schema: avro.Schema, framing: avro.Framing, records: Sequence[Any]) -> None:
    """Encode records and process them, answering for the registry."""
    batch = batch_of(topic, [encoded(schema, framing, record) for record in records])
    if not task.process(batch, NOW_MS).taken:
        task.answer_schema(SchemaFetched(SCHEMA_ID, schema.text))
        task.process(batch, NOW_MS)


def made_up(schema: avro.Schema) -> Any:
    """A record that fits the schema."""
    return generate_one(plain(schema))


def plain(schema: avro.Schema) -> Any:
    """The schema without logical types, so that every value is what lies in the record."""
    return fastavro.parse_schema(orjson.loads(schema.canonical))


def put(record: Any, dotted: str, value: object) -> None:
    """Set a column by its dotted name, where its records are there."""
    *outer, last = dotted.split(".")
    for name in outer:
        record = record.get(name) if isinstance(record, dict) else None
    if isinstance(record, dict):
        record[last] = value


def encoded(schema: avro.Schema, framing: avro.Framing, record: Any) -> bytes:
    """The record in the topic's wire format."""
    if framing is avro.Framing.JSON:
        return orjson.dumps(record, default=lambda value: value.decode("latin-1"))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, plain(schema), record)
    written_by = SCHEMA_ID if framing is avro.Framing.CONFLUENT else schema.fingerprint
    return avro.header(framing, written_by) + out.getvalue()


def batch_of(topic: str, values: Sequence[bytes]) -> RecordBatch:
    """The records as if they were fetched from partition 0, without keys."""
    ends = np.cumsum([len(value) for value in values], dtype=np.int64)
    places = np.stack([ends - [len(value) for value in values], ends], axis=1)
    nothing = np.full((len(values), 2), -1, dtype=np.int64)
    data = np.frombuffer(b"".join(values), dtype=np.uint8)
    offsets = np.arange(len(values), dtype=np.int64)
    return RecordBatch(topic, 0, data, nothing, places, offsets, np.full(len(values), NOW_MS), nothing.copy())


if __name__ == "__main__":
    main(sys.argv[1])
