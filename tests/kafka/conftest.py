"""A worker's settings and topics on the session's broker."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from confluent_kafka import Producer

from stream.cli.broker.local import LocalBroker
from stream.config import InputTopics, KafkaSettings
from tests.conftest import MakeTopic
from tests.kafka.scripted import Answer, Scripted, scripted


class MakeWorker(Protocol):
    """What the fixture `worker` is."""

    def __call__(self, answer: Answer = ..., **changes: Any) -> Scripted:
        """Start a worker of the test's group; `changes` are settings that differ."""
        ...


@pytest.fixture
def inputs(topic: MakeTopic) -> InputTopics:
    """Topics of a task with two partitions."""
    return InputTopics(
        topic("events", 2), (topic("labels", 2),), topic("journal", 2), topic("snapshots", 2, cleanup_policy="compact")
    )


@pytest.fixture
def settings(broker: LocalBroker, inputs: InputTopics) -> KafkaSettings:
    """Settings of a worker; group and id are this test's own."""
    return settings_for(broker, inputs)


def settings_for(broker: LocalBroker, inputs: InputTopics, **changes: Any) -> KafkaSettings:
    """Settings for a group named after the event topic."""
    own = {"group_id": f"group-{inputs.events}", "transactional_id": f"id-{inputs.events}"}
    return KafkaSettings(
        **{**own, "bootstrap_servers": broker.bootstrap_servers, "registry_url": broker.registry_url, **changes}
    )


@pytest.fixture
def worker(broker: LocalBroker, inputs: InputTopics) -> Iterator[MakeWorker]:
    """Starts scripted workers, and closes them."""
    started: list[Scripted] = []

    def make(answer: Answer = lambda _: (), **changes: Any) -> Scripted:
        started.append(scripted(settings_for(broker, inputs, **changes), inputs, answer))
        return started[-1]

    yield make
    for each in started:
        each.transport.close()


@pytest.fixture
def produce(broker: LocalBroker) -> Iterator[Any]:
    """A plain producer: `produce(topic, value, key, partition)`, acknowledged when it returns."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})

    def send(topic: str, *values: bytes | None, partition: int = 0) -> None:
        for value in values:
            producer.produce(topic, value, b"key", partition)
        assert producer.flush(20) == 0

    yield send
    producer.close()
