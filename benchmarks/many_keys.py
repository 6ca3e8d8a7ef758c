"""An app whose state is a row of some 280 bytes for each of many keys, and its events."""

from functools import cache
from typing import Any

import numpy as np
import orjson

from stream import App, col, models
from stream.app import compile_app
from stream.avro import Encoder, Framing, Texts, column_batch, parse_schema
from stream.avro.build import ColumnValues
from stream.engine.plan import Plan
from stream.records import Ints, RecordBatch

EVENT_TOPIC = "many-keys"
_FIELDS: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "card", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "fraud", "type": "boolean"},
    ],
}
SCHEMA = orjson.dumps(_FIELDS).decode()
_HALFLIVES = ("1m", "5m", "15m", "1h", "3h", "12h", "1d", "3d", "7d")
_BEGIN_MS = 1_700_000_000_000
_DIGITS = 8


def plan_of_many_keys() -> Plan:
    """Nine weighted variances of ten features, all keyed."""
    app = App("many-keys")
    events = app.events(
        EVENT_TOPIC, schema=_FIELDS, key="card", time="at", label="fraud", lateness="1d", state_bytes=8 << 30
    )
    amount = col("amount")
    events.features(
        idle=col("at").since_last(), **{f"var_{halflife}": amount.ewm_var(halflife=halflife) for halflife in _HALFLIVES}
    )
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    return compile_app(app, {})


def events_of(keys: Ints) -> RecordBatch:
    """One event of each of these keys (up to 99,999,999), without offsets."""
    count = len(keys)
    cards = _texts(keys)
    draw = np.random.default_rng(int(keys[0]))
    columns: dict[str, ColumnValues] = {
        "card": cards,
        "amount": np.exp(draw.normal(3.0, 1.0, count)),
        "at": _BEGIN_MS + np.arange(count),
        "fraud": draw.random(count) < 0.01,
    }
    encoded = _encoder().encode(column_batch(_encoder().columns, columns, {}, count))
    data = np.concatenate((encoded.data, cards.data))
    return RecordBatch(
        EVENT_TOPIC,
        0,
        data,
        cards.bounds + len(encoded.data),
        encoded.values,
        np.arange(count),
        columns["at"],  # type: ignore[arg-type]
        np.full((count, 2), -1, np.int64),
    )


@cache
def _encoder() -> Encoder:
    return Encoder(parse_schema(SCHEMA), Framing.CONFLUENT, 1)


def _texts(numbers: Ints) -> Texts:
    places = 10 ** np.arange(_DIGITS - 1, -1, -1, dtype=np.int64)
    letters = (numbers[:, None] // places % 10 + ord("0")).astype(np.uint8)
    return Texts.from_offsets(letters.reshape(-1), np.arange(len(numbers) + 1, dtype=np.int64) * _DIGITS)
