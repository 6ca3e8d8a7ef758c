"""A demo's stream through the engine, with no broker: what its models and detectors make of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from stream.avro import Texts, parse_schema
from stream.cli.demo.blocks import Block
from stream.cli.demo.demos import Demo, read_schema_text
from stream.cli.demo.writing import Record, RecordWriter
from stream.config import TopicNames
from stream.engine.effects import OutputBatch
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.records import Floats, RecordBatch
from stream.runtime.loading import load_app

NOW_MS = 1_790_000_000_000
SCHEMA_IDS = (1, 2)  # of events and labels
CHUNK = 1_000  # records that a worker under load is handed at once
HEADER_BYTES = 5  # before each record in Confluent's wire format


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a stream."""

    scores: Floats  # (n, models)
    targets: Floats  # (n,)
    changed_at: int | None  # offset of the first event after the change
    alerts: tuple[dict[str, Any], ...]
    rejected: int


@cache
def plan_of(demo: Demo) -> Plan:
    """The plan of a demo's app."""
    return load_app(demo.target).plan


def run(demo: Demo, blocks: Iterable[Block]) -> Run:
    """Send a stream through a task of the demo's app."""
    task = _task(demo)
    offsets = [0 for _ in task.sources]
    scores: list[Floats] = []
    targets: list[Floats] = []
    outputs: list[OutputBatch] = []
    changed_at = None
    for records, block in writer_of(demo).write(blocks):
        targets.append(block.targets)
        if changed_at is None and block.is_after_change is not None and block.is_after_change.any():
            changed_at = offsets[0] + int(np.argmax(block.is_after_change))
        for first in range(0, len(records), CHUNK):
            part = records[first : first + CHUNK]
            for place, source in enumerate(task.sources):
                chosen = [record for record in part if record.is_label == bool(place)]
                if not chosen:
                    continue
                done = task.process(fetched(source.topic, chosen, offsets[place], NOW_MS), NOW_MS)
                assert done.taken == len(chosen)
                outputs += done.transactional
                offsets[place] += len(chosen)
                if place == 0 and task.observed is not None:
                    scores.append(task.observed.scores)
    return Run(
        np.concatenate(scores),
        np.concatenate(targets),
        changed_at,
        tuple(
            decode_small("alert", batch.data[start + HEADER_BYTES : end].tobytes())
            for batch in outputs
            if batch.topic.endswith(".alerts")
            for start, end in batch.values.tolist()
        ),
        sum(len(batch) for batch in outputs if batch.topic.endswith(".dead-letters")),
    )


def writer_of(demo: Demo) -> RecordWriter:
    """Writes the records of a demo's stream."""
    return RecordWriter(
        (parse_schema(read_schema_text(demo.event_schema)), SCHEMA_IDS[0]),
        (parse_schema(read_schema_text(demo.label_schema)), SCHEMA_IDS[1]) if demo.label_schema else None,
    )


def _task(demo: Demo) -> Task:
    """A task that knows the writers' schemas."""
    plan = plan_of(demo)
    task = Task(plan, 0, 1, OutputFormat(TopicNames.of(plan.app), b"\0\0\0\0\x07", b"\0\0\0\0\x08"))
    for source, schema_id, name in zip(
        task.sources, SCHEMA_IDS, (demo.event_schema, demo.label_schema or ""), strict=False
    ):
        unknown = Record(False, b"", b"\0" + schema_id.to_bytes(4, "big"), 0)
        task.process(fetched(source.topic, [unknown], 0, NOW_MS), NOW_MS)
        task.answer_schema(SchemaFetched(schema_id, read_schema_text(name)))
    return task


def fetched(topic: str, records: Sequence[Record], first: int, now_ms: int) -> RecordBatch:
    """Records from this offset on, as one batch of partition 0."""
    keys = Texts.of([record.key or b"" for record in records])
    values = Texts.of([record.value for record in records])
    key_bounds = keys.bounds if records[0].key is not None else np.full_like(keys.bounds, -1)
    return RecordBatch(
        topic,
        0,
        np.concatenate([keys.data, values.data]),
        key_bounds,
        values.bounds + len(keys.data),
        np.arange(first, first + len(records), dtype=np.int64),
        np.full(len(records), now_ms),
        np.full((len(records), 2), -1),
    )
