"""Records into Kafka at a rate, with progress."""

import time
from collections.abc import Callable

from confluent_kafka import KafkaException, Producer

from stream.cli.producing.records import OutRecord
from stream.config import KafkaSettings
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.clients import make_client
from stream.kafka.producing import DeliveryFailures

_FLUSH_S = 30.0
_ROOM_WAIT_S = 0.1
# Callbacks are looked at this often while no rate holds the loop back.
_POLL_EVERY = 10_000


class Sender:
    """Sends records to one topic as Java's producer would place them (murmur2).

    Args:
        settings: how Kafka is reached.
        topic: where they go.
        rate: records a second; 0 for as fast as possible.
    """

    def __init__(self, settings: KafkaSettings, topic: str, rate: float) -> None:
        config = {**client_config.idempotent_producer(settings), "message.timeout.ms": int(_FLUSH_S * 1000)}
        self._producer = make_client(Producer, config)
        self._topic = topic
        self._rate = rate
        self._failures = DeliveryFailures()
        self._began = time.monotonic()
        self.count = 0

    @property
    def seconds(self) -> float:
        """Since the first record."""
        return time.monotonic() - self._began

    def send(self, record: OutRecord) -> None:
        """Send one, when it is due.

        Raises:
            ConfigError: it is larger than the topic's limit.
        """
        self._wait_until_due()
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    on_delivery=self._failures.on_delivery,
                    timestamp=record.timestamp_ms,
                )
                break
            except BufferError:
                self._producer.poll(_ROOM_WAIT_S)
            except KafkaException as error:
                raise ConfigError(f"{self._topic}: {error.args[0].str()} (record {self.count + 1:,})") from error
        self.count += 1
        if self.count % _POLL_EVERY == 0:
            self._producer.poll(0)

    def finish(self, on_wait: Callable[[int], None] = lambda left: None) -> None:
        """Wait until all have arrived.

        Raises:
            RetriableError: some did not.
        """
        left = self._producer.flush(_FLUSH_S)
        on_wait(left)
        if left:
            raise RetriableError(f"{self._topic}: {left:,} of {self.count:,} records were not acknowledged in time")
        if text := self._failures.take():
            raise RetriableError(text)

    def _wait_until_due(self) -> None:
        if not self._rate:
            return
        due = self._began + self.count / self._rate
        while (wait := due - time.monotonic()) > 0:
            self._producer.poll(wait)
