"""Makes a task begin anew: deletes what Kafka remembers of it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_END, ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from stream.config import InputTopics, KafkaSettings
from stream.engine.restore import RESET
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.answers import answer_to
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.consumer_errors import raise_if_refused
from stream.kafka.reader import Reader
from stream.kafka.stable import wait_until_stable
from stream.records import TopicPartition

_REQUEST_S = 15.0
_HAS_MEMBERS = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.FENCED_INSTANCE_ID)


class TaskReset:
    """Deletes offsets, journal and snapshots of tasks that nobody runs, one task after the other. Blocks.

    In this order a reset that was interrupted leaves a task whole, one that says so and does not start (marked offsets
    beside a journal), or one begun anew: snapshots whose cycles are not in the journal are never loaded (rule 22). It
    may be run again at any time.

    Args:
        settings: see KafkaSettings.
        topics: what the tasks read.
        store: of their snapshots.
    """

    def __init__(self, settings: KafkaSettings, topics: InputTopics, store: SnapshotStore) -> None:
        self._group_id = settings.group_id
        self._topics = topics
        self._store = store
        self._reader = Reader(settings)
        config = {**client_config.admin_client(settings), "error_cb": BrokerHealth().on_error}
        self._admin = make_client(AdminClient, config)

    def reset(self, partition: int) -> None:
        """Delete what is remembered of a task; the records that it wrote for others stay.

        Raises:
            ConfigError: the group has members, or a right is missing: Read on the group, Delete on the journal
                and on a repartition topic.
            RetriableError: no answer; call again.
        """
        self.mark(partition)
        if self._has_features():  # before the journal: where a task begins anew, its segments have the names of before
            self._empty(TopicPartition(self._topics.features, partition))
        self._empty(TopicPartition(self._topics.journal, partition))
        self._store.forget(partition)

    def mark(self, partition: int) -> None:
        """Let the task start no more until `reset` is done with it, unless it has not begun; raises as `reset`."""
        self._forget_offsets(tuple(TopicPartition(topic, partition) for topic in self._topics.sources))

    def discard_repartition(self, partition: int) -> None:
        """Delete what another stage sent to the task (rule 34), if one sends to it; raises as `reset`.

        Before that the tasks of all stages are marked: what one of them counted as sent, or as handled, is gone.
        """
        for topic in self._topics.repartition:
            self._empty(TopicPartition(topic, partition))

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def _has_features(self) -> bool:
        """The topic is named whether rows are spilled now or not: they may have been, and may be again."""
        if self._topics.horizon_ms:  # they are: where a right is missing, and the topic is not told, that is an error
            return True
        try:
            return self._topics.features in self._admin.list_topics(timeout=_REQUEST_S).topics
        except KafkaException as raised:
            raise RetriableError(f"topics were not told: {raised.args[0].str()}. Try again") from raised

    def _forget_offsets(self, sources: tuple[TopicPartition, ...]) -> None:
        """Offsets that are marked stand for no cycle. (The client cannot delete those of single partitions.)

        Those that the group has forgotten are marked too: by its journal alone the task would start. They wait for
        pending transactions of the dead, whose commit could otherwise come behind (rule 17); a group with members is
        refused by the broker.
        """
        self._stable(partial(self._reader.committed, sources))
        begins = {source: self._stable(partial(self._reader.watermarks, source))[0] for source in sources}
        positions = [Position(*source, begin, RESET) for source, begin in begins.items()]
        request = ConsumerGroupTopicPartitions(self._group_id, positions)
        answers = self._admin.alter_consumer_group_offsets([request], request_timeout=_REQUEST_S)
        try:
            changed = _answer(answers)
        except KafkaException as raised:
            raise self._refused(raised.args[0]) from raised
        for each in changed.topic_partitions:
            if each.error is not None:
                raise self._refused(each.error)

    def _empty(self, source: TopicPartition) -> None:
        request = self._admin.delete_records(
            [Position(*source, OFFSET_END)], request_timeout=_REQUEST_S, operation_timeout=_REQUEST_S
        )
        try:
            _answer(request)
        except KafkaException as raised:
            what = f"records of {source.topic}[{source.partition}]"
            raise_if_refused(raised.args[0], source.topic)
            raise RetriableError(f"{what} were not deleted: {raised.args[0].str()}. Try again") from raised
        self._stable(partial(self._check_empty, source))

    def _check_empty(self, source: TopicPartition) -> None:
        begin, end = self._reader.watermarks(source)
        if begin < end:
            raise RetriableError(f"{source.topic}[{source.partition}]: records are still there. Try again")

    def _refused(self, error: Any) -> Exception:
        if error.code() in _HAS_MEMBERS:
            return ConfigError(f"the group {self._group_id} has members: stop all workers of the app first")
        raise_if_refused(error, f"group {self._group_id}")
        return RetriableError(f"offsets of group {self._group_id}: {error.str()}. Try again")

    def _stable(self, read: Any) -> Any:
        return wait_until_stable(read, "positions", lambda: False)


def _answer(answers: Mapping[Any, Any]) -> Any:
    (answer,) = answers.values()
    return answer_to(answer, _REQUEST_S)
