"""Predictions as bytes: whatever the lengths of ids and keys, each record is what fastavro would write."""

import pytest

from stream.engine.small_avro import decode_small, encode_small
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, encoded, plan_with_labels, task_of

HEADER = FORMAT.prediction_header or b""


def payment(event_id: str, card: str) -> tuple[bytes, bytes]:
    value = {"id": event_id, "card": card, "amount": 9.5, "at": T0, "text": "", "fraud": None}
    return card.encode(), encoded(EVENT_SCHEMA, 1, value)


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

    written = [
        decode_small("prediction", predictions.data[start + len(HEADER) : end].tobytes())["event_id"]
        for start, end in predictions.values.tolist()
    ]
    assert written == names
