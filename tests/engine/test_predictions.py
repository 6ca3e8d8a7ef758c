"""Predictions as bytes: whatever the lengths of ids and keys, each record is what fastavro would write."""

from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest

from stream import models
from stream.app import compile_app
from stream.config import TopicNames
from stream.engine.effects import OutputBatch
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small, encode_small
from stream.models.kernels.arguments import INTERCEPT
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, declare, encoded, plan_with_labels, task_of

HEADER = FORMAT.prediction_header or b""


def payment(event_id: str, card: str, amount: float = 9.5, text: str = "") -> tuple[bytes, bytes]:
    value = {"id": event_id, "card": card, "amount": amount, "at": T0, "text": text, "fraud": None}
    return card.encode(), encoded(EVENT_SCHEMA, 1, value)


def decoded(predictions: OutputBatch) -> list[dict[str, Any]]:
    """The records, by the shipped schema."""
    records = [predictions.data[start:end].tobytes() for start, end in predictions.values.tolist()]
    return [decode_small("prediction", record.removeprefix(HEADER)) for record in records]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 31, 32, 33, 64, 500])
def test_ids_and_keys_of_any_length_are_written_whole(length: int) -> None:
    """Texts are copied in blocks: nothing of what lies behind them gets in, and none of them is cut."""
    names = [f"{number}{'x' * length}" for number in range(9)]
    events = batch("payments", [payment(f"id-{name}", f"card-{name}") for name in names])

    (predictions,) = task_of(plan_with_labels()).process(events, T0).predictions

    for name, value, key in zip(names, predictions.values.tolist(), predictions.keys.tolist(), strict=True):
        record = predictions.data[value[0] : value[1]].tobytes()
        prediction = decode_small("prediction", record.removeprefix(HEADER))
        assert record == HEADER + encode_small("prediction", prediction)
        assert prediction["event_id"] == f"id-{name}"
        assert prediction["key"] == predictions.data[key[0] : key[1]].tobytes() == f"card-{name}".encode()


def test_ids_longer_than_expected_make_more_room() -> None:
    """Room is made for short ids at first; 100 events with ids of 2,000 bytes need ten times as much."""
    names = [f"{number}-{'y' * 2000}" for number in range(100)]
    events = batch("payments", [payment(name, "card") for name in names])

    (predictions,) = task_of(plan_with_labels()).process(events, T0).predictions

    assert [prediction["event_id"] for prediction in decoded(predictions)] == names


@cache
def plan_of_two(deciding: str) -> Plan:
    """Two linear models, of which one scales its inputs; the threshold is 0.9."""
    app = declare(has_label_topic=False)
    app.model("challenger", models.LogisticRegression())
    app.decide(by=deciding, threshold=0.9)
    return compile_app(app, {})


def last_of_two_payments(deciding: str) -> dict[str, Any]:
    """The prediction of 9.0 after 4.0 by the same card, by models whose weights and scales are set."""
    task = task_of(plan_of_two(deciding))
    champion, challenger = (model.arrays() for model in task.state.models)
    champion["scalars"][INTERCEPT] = 1.0
    champion["scalers"][:] = [[10.0] * 3, [np.log1p(9.0), 2.0, 2.0], [1.0, 4.0, 0.25]]  # count, mean, variance
    champion["weights"][:, 0] = [7.0, 3.0, -0.125]
    challenger["weights"][:, 0] = [0.5, -0.25, 2.0]
    challenger["table"][:, 0] = -1.5
    events = batch("payments", [payment("p0", "card", 4.0), payment("p1", "card", 9.0, "Taxi taxi")])
    return decoded(task.process(events, T0).predictions[0])[1]


def sigmoid(total: float) -> float:
    return float(1.0 / (1.0 + np.exp(-total)))


def test_the_strongest_features_of_the_deciding_model_come_with_what_each_adds() -> None:
    """Amount log1p(9), spend 4, unusual 9/4, "taxi" twice: weight times input, the three largest, largest first."""
    prediction = last_of_two_payments("challenger")

    found = [(item["feature"], item["value"]) for item in prediction["contributions"]]
    assert found == [
        ("unusual", pytest.approx(2.0 * 9 / 4)),
        ("words", pytest.approx(-1.5 * 2)),
        ("amount", pytest.approx(0.5 * np.log1p(9.0))),
    ]
    total = 4.5 - 3.0 + 0.5 * np.log1p(9.0) - 0.25 * 4
    assert prediction["score"] == pytest.approx(sigmoid(total))


def test_a_contribution_is_of_the_scaled_input() -> None:
    """Amount at its mean adds nothing and is left out; spend is one deviation above, unusual half a one."""
    prediction = last_of_two_payments("champion")

    found = [(item["feature"], item["value"]) for item in prediction["contributions"]]
    assert found == [
        ("spend", pytest.approx(3.0 * (4 - 2) / 2)),
        ("unusual", pytest.approx(-0.125 * (9 / 4 - 2) / 0.5)),
    ]
    assert prediction["score"] == pytest.approx(sigmoid(1.0 + 3.0 - 0.0625))


def test_every_models_score_stands_under_its_name_and_the_deciding_one_is_named_with_its_version() -> None:
    """Whoever decides: both scores in declared order; score, decision and version are the deciding model's."""
    by_champion, by_challenger = last_of_two_payments("champion"), last_of_two_payments("challenger")

    scores = [
        {"model": "champion", "label": None, "score": by_champion["score"]},
        {"model": "challenger", "label": None, "score": by_challenger["score"]},
    ]
    assert by_champion["scores"] == by_challenger["scores"] == scores
    assert (by_champion["model"], by_champion["decision"], by_champion["threshold"]) == ("champion", "true", 0.9)
    assert (by_challenger["model"], by_challenger["decision"]) == ("challenger", "false")
    digests = [item.digest for item in plan_of_two("champion").models]
    assert [by_champion["version"], by_challenger["version"]] == [digest[:16] for digest in digests]
    assert by_champion["version"] != by_challenger["version"]


def test_json_keeps_every_byte_of_a_key() -> None:
    """A character for each byte, as in Avro's JSON encoding; the record's own key is the bytes themselves."""
    keys = [b"card-1", b"\xff\x00\xc3\x28", "Jürgen".encode()]
    task = task_of(plan_with_labels(), format=OutputFormat(TopicNames.of("app"), None, None))

    (predictions,) = task.process(batch("payments", [(key, payment("p", "card")[1]) for key in keys]), T0).predictions

    said = [orjson.loads(predictions.data[start:end].tobytes()) for start, end in predictions.values.tolist()]
    assert [each["key"].encode("latin-1") for each in said] == keys
    assert said[0]["key"] == "card-1"
    assert [predictions.data[start:end].tobytes() for start, end in predictions.keys.tolist()] == keys
