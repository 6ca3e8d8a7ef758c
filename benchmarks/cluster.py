"""A real Kafka for benchmarks: its topics, a topic filled with events, and processes that are measured on it."""

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from benchmarks.card_app import app
from benchmarks.card_events import SCHEMA, CardEvents, card_events
from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings, TopicNames
from stream.kafka.admin import Admin
from stream.kafka.registry import Registry
from stream.kafka.topic_plan import TopicSpec, topics_of_app

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
EVENT_TOPIC = app.event_stream.topic if app.event_stream else ""
# Without the options that make a JVM start quickly: they cost throughput.
JVM_OPTIONS = ("-Xms128m", "-XX:+UseSerialGC")
HEAP_MB = 1024
# The broker stamps what arrives, so that a rate can be read from the topic afterwards and nobody else's work disturbs.
STAMPED = {"message.timestamp.type": "LogAppendTime"}
_STDERR = 2  # stdout is for the report
_LOOK_EVERY_S = 0.05
_WAIT_S = 30.0
_PACED = 200  # events sent at once where a rate is kept
# A partition's end shows when a fetch comes back empty, for which librdkafka lets the broker wait half a second: eight
# such looks made a topic's two stamps take 7 s.
_FETCH_AT_END_MS = 10


@contextmanager
def local_broker(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[LocalBroker]:
    """Kafka and registry as a benchmark wants them."""
    with LocalBroker(folder, settings=settings, jvm_options=JVM_OPTIONS, heap_mb=HEAP_MB) as broker:
        yield broker


def fill(broker: LocalBroker, count: int) -> CardEvents:
    """Make the event topic with 4 partitions, and put `count` events there; returns them."""
    events = card_events(count, make_event_topic(broker))
    produce(broker, events, 0, count)
    return events


def make_event_topic(broker: LocalBroker, partitions: int = PARTITIONS) -> int:
    """Make the event topic; returns the registry's id of its schema."""
    settings = _settings(broker)
    Admin(settings).create([TopicSpec(EVENT_TOPIC, partitions, 1)])
    with Registry(settings) as registry:
        return registry.register(f"{EVENT_TOPIC}-value", SCHEMA)


def produce(broker: LocalBroker, events: CardEvents, first: int, end: int, rate: float = 0.0) -> None:
    """Send the events from `first` to `end` - 1 to the event topic: `rate` a second, or as fast as it goes."""
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    began_s = time.monotonic()
    for number, (key, value) in enumerate(events.pairs(first, end)):
        if rate and number % _PACED == 0:
            time.sleep(max(0.0, began_s + number / rate - time.monotonic()))
        while True:
            try:
                producer.produce(EVENT_TOPIC, value, key)
                break
            except BufferError:
                producer.poll(_LOOK_EVERY_S)
    if left := producer.flush(_WAIT_S):
        raise SystemExit(f"{left:,} events could not be produced")


@dataclass(slots=True)
class Feed:
    """Events that are sent one after the other."""

    broker: LocalBroker
    events: CardEvents
    sent: int = 0

    def send(self, count: int, rate: float = 0.0) -> None:
        """The next ones: `rate` a second, or as fast as it goes."""
        produce(self.broker, self.events, self.sent, self.sent + count, rate)
        self.sent += count


def make_app_topics(broker: LocalBroker, prefix: str) -> TopicNames:
    """The topics of the app under a prefix of their own, so that a worker begins with nothing."""
    names = TopicNames.of(app.name, prefix)
    specs = [
        TopicSpec(spec.name, spec.partitions, 1, STAMPED if spec.name == names.predictions else spec.config)
        for spec in topics_of_app(names, PARTITIONS, 1)
    ]
    Admin(_settings(broker)).create(specs)
    return names


def make_topic(broker: LocalBroker, name: str) -> None:
    """A topic for a loop's predictions."""
    Admin(_settings(broker)).create([TopicSpec(name, PARTITIONS, 1, STAMPED)])


def as_installed() -> dict[str, str]:
    """The environment, but that Python keeps bytecode, as where things are installed: a start takes twice as long
    where it may not, and so does a peer's."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


def start_worker(
    broker: LocalBroker, prefix: str, settings: Mapping[str, str] = MappingProxyType({}), stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """`stream run` with the app of the benchmarks.

    Args:
        broker: to run on.
        prefix: of its topics and its group.
        settings: of the worker, where they are not the defaults.
        stderr: where it speaks to: subprocess.PIPE, or None for our own.
    """
    own = {
        "bootstrap_servers": broker.bootstrap_servers,
        "registry_url": broker.registry_url,
        "topic_prefix": prefix,
        "metrics_port": "-1",
        **settings,
    }
    environment = {**as_installed(), **{f"STREAM_{name.upper()}": value for name, value in own.items()}}
    command = [sys.executable, "-m", "stream.cli.main", "run", str(ROOT / "benchmarks" / "card_app.py:app")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=_STDERR, stderr=stderr)
    atexit.register(process.kill)  # however a benchmark ends
    return process


def start_process(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Python, in the folder where the benchmarks lie; what it says goes to stderr."""
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=_STDERR)


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and wait until it has."""
    process.send_signal(signal.SIGTERM)
    process.wait(_WAIT_S)


def wait_until_committed(
    broker: LocalBroker, group: str, events: int, process: subprocess.Popen[bytes], within_s: float
) -> None:
    """Wait until a group has committed so many events. It asks now and then and costs the measured process nothing."""
    watcher = Consumer(
        # Uncommitted, for a read_committed watcher would wait for the pending transaction of a busy worker.
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": group,
            "isolation.level": "read_uncommitted",
        }
    )
    partitions = [TopicPartition(EVENT_TOPIC, number) for number in range(PARTITIONS)]
    give_up_at = time.monotonic() + within_s
    while sum(max(0, each.offset) for each in watcher.committed(partitions, timeout=_WAIT_S)) < events:
        if process.poll() is not None:
            raise SystemExit(f"the worker ended with status {process.returncode}")
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{events:,} events were not committed within {within_s:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    watcher.close()


def seconds_written(broker: LocalBroker, topic: str) -> float:
    """Seconds from the first to the last record of a topic, by the broker's clock; committed ones alone."""
    stamps = []
    reader = _reader(broker)
    for number in range(PARTITIONS):
        low, high = reader.get_watermark_offsets(TopicPartition(topic, number), timeout=_WAIT_S)
        if high > low:
            stamps.append(_stamp_behind(reader, topic, number, low))
            # The last offsets may be markers of transactions: a little before them there is a record.
            stamps.append(_last_stamp(reader, topic, number, max(low, high - 100)))
    reader.close()
    return (max(stamps) - min(stamps)) / 1000


def first_record(broker: LocalBroker, topic: str) -> Consumer:
    """A consumer that stands ready for the first committed record of a topic."""
    reader = _reader(broker)
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    return reader


def reader_at_end(broker: LocalBroker, topic: str) -> Consumer:
    """A consumer that stands ready for what is committed to a topic from here on."""
    reader = _reader(broker)
    ends = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    for end in ends:
        end.offset = reader.get_watermark_offsets(end, timeout=_WAIT_S)[1]
    reader.assign(ends)
    return reader


def _reader(broker: LocalBroker) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "benchmark-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": _FETCH_AT_END_MS,
            "isolation.level": "read_committed",
        }
    )


def _stamp_behind(reader: Consumer, topic: str, partition: int, offset: int) -> int:
    return next(_stamps(reader, topic, partition, offset))


def _last_stamp(reader: Consumer, topic: str, partition: int, offset: int) -> int:
    return list(_stamps(reader, topic, partition, offset))[-1]


def _stamps(reader: Consumer, topic: str, partition: int, offset: int) -> Iterator[int]:
    reader.assign([TopicPartition(topic, partition, offset)])
    while True:
        message = reader.poll(_WAIT_S)
        if message is None:
            raise SystemExit(f"{topic}[{partition}]: nothing came for {_WAIT_S:.0f} s")
        if (error := message.error()) is None:
            yield message.timestamp()[1]
        elif error.code() == KafkaError._PARTITION_EOF:
            return
        else:
            raise SystemExit(error.str())


def _settings(broker: LocalBroker) -> KafkaSettings:
    return KafkaSettings(
        group_id="benchmark",
        transactional_id="benchmark",
        bootstrap_servers=broker.bootstrap_servers,
        registry_url=broker.registry_url,
    )
