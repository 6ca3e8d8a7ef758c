"""Which records of a consumer are handed over, and that none is twice; with a scripted consumer, and a real one."""

import time
from collections.abc import MutableMapping
from typing import Any

import pytest
from confluent_kafka import Consumer as RealConsumer
from confluent_kafka import Message, Producer

from stream.cli.broker.local import LocalBroker
from stream.kafka.flows import Flows
from stream.records import TopicPartition
from tests.conftest import MakeTopic

SOURCE = TopicPartition("labels", 0)


class Consumer:
    """Gives the messages that a test lies ready, and notes where it was told to go on."""

    def __init__(self) -> None:
        self.ready: list[Message] = []
        self.assigned: list[int] = []
        self.unassigned: list[str] = []
        self.sought: list[int] = []

    def deliver(self, *offsets: int) -> None:
        """Lie messages with these offsets ready."""
        self.ready += [Message(topic=SOURCE.topic, partition=SOURCE.partition, offset=at, value=b"v") for at in offsets]

    def poll(self, timeout_s: float) -> Message | None:
        """The first message."""
        return self.ready.pop(0) if self.ready else None

    def consume(self, records: int, timeout_s: float) -> list[Message]:
        """The others."""
        taken, self.ready = self.ready[:records], self.ready[records:]
        return taken

    def seek(self, position: Any) -> None:
        """Note it."""
        self.sought.append(position.offset)

    def incremental_assign(self, positions: list[Any]) -> None:
        """Note from where."""
        self.assigned += [position.offset for position in positions]

    def incremental_unassign(self, positions: list[Any]) -> None:
        """Note what; the client refuses what it does not have."""
        assert self.assigned
        self.unassigned += [position.topic for position in positions]

    def pause(self, positions: list[Any]) -> None:
        """The client refuses what it does not have."""
        assert self.assigned

    def resume(self, positions: list[Any]) -> None:
        """Nothing follows."""


@pytest.fixture
def consumer() -> Consumer:
    """Nothing is ready."""
    return Consumer()


@pytest.fixture
def flows(consumer: Consumer) -> Flows:
    """One partition, to be read from offset 3099 on."""
    made = Flows(consumer)
    made.add([SOURCE])
    made.fetch(SOURCE, 3099)
    return made


def taken(flows: Flows) -> list[int]:
    """Offsets of what is handed over now."""
    return [int(offset) for batch in flows.consume(0, 1000) for offset in batch.offsets]


@pytest.mark.parametrize(
    ("came", "handed_over"),
    [
        ((0, 1, 2), []),
        ((3099, 0, 1, 2), [3099]),
        ((3099, 3102, 3102, 3103), [3099, 3102]),
        ((3099, 3100, 3100), [3099, 3100]),
    ],
)
def test_a_consumer_that_goes_back_hands_nothing_over_twice(
    consumer: Consumer,
    flows: Flows,
    logged: list[MutableMapping[str, Any]],
    came: tuple[int, ...],
    handed_over: list[int],
) -> None:
    """Should it move of itself, between two messages too, it is sought again, and that is said."""
    consumer.deliver(*came)
    assert taken(flows) == handed_over
    wanted = handed_over[-1] + 1 if handed_over else 3099
    assert [line["wanted"] for line in logged] == [wanted]
    consumer.deliver(wanted, wanted + 5)
    assert taken(flows) == [wanted, wanted + 5]
    assert consumer.sought == [wanted]


def test_holes_are_no_going_back(consumer: Consumer, flows: Flows) -> None:
    """Aborted records and markers leave them."""
    consumer.deliver(3100, 3105, 3106)
    assert taken(flows) == [3100, 3105, 3106]
    assert consumer.sought == []


def test_a_partition_is_assigned_with_its_first_position(consumer: Consumer, flows: Flows) -> None:
    """No placeholder is looked up, whose late answer would move it; another position is sought where it is."""
    assert (consumer.assigned, consumer.sought) == ([3099], [])
    flows.fetch(SOURCE, 5000)
    assert (consumer.assigned, consumer.sought) == ([3099], [5000])
    flows.remove([SOURCE])
    assert consumer.unassigned == ["labels"]


def test_a_partition_that_was_not_fetched_is_given_back_and_paused_without_the_client(consumer: Consumer) -> None:
    """It has never heard of it, and would refuse."""
    flows = Flows(consumer)
    flows.add([SOURCE])
    flows.pause(SOURCE)
    flows.remove([SOURCE])
    assert SOURCE not in flows
    assert (consumer.assigned, consumer.unassigned) == ([], [])


def test_a_partition_that_was_given_back_paused_delivers_when_it_comes_again(
    broker: LocalBroker, topic: MakeTopic
) -> None:
    """On a real broker: librdkafka would keep it paused for ever, and nobody would be told."""
    source = TopicPartition(topic("payments"), 0)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for _ in range(10):
        producer.produce(source.topic, b"value", partition=source.partition)
    producer.flush()
    consumer = RealConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": source.topic})
    flows = Flows(consumer)

    def next_offset() -> int:
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at:
            for batch in flows.consume(0.1, 1000):
                return int(batch.offsets[0])
        raise AssertionError("nothing came")

    flows.add([source])
    flows.fetch(source, 3)
    assert next_offset() == 3
    flows.pause(source)
    flows.remove([source])
    flows.add([source])
    flows.fetch(source, 5)
    assert next_offset() == 5
    consumer.close()
