"""The dead-letter topic of an app: reading all of it, and sending letters back in one transaction."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaException, Producer

from stream.cli.connection import existing_topic, reachable_admin
from stream.cli.dead_letters.letters import REPLAYED_HEADER, Letter, letters_of, pack_offsets
from stream.cli.tailing.reading import Bounds, TopicReader
from stream.config import KafkaSettings
from stream.engine.dead_letters import without_reason
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.clients import make_client

_WAIT_S = 15.0
_ROOM_WAIT_S = 0.1
# Offsets named by one marker: a header of at most some 12 KB.
_OFFSETS_A_MARKER = 1_000
# At least librdkafka's smallest; a replay of very many letters takes some seconds.
_TRANSACTION_TIMEOUT_MS = 60_000


class DeadLetterTopic:
    """Dead letters of one app.

    Args:
        settings: of the app; the transactional id is made from its group.
        topic: its dead-letter topic.

    Raises:
        ConfigError: there is no such topic.
        RetriableError: no broker answers.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._admin = reachable_admin(settings)
        self._partitions = existing_topic(self._admin, topic, "`stream topics create APP` creates it").partitions

    def read(self) -> tuple[Letter, ...]:
        """All letters that are there, in the order of partition and offset."""
        with TopicReader(self._settings, self._topic, range(self._partitions)) as reader:
            bounds = reader.bounds()
            messages = list(reader.until_end({partition: each.low for partition, each in bounds.items()}, bounds))
        messages.sort(key=lambda message: (message.partition(), message.offset()))
        return letters_of(messages)

    def replay(self, chosen: Callable[[Letter], bool]) -> int:
        """Send letters back to the partitions they came from, and mark them, all in one transaction.

        Whoever replays the same app's letters at the same time is fenced before this reads what was sent back
        already: no letter is sent twice.

        Args:
            chosen: which; those that were sent back already are left out.

        Returns:
            How many were sent.

        Raises:
            RetriableError: the transaction did not succeed; nothing was sent. Call again.
            ConfigError: a topic that a letter came from is not there any more, or a record too large for the
                dead-letter topic is gone from it, or a right is missing. Nothing was sent.
        """
        config = {
            **client_config.idempotent_producer(self._settings),
            "transactional.id": f"{self._settings.group_id}-dead-letters-replay",
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        producer = make_client(Producer, config)
        try:
            producer.init_transactions(_WAIT_S)
            letters = [letter for letter in self.read() if not letter.is_replayed and chosen(letter)]
            if not letters:
                return 0
            self._check_sources(letters)
            letters = [self._whole(letter) if letter.checksum else letter for letter in letters]
            producer.begin_transaction()
            self._produce(producer, letters)
            producer.commit_transaction(_WAIT_S)
        except KafkaException as error:
            with suppress(KafkaException):
                producer.abort_transaction(_WAIT_S)
            raise RetriableError(f"nothing was sent back: {error.args[0].str()}. Try again") from error
        return len(letters)

    def _check_sources(self, letters: Iterable[Letter]) -> None:
        wanted: dict[str, int] = {}
        for letter in letters:
            wanted[letter.source_topic] = max(wanted.get(letter.source_topic, 0), letter.source_partition)
        for topic, state in self._admin.describe(wanted).items():
            if state is None or state.partitions <= wanted[topic]:
                raise ConfigError(
                    f"dead letters came from {topic}, partition {wanted[topic]}, which is not there any more"
                )

    def _whole(self, letter: Letter) -> Letter:
        """A letter of a record that was too large, with the key, value and headers that its source still has."""
        partition, offset = letter.source_partition, letter.source_offset
        with TopicReader(self._settings, letter.source_topic, [partition]) as reader:
            one = {partition: Bounds(offset, offset + 1)}
            is_there = reader.bounds()[partition].low <= offset
            found = next(iter(reader.until_end({partition: offset}, one)), None) if is_there else None
        if found is None or hashlib.sha256(found.value() or b"").hexdigest() != letter.checksum:
            raise ConfigError(
                f"dead letter {letter.id} was too large to hold its record, and "
                f"{letter.source_topic}/{partition}/{offset} does not have it any more: "
                "leave it out (--offsets, or the ids of the others)"
            )
        headers = tuple(without_reason(found.headers() or ()))
        return replace(letter, key=found.key(), value=found.value(), headers=headers)

    def _produce(self, producer: Any, letters: Sequence[Letter]) -> None:
        for letter in letters:
            _send(
                producer,
                letter.source_topic,
                letter.value,
                letter.key,
                letter.source_partition,
                letter.timestamp_ms,
                list(letter.headers),
            )
        for partition in sorted({letter.partition for letter in letters}):
            offsets = [letter.offset for letter in letters if letter.partition == partition]
            for first in range(0, len(offsets), _OFFSETS_A_MARKER):
                packed = pack_offsets(offsets[first : first + _OFFSETS_A_MARKER]).encode()
                _send(producer, self._topic, None, None, partition, 0, [(REPLAYED_HEADER, packed)])


def _send(
    producer: Any,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    partition: int,
    timestamp_ms: int,
    headers: list[tuple[str, bytes | None]],
) -> None:
    """Timestamp 0 is now."""
    while True:
        try:
            producer.produce(topic, value, key, partition, timestamp=max(timestamp_ms, 0), headers=headers)
        except BufferError:
            producer.poll(_ROOM_WAIT_S)
            continue
        return
