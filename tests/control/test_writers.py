"""Alerts are read by the schema that wrote them."""

import asyncio
from dataclasses import replace

import pytest

from stream.control import writers
from stream.control.alerts import Alert
from stream.control.wire import UnreadableRecord, decode_alert, encode_alert
from stream.control.writers import FetchText, Writers
from stream.errors import RetriableError
from tests.control.samples import ALERT, WRITERS, confluent, written_later


def read(value: bytes, fetch: FetchText = WRITERS.get) -> Alert:
    """Read as the agent does."""
    return decode_alert(value, asyncio.run(Writers(fetch).schema_of(value)))


def test_an_alert_of_a_later_release_is_read_by_its_own_schema() -> None:
    """More fields, another order and a new symbol: what this release knows is read, the symbol is the default's."""
    assert read(written_later(ALERT)) == ALERT
    assert read(written_later(ALERT, "PANIC")) == replace(ALERT, severity="unknown")


def test_each_schema_is_asked_for_once() -> None:
    """Ten alerts, one question; what is not in Confluent's format asks nothing."""
    asked = []

    def fetch(schema_id: int) -> str | None:
        asked.append(schema_id)
        return WRITERS.get(schema_id)

    known = Writers(fetch)
    for _ in range(10):
        assert decode_alert(confluent(ALERT), asyncio.run(known.schema_of(confluent(ALERT)))) == ALERT
    assert asyncio.run(known.schema_of(encode_alert(ALERT))) is None
    assert asked == [7]


@pytest.mark.parametrize(
    ("schema_id", "sentence"),
    [
        (9, "schema does not resolve to schemas/alert/v1.avsc"),
        (10, "by which an alert was written does not parse"),
        (11, "the registry has no schema 11"),
    ],
)
def test_a_schema_that_is_of_no_use_leaves_its_record_aside(schema_id: int, sentence: str) -> None:
    """Foreign, damaged or unknown: the record cannot be read, and the sentence says why."""
    with pytest.raises(UnreadableRecord, match=sentence):
        read(confluent(ALERT, schema_id))


def test_a_registry_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert waits for its schema; it is not left aside."""
    monkeypatch.setattr(writers, "_RETRY_DELAY_S", 0.0)
    answers: list[str | RetriableError] = [RetriableError("no answer"), RetriableError("no answer"), WRITERS[7]]

    def fetch(schema_id: int) -> str | None:
        answer = answers.pop(0)
        if isinstance(answer, RetriableError):
            raise answer
        return answer

    assert read(confluent(ALERT), fetch) == ALERT
