"""The sender with a scripted client in place of librdkafka: what it loses is told, and what ends it is raised."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.config import KafkaSettings
from stream.errors import ConfigError, RetriableError
from stream.kafka import sender as module
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.producing import Failure
from stream.kafka.sender import Sender
from tests.kafka.scripted import output

SETTINGS = KafkaSettings(bootstrap_servers="nowhere:9092", group_id="group", transactional_id="app-0")
WITHIN_S = 60.0


class Message:
    """What a delivery report is about."""

    def topic(self) -> str:
        """Always predictions."""
        return "predictions"


class Client:
    """The part of confluent_kafka.Producer that the sender needs: nothing is delivered before somebody says so."""

    def __init__(self, config: Mapping[str, Any], **_: Any) -> None:
        self.on_delivery = config["on_delivery"]
        self.held: list[bytes] = []
        self.delivered: list[bytes] = []
        self.fails = False
        self.is_full = False
        self.at_produce: Callable[[], None] = lambda: None
        self.at_flush: Callable[[], None] = lambda: None

    def produce(self, topic: str, value: bytes, *_: Any) -> None:
        """Take it, unless full."""
        if self.is_full:
            raise BufferError("Local: Queue full")
        self.held.append(value)
        self.at_produce()

    def poll(self, wait_s: float) -> int:
        """Nothing to tell."""
        return 0

    def flush(self, wait_s: float) -> int:
        """Deliver what is held, or lose it; what comes meanwhile stays held."""
        held, self.held = self.held, []
        self.at_flush()
        for value in held:
            if self.fails:
                self.on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT, "timed out"), Message())
            else:
                self.delivered.append(value)
        return 0

    def purge(self) -> None:
        """What is held is lost."""
        self.fails = True

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """The clients that were made."""
    made: list[Client] = []

    def make(config: Mapping[str, Any], **options: Any) -> Client:
        made.append(Client(config, **options))
        return made[-1]

    monkeypatch.setattr(module, "Producer", make)
    return made


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender; nothing of it is left when the test is over."""
    sender = Sender(SETTINGS, BrokerHealth())
    yield sender
    closing = threading.Thread(target=sender.close)
    closing.start()
    closing.join(WITHIN_S)
    assert not closing.is_alive()


LOST = Failure("1 records were not delivered, such as one for predictions: timed out", is_final=False)


def flushed(sender: Sender) -> Failure | Exception | None:
    """What a flush says or raises; fails if it waits for ever."""
    answers: list[Failure | Exception | None] = []

    def flush() -> None:
        try:
            answers.append(sender.flush())
        except (ConfigError, RetriableError) as error:
            answers.append(error)

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    assert answers, "the flush waits for ever"
    return answers[0]


def test_what_is_sent_is_delivered_once(sender: Sender, clients: list[Client]) -> None:
    """In order, and a flush says that nothing failed."""
    sender.send((output("predictions", [b"a", b"b"]), output("predictions", [b"c"])))
    assert flushed(sender) is None
    assert clients[0].delivered == [b"a", b"b", b"c"]


def test_what_the_next_cycle_sent_to_a_producer_that_lost_a_record_is_told_by_the_next_flush(
    sender: Sender, clients: list[Client]
) -> None:
    """While a lost record shows, the next cycle's is being handed over: it goes with that producer, and counts."""
    sender.send((output("predictions", [b"first"]),))
    assert flushed(sender) is None
    (client,) = clients
    is_handed_over, is_flushed = threading.Event(), threading.Event()

    def hold_up() -> None:
        is_handed_over.set()
        is_flushed.wait(WITHIN_S)

    def send_more() -> None:
        client.at_produce = hold_up
        sender.send((output("predictions", [b"next"]),))
        assert is_handed_over.wait(WITHIN_S)
        client.fails = True

    sender.send((output("predictions", [b"lost"]),))
    client.at_flush = send_more
    assert flushed(sender) == LOST
    client.at_flush = lambda: None
    is_flushed.set()

    assert flushed(sender) == LOST
    sender.send((output("predictions", [b"lost", b"next"]),))
    assert flushed(sender) is None
    assert clients[-1] is not client
    assert clients[-1].delivered == [b"lost", b"next"]


def test_what_ends_its_thread_is_raised_by_the_flush(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for ever for a thread that is gone."""

    def refuse(config: Mapping[str, Any], **_: Any) -> Client:
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no such file"))

    monkeypatch.setattr(module, "Producer", refuse)
    sender.send((output("predictions", [b"a"]),))

    assert isinstance(flushed(sender), ConfigError)
    sender.send((output("predictions", [b"b"]),))
    assert isinstance(flushed(sender), ConfigError)


def test_a_full_queue_does_not_hold_up_the_end(clients: list[Client]) -> None:
    """No broker makes room any more: closing gives up what is not acknowledged."""
    sender = Sender(SETTINGS, BrokerHealth())
    sender.send((output("predictions", [b"a"]),))
    assert flushed(sender) is None
    clients[0].is_full = True
    sender.send((output("predictions", [b"b"]),))

    closing = threading.Thread(target=sender.close, daemon=True)
    closing.start()
    closing.join(WITHIN_S)

    assert not closing.is_alive()
    assert isinstance(flushed(sender), RetriableError)
