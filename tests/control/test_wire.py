"""Alerts, commands and rows as bytes."""

from dataclasses import asdict, fields, replace

import orjson
import pytest

from stream.control.alerts import Action, Alert, TrackedAlert, apply
from stream.control.wire import (
    UnreadableRecord,
    decode_alert,
    decode_command,
    decode_tracked,
    encode_alert,
    encode_command,
    encode_tracked,
    parsed_schema,
)
from stream.resources import schema_text
from tests.control.samples import ALERT, command, confluent

SHIPPED = parsed_schema(schema_text("alert"))


def test_an_alert_is_read_in_every_format_that_an_app_may_choose() -> None:
    """Confluent wire format, single-object encoding and JSON give the same alert."""
    as_json = orjson.dumps({**asdict(ALERT), "kind": "DRIFT", "severity": "WARNING"})

    assert decode_alert(confluent(ALERT), SHIPPED) == ALERT
    assert decode_alert(encode_alert(ALERT)) == ALERT
    assert decode_alert(as_json) == ALERT


def test_an_alert_of_no_model_has_none() -> None:
    """A feature's drift belongs to no model."""
    assert decode_alert(confluent(replace(ALERT, model=None)), SHIPPED).model is None


def test_commands_and_rows_come_back_as_they_were() -> None:
    """Encode, then decode: the same values."""
    acknowledge = command(Action.ACKNOWLEDGE, reason="ich schaue – später mehr")
    row = apply(TrackedAlert(ALERT, partition=3), acknowledge)

    assert decode_command(encode_command(acknowledge)) == acknowledge
    assert decode_tracked(encode_tracked(row)) == row


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"", "is not in a version of schemas/alert that this release can read"),
        (b"{", "an alert is no JSON"),
        (b"[1]", "is not in a version"),
        (b'{"id": "x"}', "an alert lacks after, app, before"),
        (confluent(ALERT)[:40], "does not decode by schemas/alert/v1.avsc"),
        (confluent(ALERT) + b"!", "has 1 bytes behind its last field"),
        (b"\xc3\x01" + bytes(20), "is not in a version"),
    ],
)
def test_damaged_bytes_are_one_readable_error(value: bytes, sentence: str) -> None:
    """Whatever lies on the topic, the agent can leave it aside and say why."""
    with pytest.raises(UnreadableRecord, match=sentence):
        decode_alert(value, SHIPPED if value.startswith(b"\0") else None)


@pytest.mark.parametrize("wrong", [{"severity": "LOUD"}, {"offset": "12"}, {"parameters": [1]}, {"offset": 2**63}])
def test_json_that_does_not_fit_the_schema_is_refused(wrong: dict[str, object]) -> None:
    """A wrong value is found when it is read, not when the row is written."""
    with pytest.raises(UnreadableRecord, match=r"does not fit schemas/alert/v1\.avsc"):
        decode_alert(orjson.dumps({**asdict(ALERT), "severity": "WARNING", "kind": "DRIFT", **wrong}, default=str))


def test_every_truncation_of_an_alert_is_refused() -> None:
    """No prefix of an alert is taken for an alert, and none raises anything else."""
    whole = confluent(ALERT)
    for length in range(len(whole)):
        with pytest.raises(UnreadableRecord):
            decode_alert(whole[:length], SHIPPED)


def test_an_alert_has_the_fields_of_its_schema() -> None:
    """A field that is added to the schema must be kept by the control plane too."""
    declared = [field["name"] for field in orjson.loads(schema_text("alert"))["fields"]]

    assert [field.name for field in fields(Alert)] == declared
