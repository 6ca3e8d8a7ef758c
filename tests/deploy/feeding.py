"""Simulated payments for the worker of docker-compose.yml, sent as another team's service would."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from stream.avro import parse_schema
from stream.cli.broker.local import LocalBroker
from stream.cli.demo.demos import DEMOS
from stream.cli.demo.streams import fraud_blocks
from stream.cli.demo.writing import Record, RecordWriter
from stream.runtime.loading import load_app

PLANNED = 24_000  # payments; the pattern of fraud changes after half of them
QUICKLY = 18_000  # these within seconds, the rest slowly: the queries want traffic for as long as the tests run
QUICKLY_PER_S = 4_000
SLOWLY_PER_S = 150
POISON_EVERY = 200
SEED = 3


class Feeder:
    """Sends events with their labels in the order of their times, and a damaged record behind every 200th event."""

    def __init__(self, broker: LocalBroker) -> None:
        self.sent_events = 0  # damaged ones included: their number is the next offset
        self.changed_at = -1  # offset of the first event after the change
        self._error: BaseException | None = None
        self._stop_asked = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True})
        demo = DEMOS["fraud"]
        plan = load_app(demo.target).plan
        assert plan.labels is not None
        self._topics = plan.events.topic, plan.labels.topic
        self._schemas = [(demo.source.parent / f"{name}.avsc").read_text() for name in ("payment", "verdict")]
        with closing(SchemaRegistryClient({"url": broker.registry_url})) as registry:
            self._ids = [
                registry.register_schema(f"{topic}-value", Schema(text, "AVRO"))
                for topic, text in zip(self._topics, self._schemas, strict=True)
            ]

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def end(self) -> None:
        """Stop sending; fails if sending failed."""
        self._stop_asked.set()
        self._thread.join()
        assert self._error is None

    def _run(self) -> None:
        try:
            due_s = time.monotonic()
            for record in self._endless():
                if self._stop_asked.is_set():
                    break
                self._send(record)
                if not record.is_label:
                    due_s += 1 / (QUICKLY_PER_S if self.sent_events < QUICKLY else SLOWLY_PER_S)
                    self._producer.poll(0)
                    self._stop_asked.wait(max(0.0, due_s - time.monotonic()))
            self._producer.flush(20)
        except BaseException as error:
            self._error = error
            raise

    def _endless(self) -> Iterator[Record]:
        """All records, and then the last of them again and again: what is sent twice is scored twice."""
        last: deque[Record] = deque(maxlen=1_000)
        for record in self._records():
            last.append(record)
            yield record
        yield from cycle(last)

    def _records(self) -> Iterator[Record]:
        events, labels = [(parse_schema(text), number) for text, number in zip(self._schemas, self._ids, strict=True)]
        blocks = fraud_blocks(PLANNED, time.time_ns() // 1_000_000, SEED)
        for records, block in RecordWriter(events, labels).write(blocks):
            is_after = block.is_after_change
            assert is_after is not None
            first_event = min(record.event for record in records if not record.is_label)
            for record in records:
                if self.changed_at < 0 and not record.is_label and is_after[record.event - first_event]:
                    self.changed_at = self.sent_events
                yield record

    def _send(self, record: Record) -> None:
        self._produce(self._topics[record.is_label], record.value, record.key)
        if record.is_label:
            return
        self.sent_events += 1
        if self.sent_events % POISON_EVERY == 0:
            self._produce(self._topics[0], record.value[:9], record.key)
            self.sent_events += 1

    def _produce(self, topic: str, value: bytes, key: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key)
                return
            except BufferError:
                self._producer.poll(0.05)
