"""The consumer's side of a demo: committed predictions, alerts and dead letters."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from stream.avro import Decoder, Framing, Texts, parse_schema
from stream.cli.demo.scores import Scores
from stream.config import TopicNames
from stream.engine.protocol import SchemaFetched
from stream.engine.small_avro import decode_small
from stream.errors import StreamError
from stream.kafka.registry import Registry
from stream.records import ColumnBatch, RecordBatch
from stream.resources import schema_text

_HEADER_BYTES: Final = 5  # Confluent's
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record was not accepted."""

    partition: int  # of the record
    offset: int
    error: str
    field: str
    expected: str
    got: str


class Receiver:
    """Reads what the worker has committed.

    Args:
        servers: the brokers.
        topics: of the app.
        registry: asked for the schema of predictions.
        partitions: of each topic.
        scores: hears of every prediction.
    """

    def __init__(
        self, servers: str, topics: TopicNames, registry: Registry, scores: Scores, partitions: int = 1
    ) -> None:
        self._topics = topics
        self._registry = registry
        self._scores = scores
        self._decoder = Decoder(
            parse_schema(schema_text("prediction")), {"partition", "offset", "score"}, Framing.CONFLUENT
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "stream-demo-view",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "log_level": 0,  # what fails is raised
            }
        )
        names = (topics.predictions, topics.alerts, topics.dead_letters)
        self._consumer.assign([TopicPartition(name, number, 0) for name in names for number in range(partitions)])
        self.alerts: list[Mapping[str, Any]] = []
        self.dead_letters: list[DeadLetter] = []

    def receive(self, timeout_s: float) -> None:
        """Take in what has come; wait for the first of it no longer than this."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        messages = [first, *self._consumer.consume(_AT_ONCE, 0)]
        received_ns = time.perf_counter_ns()
        predictions = []
        for message in messages:
            if message.error() is not None:
                raise StreamError(f"reading {message.topic() or 'what the worker wrote'}: {message.error().str()}")
            match message.topic():
                case self._topics.predictions:
                    predictions.append(message.value())
                case self._topics.alerts:
                    self.alerts.append(self._with_records(decode_small("alert", message.value()[_HEADER_BYTES:])))
                case _:
                    self.dead_letters.append(_dead_letter(message))
        if predictions:
            self._take(predictions, received_ns)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _take(self, values: list[bytes], received_ns: int) -> None:
        columns = self._decode(values)
        slots = {column.name: column.slot for column in columns.columns}
        offsets = columns.cells[:, slots["offset"]]
        scores = np.ascontiguousarray(columns.cells[:, slots["score"]]).view(np.float64)
        self._scores.received(columns.cells[:, slots["partition"]], offsets, scores, received_ns)

    def _with_records(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        """An alert, with how many records were sent before those at the places that it names, as `..._record`."""
        names = [name for name in ("offset", "placed_offset") if alert[name] is not None]
        at = self._scores.record_at
        return {**alert, **{name.replace("offset", "record"): at(alert["partition"], alert[name]) for name in names}}

    def _decode(self, values: list[bytes]) -> ColumnBatch:
        texts = Texts.of(values)
        none = np.full_like(texts.bounds, -1)
        zeros = np.zeros(len(values), np.int64)
        batch = RecordBatch(self._topics.predictions, 0, texts.data, none, texts.bounds, zeros, zeros, none)
        decoded = self._decoder.decode(batch)
        if decoded.needs is not None:
            answer = self._registry.fetch(decoded.needs)
            if not isinstance(answer, SchemaFetched):
                raise StreamError(f"predictions: {answer.message}")
            self._decoder.add_writer(answer.schema_id, parse_schema(answer.schema))
            decoded = self._decoder.decode(batch)
        if decoded.rejections:
            raise StreamError(f"a prediction cannot be read: {decoded.rejections[0]}")
        return decoded.columns


def _dead_letter(message: Message) -> DeadLetter:
    headers = {name: (value or b"").decode() for name, value in message.headers() or ()}
    said = [headers.get(f"stream.{name}", "") for name in ("error", "field", "expected", "got")]
    return DeadLetter(int(headers["stream.partition"]), int(headers["stream.offset"]), *said)
