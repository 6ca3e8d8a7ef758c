"""A partition that no broker leads for the moment, as behind a restart: it is asked for again, and is not missing."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY, MagicMock

import pytest
from confluent_kafka import KafkaError, KafkaException

import stream.kafka.admin
import stream.kafka.reader
from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.errors import RetriableError
from stream.kafka.admin import Admin
from stream.kafka.consumer_errors import NOT_LED
from stream.kafka.reader import Reader
from stream.records import TopicPartition
from tests.conftest import MakeTopic
from tests.runtime.waiting import wait_until

SETTINGS = KafkaSettings("group", "id")
SOURCE = TopicPartition("payments", 0)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[MagicMock]:
    """Stands in for what talks to the broker, which knows the topic."""
    client = MagicMock()
    client.list_topics.return_value = SimpleNamespace(
        topics={SOURCE.topic: SimpleNamespace(error=None, partitions={0: None})}
    )
    for module in (stream.kafka.admin, stream.kafka.reader):
        monkeypatch.setattr(module, "make_client", lambda kind, config: client)
    return client


def refused(code: int) -> KafkaException:
    """What librdkafka raises."""
    return KafkaException(KafkaError(code))


def answered(result: Any = None, error: KafkaException | None = None) -> Future[Any]:
    """What the admin client gives for a partition."""
    future: Future[Any] = Future()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return future


@pytest.mark.parametrize("code", NOT_LED)
def test_the_offsets_of_a_partition_are_asked_for_until_somebody_leads_it(client: MagicMock, code: int) -> None:
    """A worker that starts beside its broker's restart does not end because of it."""
    client.get_watermark_offsets.side_effect = [refused(code), (3, 7)]
    assert Reader(SETTINGS).watermarks(SOURCE) == (3, 7)

    client.list_topics.reset_mock()
    answers = iter([answered(error=refused(code)), answered(SimpleNamespace(offset=7))])
    client.list_offsets.side_effect = lambda wanted, **_: dict.fromkeys(wanted, next(answers))
    assert Admin(SETTINGS).end(SOURCE) == 7
    client.list_topics.assert_called_with(SOURCE.topic, timeout=ANY)


@pytest.mark.parametrize("code", NOT_LED)
def test_where_nobody_leads_a_partition_for_long_that_is_said(
    client: MagicMock, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Not that the topic is missing, which librdkafka's word for it would mean elsewhere."""
    monkeypatch.setattr(stream.kafka.reader, "_VISIBLE_WITHIN_S", 0.0)
    monkeypatch.setattr(stream.kafka.admin, "_LED_WITHIN_S", 0.0)
    client.get_watermark_offsets.side_effect = refused(code)
    client.offsets_for_times.side_effect = refused(code)
    client.list_offsets.side_effect = lambda wanted, **_: dict.fromkeys(wanted, answered(error=refused(code)))
    reader, admin = Reader(SETTINGS), Admin(SETTINGS)
    for ask in (lambda: reader.watermarks(SOURCE), lambda: reader.since(SOURCE, 0), lambda: admin.end(SOURCE)):
        with pytest.raises(RetriableError, match="offsets of payments: no broker leads a partition of it"):
            ask()


def test_who_asked_while_a_broker_restarted_is_answered_once_it_is_back(broker: LocalBroker, topic: MakeTopic) -> None:
    """The clients are those of before, which know of a leader that is none any more."""
    source = TopicPartition(topic("asked", 1), 0)
    settings = KafkaSettings("group", "id", broker.bootstrap_servers)
    admin, reader = Admin(settings, timeout_s=5), Reader(settings)
    restart = threading.Thread(target=broker.restart)
    restart.start()
    asked: list[Callable[[], object]] = [
        lambda: admin.end(source),
        lambda: reader.watermarks(source),
        lambda: reader.since(source, 0),
    ]
    while restart.is_alive():
        for ask in asked:
            with suppress(RetriableError):
                ask()

    def are_answered() -> bool:
        with suppress(RetriableError):
            return [ask() for ask in asked] == [0, (0, 0), 0]
        return False

    wait_until(are_answered, "offsets", limit_s=60)
    reader.close()
