"""Reading topics outside any group: from where one wants, committed records only."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.config import KafkaSettings
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.clients import make_client
from stream.kafka.consumer_errors import no_offsets, raise_if_refused

_WAIT_S = 0.5
_PATIENCE_S = 10.0
_FIRST_BACK = 2  # how many times the wanted records are looked at first: offsets have holes


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition holds: offsets from `low` to `high` - 1."""

    low: int
    high: int


class TopicReader:
    """Reads partitions of one topic. Close it when done.

    Args:
        settings: how Kafka is reached.
        topic: it exists.
        partitions: which of its partitions.
    """

    def __init__(self, settings: KafkaSettings, topic: str, partitions: Sequence[int]) -> None:
        self._topic = topic
        self._partitions = tuple(partitions)
        self._consumer = make_client(Consumer, client_config.reader(settings))

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def __enter__(self) -> "TopicReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bounds(self) -> dict[int, Bounds]:
        """What each partition holds now; the end is that of the last committed transaction.

        Raises:
            RetriableError: no answer.
        """
        found = {}
        for partition in self._partitions:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, partition), timeout=_PATIENCE_S
                )
            except KafkaException as error:
                raise no_offsets(error.args[0], self._topic) from error
            found[partition] = Bounds(low, high)
        return found

    def until_end(self, starts: Mapping[int, int], bounds: Mapping[int, Bounds]) -> Iterator[Message]:
        """Records from these offsets up to the end that the bounds say.

        Args:
            starts: the first offset, by partition.
            bounds: what the partitions hold.

        Raises:
            RetriableError: nothing comes for ten seconds.
        """
        waiting = {p for p, start in starts.items() if start < bounds[p].high}
        if not waiting:
            return
        self._assign({p: starts[p] for p in waiting})
        quiet_since = time.monotonic()
        while waiting:
            message = self._consumer.poll(_WAIT_S)
            if message is None:
                if time.monotonic() - quiet_since > _PATIENCE_S:
                    raise RetriableError(f"{self._topic}: no more records came for {_PATIENCE_S:.0f} s")
                continue
            quiet_since = time.monotonic()
            partition = message.partition()
            if message.error():
                # What is left of an unfinished transaction lies behind this end.
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise self._problem(message.error())
                waiting.discard(partition)
            elif message.offset() < bounds[partition].high:
                yield message
                if message.offset() + 1 >= bounds[partition].high:
                    waiting.discard(partition)
        self._consumer.unassign()

    def last(self, count: int, bounds: Mapping[int, Bounds]) -> list[Message]:
        """The last records of all partitions together, by timestamp.

        Args:
            count: how many.
            bounds: what the partitions hold.
        """
        back = _FIRST_BACK * count
        while True:
            starts = {p: max(each.low, each.high - back) for p, each in bounds.items()}
            found = list(self.until_end(starts, bounds))
            per_partition = {p: sum(each.partition() == p for each in found) for p in bounds}
            if all(per_partition[p] >= count or starts[p] == bounds[p].low for p in bounds):
                break
            back *= 4
        found.sort(key=lambda each: (each.timestamp()[1], each.partition(), each.offset()))
        return found[-count:] if count else []

    def follow(self, starts: Mapping[int, int]) -> Iterator[Message]:
        """Records from these offsets on, for ever."""
        self._assign(starts)
        while True:
            message = self._consumer.poll(_WAIT_S)
            if message is None:
                continue
            if message.error() is None:
                yield message
            elif message.error().code() not in (KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN):
                raise self._problem(message.error())

    def _assign(self, starts: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, start) for p, start in starts.items()])

    def _problem(self, error: Any) -> RetriableError | ConfigError:
        raise_if_refused(error, self._topic)
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return ConfigError(f"{self._topic}: that offset is not there (any more): {error.str()}")
        return RetriableError(f"{self._topic}: {error.str()}")
