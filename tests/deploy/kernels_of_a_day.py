"""Names kernels that a worker of small_app calls and its start has not loaded: python -m tests.deploy.kernels_of_a_day

Compilations alone would not tell: whatever any run has compiled before is found in the cache.
"""

import gc
import os
import sys
from pathlib import Path

import numpy as np

from stream import avro, kernels
from stream.config import TopicNames
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.output_format import OutputFormat
from stream.engine.plan import EventPlan, LabelPlan
from stream.engine.protocol import SchemaFetched
from stream.engine.task import Task
from stream.kernels.compile import KernelDispatcher
from stream.records import RecordBatch
from stream.runtime.loading import load_app
from stream.runtime.worker import compile_kernels

# More cards, waiting events and events in the window than any table has room for at first.
EVENTS = 6_000
HEADER = b"\0\0\0\0\1"


def main() -> None:
    """Start, then live through a day: events of new cards, labels, a snapshot, a restore."""
    kernels.use_cache(Path(os.environ["STREAM_CACHE"]))
    plan = load_app("tests.deploy.small_app:app").plan
    output_format = OutputFormat(TopicNames.of(plan.app), HEADER, HEADER)
    compile_kernels(plan, output_format)
    before = loaded()
    task = Task(plan, 0, 1, output_format)
    assert plan.labels is not None
    cards = [f"c{number}" for number in range(EVENTS)]
    process(task, plan.events, cards, [payment(number) for number in range(EVENTS)])
    process(task, plan.labels, cards, [{"id": f"p{number}", "fraud": number % 7 == 0} for number in range(EVENTS)])
    task.close_cycle()
    assert task.state.labels is not None
    assert task.state.labels.counts.joined == EVENTS
    task.load(task.checkpoint(0))
    sys.stdout.write("\n".join(sorted(loaded() - before)))


def payment(number: int) -> dict[str, object]:
    """Half a second after the one before: an hour, the horizon of the labels, holds them all."""
    return {"id": f"p{number}", "card": f"c{number}", "amount": 10.0 + number % 7, "at": 500 * number}


def process(task: Task, source: EventPlan | LabelPlan, keys: list[str], values: list[dict[str, object]]) -> None:
    """Give the task all records as one batch, answering for the registry."""
    header = avro.header(source.framing, 1)
    records = [
        EncodedRecord(key.encode(), header + avro.encode_one(source.schema, value), None, 1000 * EVENTS)
        for key, value in zip(keys, values, strict=True)
    ]
    made = output_batch(source.topic, 0, records)
    batch = RecordBatch(
        source.topic, 0, made.data, made.keys, made.values, np.arange(len(records)), made.timestamps_ms, made.headers
    )
    if task.process(batch, 0).needs_schema is not None:
        task.answer_schema(SchemaFetched(1, source.schema.text))
        assert task.process(batch, 0).taken == len(records)


def loaded() -> set[str]:
    """Kernels that are loaded, with the types that they are loaded for."""
    every = [each for each in gc.get_objects() if isinstance(each, KernelDispatcher)]
    return {f"{each.py_func.__qualname__} {signature}" for each in every for signature in each.overloads}


if __name__ == "__main__":
    main()
