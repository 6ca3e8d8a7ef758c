"""The consumer that is a member of the group: only the event topic is subscribed (rule 13)."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer

from stream.config import KafkaSettings
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.flows import Flows
from stream.records import TopicPartition

# Of rd_kafka_consumer_group_metadata_write (librdkafka 1.9 to 2.16).
_METADATA_TAG = b"CGMDv2:"

OnPartitions = Callable[[tuple[int, ...]], None]


class GroupMember:
    """Joins the group and tells what it gives, asks back and takes. All of it happens inside `flows.consume`.

    Args:
        settings: see KafkaSettings.
        topic: the event topic.
        group_protocol: "classic" or "consumer" (KIP-848).
        partitions: of the topic; each gets its share of the fetch budget.
        health: told of the client's errors.
        on_assigned: called when partitions were given; they deliver nothing yet.
        on_revoked: called when partitions are asked back; must have removed them when it returns (rule 16).
        on_lost: called when partitions are another's already, after their removal.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        group_protocol: str,
        partitions: int,
        health: BrokerHealth,
        *,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
        on_lost: OnPartitions,
    ) -> None:
        config = client_config.event_consumer(settings, group_protocol, partitions)
        self._consumer = make_client(Consumer, {**config, "error_cb": health.on_error})
        self._topic = topic
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        self.flows = Flows(self._consumer)
        self._is_told = False

    def join(self) -> None:
        """Subscribe; the first assignment comes while `flows.consume` is called."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._was_lost
        )

    @property
    def has_joined(self) -> bool:
        """Whether the group has answered: with partitions, or that there are none for this member.

        A classic member without partitions is told so; a KIP-848 one is not, but has an epoch then.
        """
        return self._is_told or _epoch(self.metadata()) > 0

    def metadata(self) -> Any:
        """The membership of this moment, for a transaction that begins (rule 7)."""
        return self._consumer.consumer_group_metadata()

    def member_id(self) -> str:
        """The group's name for this member; "" before it has joined. May be called by any thread."""
        return self._consumer.memberid() or ""

    def leave(self) -> None:
        """Leave the group at once, so that the others need not wait for the session to end."""
        self._consumer.close()

    # Each callback calls the client with no partitions: `flows` assigns each with its first position, and unassigns
    # what it had assigned. Without a call confluent-kafka would make its own, for all of them and at committed offsets.
    # What librdkafka tells the group to own is what the group gave, whatever is assigned of it (source, 2.16).

    def _assigned(self, _: Any, assigned: list[Any]) -> None:
        self._is_told = True
        numbers = tuple(sorted(item.partition for item in assigned))
        self.flows.add(TopicPartition(self._topic, number) for number in numbers)
        self._consumer.incremental_assign([])  # see below
        if numbers:
            self._on_assigned(numbers)

    def _revoked(self, _: Any, revoked: list[Any]) -> None:
        self._on_revoked(tuple(sorted(item.partition for item in revoked)))
        self._consumer.incremental_unassign([])

    def _was_lost(self, _: Any, lost: list[Any]) -> None:
        numbers = tuple(sorted(item.partition for item in lost))
        self.flows.remove(TopicPartition(self._topic, number) for number in numbers)
        self._consumer.incremental_unassign([])
        self._on_lost(numbers)


def _epoch(metadata: Any) -> int:
    """Generation or member epoch in serialized group metadata: behind a tag, before the names; 0 if it is not there."""
    serialized = bytes(metadata)
    if not serialized.startswith(_METADATA_TAG):
        return 0
    return int.from_bytes(serialized[len(_METADATA_TAG) : len(_METADATA_TAG) + 4], "little", signed=True)
