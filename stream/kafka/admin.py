"""Topics and groups: what is there, and creating what is not."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from stream.config import KafkaSettings
from stream.engine.protocol import TopicIdentity
from stream.errors import ConfigError, RetriableError, StreamError
from stream.kafka import client_config
from stream.kafka.answers import answer_to
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.consumer_errors import NOT_LED, no_answer, no_offsets, raise_if_refused
from stream.kafka.topic_plan import TopicSpec
from stream.records import TopicPartition

_REQUEST_S = 15.0
_VISIBLE_AGAIN_S = 0.05
_LED_WITHIN_S = 3.0
_NOT_LED_YET = (KafkaError.UNKNOWN_TOPIC_OR_PART, *NOT_LED)
_NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
# What an ordinary worker may lack, and does without: Describe on a topic does not include the right to its settings.
_NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]  # every setting with its value in force; empty without the right DescribeConfigs


@dataclass(frozen=True, slots=True)
class GroupClient:
    """Who a member of a group is."""

    client_id: str
    host: str  # as the broker sees it, such as /10.0.0.7
    instance_id: str = ""  # of a static member
    member_id: str = ""


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group as the broker sees it."""

    state: str  # "STABLE", "EMPTY", "DEAD", ... ("DEAD" too where no group of that name was ever there)
    members: Mapping[str, tuple[tuple[str, int], ...]]  # client id, host and member id: the partitions it has
    clients: tuple[GroupClient, ...] = ()  # the same members, in the same order


class Admin:
    """Every method blocks for 15 s at most, or as long as is said.

    Args:
        settings: which brokers, and how they are talked to.
        timeout_s: how long an answer may take; 15 s if None.

    Raises:
        RetriableError: no broker answers.
        ConfigError: a right is missing, or the broker does not accept the credentials.
    """

    def __init__(self, settings: KafkaSettings, timeout_s: float | None = None) -> None:
        self._timeout_s = timeout_s or _REQUEST_S
        self._servers = settings.bootstrap_servers
        self._health = BrokerHealth()
        config = {**client_config.admin_client(settings), "error_cb": self._health.on_error}
        self._client = make_client(AdminClient, config)

    def create(self, specs: Iterable[TopicSpec]) -> tuple[str, ...]:
        """Create the topics that are not there, and wait until they can be used; returns their names.

        Raises:
            ConfigError: one is there with another partition count, or the broker does not accept a setting.
        """
        wanted = {spec.name: spec for spec in specs}
        missing = [wanted[name] for name, state in self.describe(wanted).items() if state is None]
        if missing:
            self._create(missing)
        for name, state in self._when_visible(wanted).items():
            if state.partitions != wanted[name].partitions:
                raise ConfigError(
                    f"topic {name} is there with {state.partitions} partitions, {wanted[name].partitions} are needed: "
                    "the partitions of a task's topics have the same numbers (rule 13). Delete it, or rename the app's "
                    "topics with another prefix"
                )
        return tuple(spec.name for spec in missing)

    def describe(self, names: Iterable[str]) -> dict[str, TopicState | None]:
        """The topics by name; None for one that is not there."""
        known = self._metadata().topics
        found = {name: known.get(name) for name in names}
        present = [name for name, topic in found.items() if topic is not None and topic.error is None]
        configs = self._configs(present)
        return {
            name: TopicState(
                name,
                len(topic.partitions),
                min((len(each.replicas) for each in topic.partitions.values()), default=0),
                configs[name],
            )
            if topic is not None and name in configs
            else None
            for name, topic in found.items()
        }

    def group(self, group_id: str) -> GroupState:
        """The state of a group and who has which partitions."""
        answer = self._client.describe_consumer_groups([group_id], request_timeout=self._timeout_s)[group_id]
        try:
            group = answer_to(answer, self._timeout_s)
        except KafkaException as raised:
            if raised.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return GroupState("DEAD", {})
            raise self._problem(raised.args[0], f"group {group_id}") from raised
        members = {
            f"{member.client_id} {member.host} {member.member_id}": tuple(
                (item.topic, item.partition) for item in member.assignment.topic_partitions
            )
            for member in group.members
        }
        clients = (
            GroupClient(each.client_id, each.host, each.group_instance_id or "", each.member_id)
            for each in group.members
        )
        return GroupState(group.state.name, members, tuple(clients))

    def end(self, source: TopicPartition) -> int:
        """The end of a partition, records of transactions that are not over included."""
        return self.ends([source])[source]

    def ends(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The ends of partitions, records of transactions that are not over included."""
        return {source: at.offset for source, at in self._offsets(sources, OffsetSpec.latest()).items()}

    def log_starts(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that is still there, of every partition."""
        return {source: at.offset for source, at in self._offsets(sources, OffsetSpec.earliest()).items()}

    def first_since(self, sources: Iterable[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """The first offset whose record is of this time or later; -1 where there is none."""
        return {source: at.offset for source, at in self._offsets(sources, OffsetSpec.for_timestamp(time_ms)).items()}

    def newest_times_ms(self, sources: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The largest timestamp in every partition; -1 in an empty one.

        Ends of transactions count, whose time is the broker's own clock (seen on Kafka 4.1).
        """
        return {source: at.timestamp for source, at in self._offsets(sources, OffsetSpec.max_timestamp()).items()}

    def identities(self, names: Iterable[str]) -> dict[str, TopicIdentity | None]:
        """Id and partition count of topics by name; None for one that is not there."""
        wanted = list(names)
        answers = self._client.describe_topics(TopicCollection(wanted), request_timeout=self._timeout_s)
        found: dict[str, TopicIdentity | None] = {}
        for name in wanted:
            try:
                topic = answer_to(answers[name], self._timeout_s)
            except KafkaException as raised:
                if raised.args[0].code() not in _NOT_THERE:
                    raise self._problem(raised.args[0], f"topic {name}") from raised
                found[name] = None
            else:
                found[name] = TopicIdentity(str(topic.topic_id), len(topic.partitions))
        return found

    def topic_settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Every setting of topics that are there; none of those whose settings may not be read."""
        return self._configs(list(names))

    def broker_settings(self) -> dict[str, str]:
        """Settings of one broker; empty where they may not be read, which a worker's rights need not include."""
        resource = ConfigResource(ResourceType.BROKER, str(min(self._metadata().brokers)))
        answer = self._client.describe_configs([resource], request_timeout=self._timeout_s)[resource]
        try:
            entries = answer_to(answer, self._timeout_s)
        except KafkaException as raised:
            if raised.args[0].code() in _NOT_ALLOWED:
                return {}
            raise self._problem(raised.args[0], "settings of the broker") from raised
        return {name: entry.value or "" for name, entry in entries.items()}

    def brokers(self) -> tuple[str, ...]:
        """host:port of every broker: the way to ask whether the cluster answers."""
        return tuple(f"{broker.host}:{broker.port}" for broker in self._metadata().brokers.values())

    def topics(self) -> tuple[str, ...]:
        """Names of all topics that can be seen."""
        return tuple(self._metadata().topics)

    def _when_visible(self, names: Iterable[str]) -> dict[str, TopicState]:
        """The topics, once the broker that is asked knows of them: a creation shows up a little later."""
        wanted = tuple(names)
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            found = self.describe(wanted)
            visible = {name: state for name, state in found.items() if state is not None}
            if len(visible) == len(wanted):
                return visible
            if time.monotonic() > give_up_at:
                unseen = sorted(set(wanted) - set(visible))
                raise RetriableError(f"topics {', '.join(unseen)} were created, but {self._servers} does not show them")
            time.sleep(_VISIBLE_AGAIN_S)

    def _metadata(self, topic: str | None = None) -> Any:
        try:
            return self._client.list_topics(topic, timeout=self._timeout_s)
        except KafkaException as raised:
            raise_if_refused(raised.args[0], "cluster")
            self._client.poll(0)  # lets the client say what it noticed meanwhile
            raise no_answer(self._servers, raised.args[0], self._health) from raised

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._client.describe_configs(resources, request_timeout=self._timeout_s)
        configs = {}
        for resource, answer in answers.items():
            try:
                entries = answer_to(answer, self._timeout_s)
            except KafkaException as raised:
                if raised.args[0].code() not in _NOT_ALLOWED:
                    raise self._problem(raised.args[0], f"settings of topic {resource.name}") from raised
                entries = {}
            configs[resource.name] = {name: entry.value or "" for name, entry in entries.items()}
        return configs

    def _offsets(self, sources: Iterable[TopicPartition], spec: Any) -> dict[TopicPartition, Any]:
        """Ask again for a while where a partition's leader is not known yet, as of a topic that was just created."""
        wanted = {source: Position(*source) for source in sources}
        give_up_at = time.monotonic() + _LED_WITHIN_S
        while wanted:
            answers = self._client.list_offsets(
                dict.fromkeys(wanted.values(), spec),
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=self._timeout_s,
            )
            try:
                return {source: answer_to(answers[position], self._timeout_s) for source, position in wanted.items()}
            except KafkaException as raised:
                error = raised.args[0]
                topics = {each.topic for each in wanted}
                if error.code() not in _NOT_LED_YET or time.monotonic() > give_up_at:
                    raise self._no_offsets(error, topics) from raised
            for topic in topics:  # or the client goes on with the leader that it knew, for minutes (librdkafka 2.16)
                self._metadata(topic)
            time.sleep(_VISIBLE_AGAIN_S)
        return {}

    def _create(self, specs: list[TopicSpec]) -> None:
        topics = [NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config)) for spec in specs]
        for name, answer in self._client.create_topics(topics, request_timeout=self._timeout_s).items():
            try:
                answer_to(answer, self._timeout_s)
            except KafkaException as raised:
                error = raised.args[0]
                if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue  # another one created it meanwhile
                if error.retriable() or error.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                    raise self._problem(error, f"topic {name}") from raised
                raise ConfigError(f"topic {name} cannot be created: {error.str()}") from raised

    def _no_offsets(self, error: Any, topics: Iterable[str]) -> StreamError:
        names = ", ".join(sorted(topics))
        return no_offsets(error, names) if error.code() in NOT_LED else self._problem(error, f"offsets of {names}")

    def _problem(self, error: Any, what: str) -> RetriableError:
        raise_if_refused(error, what)
        return RetriableError(
            f"{what}: no answer from {self._servers} ({error.str()}). Is Kafka running? `stream broker up` starts one"
        )
