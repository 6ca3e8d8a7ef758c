"""The same job as a good engineer writes it in an afternoon: fastavro and River, one event after the other."""

import io
from typing import Any

import fastavro
import orjson
from river import drift, linear_model, preprocessing

from benchmarks.card_app import HALFLIVES
from benchmarks.card_events import SCHEMA

_HEADER_BYTES = 5
_SECONDS = {name: float(halflife.removesuffix("s")) for name, halflife in HALFLIVES.items()}


def _plain_schema() -> fastavro.types.Schema:
    """The schema without the logical type: a datetime object for each event would make the loop slower."""
    schema = orjson.loads(SCHEMA)
    for field in schema["fields"]:
        if field["name"] == "ts":
            field["type"] = "long"
    return fastavro.parse_schema(schema)


class CardLoop:
    """Bytes of one event in, bytes of one prediction out; keeps its state in dicts."""

    def __init__(self) -> None:
        self._schema = _plain_schema()
        self._cards: dict[str, list[float]] = {}
        self._model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
        self._adwin = drift.ADWIN()

    def handle(self, value: bytes) -> bytes:
        """Decode, predict, learn, watch the error; returns the prediction as JSON."""
        if value[0] != 0:
            raise ValueError("not Confluent's wire format")
        event = fastavro.schemaless_reader(io.BytesIO(value[_HEADER_BYTES:]), self._schema, None)
        features = self._features(event)
        score = self._model.predict_proba_one(features).get(True, 0.5)
        label = event["label"]
        self._model.learn_one(features, bool(label))
        self._adwin.update(abs(label - score))
        return orjson.dumps({"id": event["id"], "score": score, "drift": self._adwin.drift_detected})

    def _features(self, event: dict[str, Any]) -> dict[str, float]:
        amount, at_ms = event["amount"], event["ts"]
        state = self._cards.get(event["card"])
        features = {}
        if state is None:
            state = self._cards[event["card"]] = [at_ms, *[0.0] * (2 * len(_SECONDS))]
        else:
            features["idle_s"] = (at_ms - state[0]) / 1000
        elapsed_s = (at_ms - state[0]) / 1000
        place = 1
        for name, halflife_s in _SECONDS.items():
            fade = 0.5 ** (elapsed_s / halflife_s)
            count = state[place] = state[place] * fade + 1.0
            total = state[place + 1] = state[place + 1] * fade + amount
            features[f"count_{name}"] = count
            features[f"sum_{name}"] = total
            features[f"ratio_{name}"] = amount / (total / count)
            place += 2
        features["amount"] = amount
        state[0] = at_ms
        return features
