"""The producer's side of a demo: records at a steady rate, and what is known of each event that was sent."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from stream.avro import parse_schema
from stream.cli.demo.blocks import Block
from stream.cli.demo.demos import Demo, read_schema_text
from stream.cli.demo.scores import Scores
from stream.cli.demo.stage import SchemaIds
from stream.cli.demo.streams import BLOCKS
from stream.cli.demo.writing import NO_EVENT, Record, RecordWriter
from stream.engine.plan import Plan
from stream.errors import StreamError
from stream.kernels.hashing import murmur2

# When the poisoned records go out, as shares of the events.
_POISONED_AT: Final = (0.25, 0.35, 0.45)
_FLUSH_S: Final = 10.0


class Sender:
    """Sends a demo's stream.

    Args:
        servers: the brokers.
        demo: which.
        plan: of its app, for the topics.
        ids: schema ids.
        planned: events.
        seed: of what is simulated.
        scores: hears of every event that is sent.
        partitions: of each topic.
    """

    def __init__(
        self,
        servers: str,
        demo: Demo,
        plan: Plan,
        ids: SchemaIds,
        planned: int,
        seed: int,
        scores: Scores,
        partitions: int = 1,
    ) -> None:
        self._partitions = partitions
        self._event_topic = plan.events.topic
        self._label_topic = plan.labels.topic if plan.labels else ""
        self._scores = scores
        self._failure: KafkaError | None = None
        # Idempotent: records keep their order, so that the offset of an event is the number of records before it.
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 1,
                "log_level": 0,  # what fails is raised; that Kafka is gone in the end is meant
            }
        )
        events = parse_schema(read_schema_text(demo.event_schema)), ids.events
        labels = None
        if demo.label_schema is not None and ids.labels is not None:
            labels = parse_schema(read_schema_text(demo.label_schema)), ids.labels
        blocks = BLOCKS[demo.name](planned, time.time_ns() // 1_000_000, seed)
        self._records = self._in_order(RecordWriter(events, labels).write(blocks))
        self._poison = self._poisoned(planned, ids)
        self.is_done = False

    def send(self, events: int) -> None:
        """Send so many further events, with the labels that are due; fewer where the stream ends."""
        wanted = self._scores.sent_events + events
        while self._scores.sent_events < wanted and not self.is_done:
            record = next(self._records, None)
            if record is None:
                self.is_done = True
                break
            self._send(record)
            if self._poison and self._scores.sent_events >= self._poison[0][0]:
                self._send(self._poison.pop(0)[1])
        self._producer.poll(0)
        if self._failure is not None:
            raise StreamError(f"a record could not be sent: {self._failure.str()}")

    def close(self) -> None:
        """Wait until what was sent has arrived."""
        self._producer.flush(_FLUSH_S)

    def _in_order(self, written: Iterator[tuple[list[Record], Block]]) -> Iterator[Record]:
        for records, block in written:
            self._scores.expect(block)
            yield from records

    def _send(self, record: Record) -> None:
        topic = self._label_topic if record.is_label else self._event_topic
        partition = self._partition_of(record)
        while True:
            try:
                self._producer.produce(topic, record.value, record.key, partition, on_delivery=self._delivered)
                break
            except BufferError:  # librdkafka's queue is full: the broker is slower than the rate
                self._producer.poll(0.01)
        if record.is_label:
            self._scores.label_sent(record.event)
        else:
            self._scores.event_sent(record.event, time.perf_counter_ns(), partition)

    def _partition_of(self, record: Record) -> int:
        """Where Java's producers would put it, and so that its offset is known here; in turn where it has no key."""
        if record.key is None:
            return max(record.event, 0) % self._partitions
        return (int(murmur2(np.frombuffer(record.key, np.uint8), 0, len(record.key))) & 0x7FFFFFFF) % self._partitions

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def _poisoned(self, planned: int, ids: SchemaIds) -> list[tuple[int, Record]]:
        """What no consumer should have to read, each with the number of events before it."""
        values: Sequence[bytes] = (
            b"\0" + ids.events.to_bytes(4, "big") + b"\x14p-",  # ends inside its first field, a text of ten bytes
            b"\0" + ids.foreign.to_bytes(4, "big") + bytes(8),  # a record of something else
            b"\0" + ids.unknown.to_bytes(4, "big") + bytes(8),  # the registry knows nothing of it
        )
        records = [Record(False, b"poisoned", value, NO_EVENT) for value in values]
        return [(int(planned * share), record) for share, record in zip(_POISONED_AT, records, strict=True)]
