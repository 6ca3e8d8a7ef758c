"""Reads partitions outside any group: journal, snapshots, watermarks, and what the command line shows (rule 25)."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from stream.config import KafkaSettings
from stream.engine.protocol import CommittedOffset
from stream.errors import RetriableError
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.consumer_errors import NOT_LED, check_message_error, no_answer, no_offsets, raise_if_refused
from stream.kafka.packing import group_by_partition, pack_batch
from stream.records import RecordBatch, TopicPartition

_REQUEST_S = 5.0
# A topic that was created just now is not known to every broker at once.
_NOT_KNOWN_YET = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, *NOT_LED)
_VISIBLE_WITHIN_S = 3.0
_VISIBLE_AGAIN_S = 0.05
_POLL_S = 0.1
# A partition that is read to its end delivers something within this time, or the broker is not answering.
_SILENCE_S = 30.0


class Reader:
    """A consumer that never joins its group; reads committed records only (rule 17). Belongs to one thread.

    >>> with Reader(settings) as reader:                                      # doctest: +SKIP
    ...     for batch in reader.read_to_end(TopicPartition("payments", 0), 0):
    ...         print(len(batch))
    """

    def __init__(
        self, settings: KafkaSettings, records: int = 10_000, config: client_config.Config | None = None
    ) -> None:
        self._servers = settings.bootstrap_servers
        self._health = BrokerHealth()
        config = config or client_config.reader(settings)
        self._consumer = make_client(Consumer, {**config, "error_cb": self._health.on_error})
        self._records = records
        self._unfinished: set[TopicPartition] = set()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def watermarks(self, source: TopicPartition) -> tuple[int, int]:
        """The first offset still there, and the last stable offset (behind the last committed record).

        Raises:
            ConfigError: the topic does not exist, or may not be described.
            RetriableError: no answer.
        """
        give_up_at = time.monotonic() + _VISIBLE_WITHIN_S
        while True:
            try:
                answer = self._consumer.get_watermark_offsets(Position(*source), timeout=_REQUEST_S, cached=False)
            except KafkaException as raised:
                error = raised.args[0]
                if error.code() in _NOT_KNOWN_YET and time.monotonic() < give_up_at:
                    self.partitions(source.topic)
                    time.sleep(_VISIBLE_AGAIN_S)
                    continue
                raise no_offsets(error, source.topic) from raised
            if answer is None:
                raise RetriableError(f"offsets of {source.topic}[{source.partition}]: no answer in {_REQUEST_S:.0f} s")
            low, high = answer
            return low, high

    def since(self, source: TopicPartition, time_ms: int) -> int:
        """Offset of the first record with this timestamp or a later one; the last stable offset if there is none.

        Raises:
            RetriableError: no answer.
            ConfigError: the topic may not be read.
        """
        try:
            (found,) = self._consumer.offsets_for_times([Position(*source, time_ms)], timeout=_REQUEST_S)
        except KafkaException as raised:
            self.partitions(source.topic)  # where it has no leader the client asks nobody who leads it now
            raise no_offsets(raised.args[0], source.topic) from raised
        if found.error is not None:
            raise no_offsets(found.error, source.topic)
        return int(found.offset) if found.offset >= 0 else self.watermarks(source)[1]

    def partitions(self, topic: str) -> tuple[int, ...]:
        """The partitions of a topic.

        Raises:
            ConfigError: it does not exist (nor comes up within some seconds: a new topic takes a moment to be known),
                or the broker does not accept the credentials.
            RetriableError: no answer.
        """
        give_up_at = time.monotonic() + _VISIBLE_WITHIN_S
        while True:
            try:
                found = self._consumer.list_topics(topic, timeout=_REQUEST_S).topics[topic]
            except KafkaException as raised:
                self._consumer.poll(0)  # lets the client say what it noticed meanwhile
                raise no_answer(self._servers, raised.args[0], self._health) from raised
            if found.error is None:
                return tuple(sorted(found.partitions))
            if found.error.code() not in _NOT_KNOWN_YET or time.monotonic() > give_up_at:
                raise_if_refused(found.error, topic)
                raise RetriableError(f"topic {topic}: {found.error.str()}")
            time.sleep(_VISIBLE_AGAIN_S)

    def committed(self, sources: tuple[TopicPartition, ...]) -> dict[TopicPartition, CommittedOffset]:
        """Stable committed offsets of the group; those without a commit are absent.

        Raises:
            RetriableError: no answer in time, which is what a pending transaction looks like (rule 17): wait.
            ConfigError: the group may not be read.
        """
        try:
            positions = self._consumer.committed([Position(*source) for source in sources], timeout=_REQUEST_S)
        except KafkaException as raised:
            raise_if_refused(raised.args[0], "the consumer group")
            raise RetriableError(f"committed offsets: {raised.args[0].str()}") from raised
        return {
            TopicPartition(position.topic, position.partition): _committed(position)
            for position in positions
            if position.error is not None or position.offset >= 0
        }

    def group_metadata(self) -> Any:
        """For offsets that a transaction commits to this client's group, which has no members then."""
        return self._consumer.consumer_group_metadata()

    def start(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, in place of whatever was read before."""
        self._unfinished = set(starts)
        self._consumer.assign([Position(*source, offset) for source, offset in starts.items()])

    def stop(self) -> None:
        """Read nothing more: otherwise it would go on to fetch what is written later, and keep it."""
        self._consumer.unassign()

    @property
    def is_at_end(self) -> bool:
        """Whether the end of every partition was met since `start`. More may come later."""
        return not self._unfinished

    def poll(self, timeout_s: float) -> list[RecordBatch]:
        """What came since the last call, waiting `timeout_s` for the first record; a batch for each partition."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(self._records - 1, 0)]
        records = [message for message in messages if self._is_record(message)]
        return [pack_batch(*group) for group in group_by_partition(records).items()] if records else []

    def read_to_end(self, source: TopicPartition, offset: int) -> Iterator[RecordBatch]:
        """The records of one partition from `offset` up to its present end.

        Raises:
            RetriableError: nothing came for half a minute.
            TaskCorrupted: the offset is not in the log.
        """
        self.start({source: offset})
        give_up_at = time.monotonic() + _SILENCE_S
        try:
            while not self.is_at_end:
                batches = self.poll(_POLL_S)
                if batches:
                    give_up_at = time.monotonic() + _SILENCE_S
                elif time.monotonic() > give_up_at:
                    raise RetriableError(f"{source.topic}[{source.partition}]: nothing came for {_SILENCE_S:.0f} s")
                yield from batches
        finally:
            self.stop()

    def _is_record(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._unfinished.discard(TopicPartition(message.topic(), message.partition()))
        else:
            check_message_error(message)
        return False


def _committed(position: Any) -> CommittedOffset:
    if position.error is not None:
        raise_if_refused(position.error, position.topic)
        raise RetriableError(f"committed offset of {position.topic}[{position.partition}]: {position.error.str()}")
    return CommittedOffset(position.offset, position.metadata or "")
