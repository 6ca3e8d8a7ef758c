"""A small app, its events and labels as fetched, and tasks to run them."""

import io
import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import fastavro
import numpy as np
import orjson

from stream import App, col, drift, models
from stream.app import compile_app
from stream.config import TopicNames
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.task import Task
from stream.records import RecordBatch

T0 = 1_700_000_000_000
EVENT_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "card", "type": ["null", "string"]},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "text", "type": "string"},
        {"name": "fraud", "type": ["null", "boolean"], "default": None},
    ],
}
LABEL_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Chargeback",
    "fields": [{"name": "id", "type": "string"}, {"name": "fraud", "type": "boolean"}],
}
FORMAT = OutputFormat(TopicNames.of("app"), b"\0\0\0\0\x07", b"\0\0\0\0\x08")


def declare(
    has_label_topic: bool = True,
    horizon: str = "1h",
    state_bytes: int = 1 << 20,
    of_events: Any = None,
    spilled_bytes: int = 0,
) -> App:
    """Payments by card, whose labels come on a topic of their own or in the event; `of_events` go to App.events."""
    app = App("app")
    label = None if has_label_topic else "fraud"
    chosen = {"key": "card", "time": "at", "id": "id", "label": label} | (of_events or {})
    events = app.events("payments", schema=EVENT_SCHEMA, **chosen)
    amount = col("amount")
    events.features(
        amount=amount.log1p(),
        spend=amount.sum("1m"),
        unusual=amount / amount.ewm_mean(halflife="1h"),
        words=col("text").bag_of_words(64),
    )
    if has_label_topic:
        bounds: Any = {"horizon": horizon, "state_bytes": state_bytes, "spilled_bytes": spilled_bytes}
        app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", **bounds)
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    app.monitor(drift.ADWIN(), on=["error", "score", "features"])
    return app


@cache
def plan_with_labels() -> Plan:
    """The plan with a label topic."""
    return compile_app(declare(), {})


@cache
def plan_that_spills() -> Plan:
    """The plan with a label topic, and room for 16 waiting rows in memory."""
    return compile_app(declare(state_bytes=1, spilled_bytes=1), {})


@cache
def plan_with_label_field() -> Plan:
    """The plan whose events carry the label."""
    return compile_app(declare(has_label_topic=False), {})


def task_of(plan: Plan, epoch: int = 1, format: OutputFormat = FORMAT) -> Task:
    """A task that knows the writers' schemas: 1 for events, 2 for labels."""
    task = Task(plan, 0, epoch, format)
    for source, schema in zip(task.sources, (EVENT_SCHEMA, LABEL_SCHEMA), strict=False):
        schema_id = 1 if source.topic == "payments" else 2
        task.process(batch(source.topic, [(b"", b"\0" + schema_id.to_bytes(4, "big"))]), T0)
        task.answer_schema(SchemaFetched(schema_id, orjson.dumps(schema).decode()))
    return task


def encoded(schema: Mapping[str, Any], schema_id: int, value: Mapping[str, Any]) -> bytes:
    """A value in Confluent wire format."""
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def batch(topic: str, records: Sequence[tuple[bytes | None, bytes | None]], first: int = 0) -> RecordBatch:
    """Records (key, value) as one batch from offset `first` on, their timestamps T0 plus the offset in ms."""
    data, places = bytearray(), []
    for record in records:
        for part in record:
            places.append((-1, -1) if part is None else (len(data), len(data) + len(part)))
            data.extend(part or b"")
    spans = np.array(places, np.int64).reshape(len(records), 2, 2)
    offsets = np.arange(first, first + len(records), dtype=np.int64)
    return RecordBatch(
        topic,
        0,
        np.frombuffer(bytes(data), np.uint8),
        np.ascontiguousarray(spans[:, 0]),
        np.ascontiguousarray(spans[:, 1]),
        offsets,
        T0 + offsets,
        np.full((len(records), 2), -1, np.int64),
    )


def payments(count: int, seed: int = 1, has_label: bool = False) -> list[tuple[bytes | None, bytes | None]]:
    """Payments of 20 cards, a few of them damaged, a few without a card, a few out of order."""
    draw = random.Random(seed)
    records: list[tuple[bytes | None, bytes | None]] = []
    for number in range(count):
        card = None if draw.random() < 0.02 else f"card{draw.randrange(20)}"
        amount = draw.lognormvariate(3, 1)
        value = {
            "id": f"p{number}",
            "card": card,
            "amount": amount,
            "at": T0 + number - (50 if draw.random() < 0.05 else 0),
            "text": " ".join(draw.choice(["win", "cash", "lunch", "rent", "taxi"]) for _ in range(draw.randrange(4))),
            "fraud": (amount > 40) if has_label else None,
        }
        record = encoded(EVENT_SCHEMA, 1, value)
        if draw.random() < 0.02:
            record = record[:-3]
        records.append((card.encode() if card else None, record))
    return records


def chargebacks(numbers: Sequence[int], seed: int = 2) -> list[tuple[bytes | None, bytes | None]]:
    """Labels of these payments."""
    draw = random.Random(seed)
    return [
        (b"card", encoded(LABEL_SCHEMA, 2, {"id": f"p{number}", "fraud": draw.random() < 0.3})) for number in numbers
    ]
