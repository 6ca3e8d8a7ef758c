"""The demo's consumer, on a real Kafka."""

import time
import uuid

from confluent_kafka import Producer

from stream.cli.broker.local import LocalBroker
from stream.cli.demo.receiver import DeadLetter, Receiver
from stream.cli.demo.scores import Scores
from stream.config import KafkaSettings, TopicNames
from stream.engine.small_avro import encode_small
from stream.kafka.admin import Admin
from stream.kafka.registry import Registry
from stream.kafka.topic_plan import topics_of_app
from stream.records import Floats, Ints
from stream.resources import schema_text


class Heard(Scores):
    """Scores that remember what was received, and when."""

    def received(self, partitions: Ints, offsets: Ints, scores: Floats, received_ns: int) -> None:
        """Remember it."""
        self.offsets, self.values, self.received_ns = offsets.tolist(), scores.tolist(), received_ns


def prediction(schema_id: int, offset: int) -> bytes:
    """Of the event at this offset, whose score is a hundredth of it."""
    missing = dict.fromkeys(("event_id", "key", "decision", "threshold"))
    said = {"topic": "events", "partition": 0, "offset": offset, "model": "m", "version": "1", "score": offset / 100}
    rest = {"scores": [], "contributions": [], "event_time": 0, "processing_time": 0}
    return b"\0" + schema_id.to_bytes(4, "big") + encode_small("prediction", {**missing, **said, **rest})


def test_only_what_was_committed_is_received(broker: LocalBroker) -> None:
    """Given predictions and dead letters of an aborted transaction, then of one that commits: those of the second.

    The time of receipt is behind the commit, not when the records were written.
    """
    topics = TopicNames.of(f"receiver-{uuid.uuid4().hex[:8]}")
    settings = KafkaSettings("view", "view", broker.bootstrap_servers, broker.registry_url)
    Admin(settings).create(topics_of_app(topics, 1))
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topics.predictions})
    producer.init_transactions(60)
    with Registry(settings) as registry:
        schema_id = registry.register(f"{topics.predictions}-value", schema_text("prediction"))
        scores = Heard()
        receiver = Receiver(broker.bootstrap_servers, topics, registry, scores)
        for offset, end in ((1, producer.abort_transaction), (2, producer.commit_transaction)):
            producer.begin_transaction()
            headers = [(f"stream.{name}", str(offset).encode()) for name in ("partition", "offset", "error", "got")]
            producer.produce(topics.dead_letters, b"bytes", headers=headers, partition=0)
            producer.produce(topics.predictions, prediction(schema_id, offset), partition=0)
            assert producer.flush(60) == 0
            ended_ns = time.perf_counter_ns()
            end(60)
        deadline = time.monotonic() + 60
        while not (receiver.dead_letters and hasattr(scores, "offsets")) and time.monotonic() < deadline:
            receiver.receive(0.1)
        receiver.close()
    producer.close()
    assert receiver.dead_letters == [DeadLetter(2, 2, "2", "", "", "2")]
    assert (scores.offsets, scores.values) == ([2], [0.02])
    assert ended_ns < scores.received_ns <= time.perf_counter_ns()
