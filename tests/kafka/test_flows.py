"""Which records of a consumer are handed over, and that none is twice; with a scripted consumer."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from confluent_kafka import Message

from stream.kafka.flows import Flows
from stream.records import TopicPartition

SOURCE = TopicPartition("labels", 0)


class Consumer:
    """Gives the messages that a test lies ready, and notes where it was told to go on."""

    def __init__(self) -> None:
        self.ready: list[Message] = []
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
        """Nothing follows."""

    def pause(self, positions: list[Any]) -> None:
        """Nothing follows."""

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
    """Its late look at the beginning moves a partition that flows, also between two messages: it is sought again."""
    consumer.deliver(*came)
    assert taken(flows) == handed_over
    wanted = handed_over[-1] + 1 if handed_over else 3099
    assert [line["wanted"] for line in logged] == [wanted]
    consumer.deliver(wanted, wanted + 5)
    assert taken(flows) == [wanted, wanted + 5]
    assert consumer.sought == [3099, wanted]


def test_holes_are_no_going_back(consumer: Consumer, flows: Flows) -> None:
    """Aborted records and markers leave them."""
    consumer.deliver(3100, 3105, 3106)
    assert taken(flows) == [3100, 3105, 3106]
    assert consumer.sought == [3099]
