"""An app on a broker: its topics, its workers, and what can be read of it from outside."""

import io
import signal
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fastavro
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.schema_registry import SchemaRegistryClient

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings, TopicNames
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import RetriableError
from stream.kafka.admin import Admin
from stream.kafka.snapshots import TopicSnapshotStore
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from stream.storage.folder import FolderSnapshotStore
from tests.conftest import ADMIN_TIMEOUT_S, ROOT
from tests.runtime.app import NAME
from tests.runtime.processes import APP, WorkerProcess
from tests.runtime.traffic import Traffic
from tests.runtime.waiting import answer, wait_until


@dataclass
class Deployment:
    """One app with topics of its own; workers are started with `start`, and ended with the test."""

    broker: LocalBroker
    name: str
    folder: Path
    partitions: int = 2
    settings: Mapping[str, str] = field(default_factory=dict)  # of every worker, as environment variables
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events, self.labels = f"{self.name}.payments", f"{self.name}.chargebacks"
        self.topics = TopicNames.of(self.name)
        self.kafka = KafkaSettings(
            self.name, f"{self.name}-test", self.broker.bootstrap_servers, self.broker.registry_url
        )
        self._schemas: dict[int, Any] = {}  # by their ids
        self.traffic = Traffic(self.broker.bootstrap_servers, self.broker.registry_url, self.name)

    def create_topics(self, horizon_ms: int = 0) -> None:
        """Make all topics of the app; with a horizon that of features too."""
        inputs = [TopicSpec(name, self.partitions) for name in (self.events, self.labels)]
        self.admin.create([*inputs, *topics_of_app(self.topics, self.partitions, horizon_ms=horizon_ms)])
        self.shorten_sessions()

    def shorten_sessions(self) -> None:
        """Groups of the consumer protocol have the sessions that the broker gives them: here what its workers ask for,
        who are only heard in classic groups."""
        if self.settings.get("group_protocol") != "consumer" or "session_timeout_ms" not in self.settings:
            return
        wanted = {
            "consumer.session.timeout.ms": self.settings["session_timeout_ms"],
            "consumer.heartbeat.interval.ms": "500",
        }
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ]
        groups = [ConfigResource(ResourceType.GROUP, group, incremental_configs=entries) for group in self.groups]
        client = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        for altered in client.incremental_alter_configs(groups).values():
            altered.result(ADMIN_TIMEOUT_S)

    # --- workers -------------------------------------------------------------------------------------------------

    def start(
        self, slot: str = "0", arguments: Sequence[str] = (), target: str = APP, **settings: str
    ) -> WorkerProcess:
        """Start a worker; `settings` are those of stream.toml, in place of the deployment's."""
        own = {
            "bootstrap_servers": self.broker.bootstrap_servers,
            "registry_url": self.broker.registry_url,
            "cache": str(ROOT / "build" / "kernels"),
            "metrics_host": "127.0.0.1",
            "metrics_port": "0",
            "slot": slot,
            # After kill -9 a static member is back at once; others wait for the dead one's session to end.
            "group_protocol": "classic",
            "group_instance_id": f"{self.name}-{slot}",
            "journal_retention": "all",  # what is checked is checked against every cycle
            **self.settings,
            **settings,
        }
        environment = {f"STREAM_{key.upper()}": value for key, value in own.items()} | {NAME: self.name}
        log = self.folder / f"{self.name}-{len(self.workers)}.log"
        worker = WorkerProcess(environment, log, arguments, target)
        self.workers.append(worker)
        return worker

    def stop(self, *workers: WorkerProcess) -> None:
        """SIGTERM, and all must end well."""
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in workers:
            assert worker.exit_status() == 0, worker.log
            assert "Traceback" not in worker.log, worker.log

    def expect_end(self, worker: WorkerProcess) -> None:
        """This worker has ended, and should have."""
        self.workers.remove(worker)

    def kill_all(self) -> None:
        """End whatever still runs."""
        for worker in self.workers:
            worker.kill()
        if "_asked" in vars(self):
            vars(self).pop("_asked").close()

    @property
    def groups(self) -> list[str]:
        """The consumer groups of its workers."""
        return [self.name]

    def is_handled(self) -> bool:
        """Whether everything that was sent is committed."""
        return self.committed() == self.ends()

    def wait_until_handled(self) -> None:
        """Until everything that was sent is committed."""

        def is_handled() -> bool:
            for worker in self.workers:
                status = worker.process.poll()
                assert status in (None, 0, -signal.SIGKILL), f"a worker ended with {status}\n{worker.log}"
            return self.is_handled()

        wait_until(is_handled, "all is committed", self.explain)

    def explain(self) -> str:
        """Where everything stands; ends the workers."""
        logs = "\n".join(worker.explain() for worker in self.workers)
        return f"committed {self.committed()} of {self.ends()}\n{logs}"

    # --- what is there -------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[TopicPartition]:
        """Event and label partitions."""
        return [
            TopicPartition(name, number) for name in (self.events, self.labels) for number in range(self.partitions)
        ]

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offset of every input partition; 0 where there is none."""
        found = answer(lambda: self._asked.committed(self.inputs, timeout=60), "committed offsets")
        return {(each.topic, each.partition): max(0, each.offset) for each in found}

    def ends(self) -> dict[tuple[str, int], int]:
        """End of every input partition."""
        return {(each.topic, each.partition): end_of_partition(self._asked, each) for each in self.inputs}

    def end_of(self, topic: str) -> int:
        """Committed records and markers of a topic, of all partitions together."""
        places = [TopicPartition(topic, number) for number in self._numbers(topic)]
        return sum(end_of_partition(self._asked, place) for place in places)

    def records(self, topic: str, isolation: str = "read_committed") -> list[Message]:
        """All records of a topic, by partition and offset."""
        with self._consumer(isolation) as consumer:
            partitions = self._numbers(topic)
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
            found, unfinished = [], set(partitions)
            while unfinished:
                for message in consumer.consume(5000, timeout=0.02):
                    if message.error() is None:
                        found.append(message)
                    else:
                        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                        unfinished.discard(message.partition())
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def decoded(self, topic: str, isolation: str = "read_committed") -> list[dict[str, Any]]:
        """All records of an Avro topic, decoded with the schema that the registry has of their id."""
        values = [message.value() for message in self.records(topic, isolation)]
        numbers = [int.from_bytes(value[1:5], "big") for value in values]
        if unknown := set(numbers) - self._schemas.keys():
            with closing(SchemaRegistryClient({"url": self.broker.registry_url})) as registry:
                for number in unknown:
                    self._schemas[number] = fastavro.parse_schema(orjson.loads(registry.get_schema(number).schema_str))
        found = []
        for number, value in zip(numbers, values, strict=True):
            rest = io.BytesIO(value[5:])
            found.append(fastavro.schemaless_reader(rest, self._schemas[number], None))
            assert value[0] == 0
            assert not rest.read()
        return found

    def registered(self, subject: str) -> str:
        """The text that the registry has of a subject's newest schema."""
        with closing(SchemaRegistryClient({"url": self.broker.registry_url})) as registry:
            return str(registry.get_latest_version(subject).schema.schema_str)

    def open_store(self) -> SnapshotStore:
        """Where its workers put their snapshots."""
        url = self.settings.get("snapshots")
        return FolderSnapshotStore(url, self.name) if url else TopicSnapshotStore(self.kafka, self.topics.snapshots)

    def by_partition(self, topic: str) -> dict[int, list[Message]]:
        """Committed records of a topic, of each partition in order."""
        found = defaultdict(list)
        for message in self.records(topic):
            found[message.partition()].append(message)
        return found

    # Who waits asks them many times a second; a client of its own for each question took more than the answers.
    @cached_property
    def admin(self) -> Admin:
        """Asks the broker of groups and topics."""
        return Admin(self.kafka)

    def _numbers(self, topic: str) -> list[int]:
        """Its partitions."""
        metadata = answer(lambda: self._asked.list_topics(topic, timeout=60), f"partitions of {topic}")
        return sorted(metadata.topics[topic].partitions)

    @cached_property
    def _asked(self) -> Consumer:
        return self._consumer()

    def _consumer(self, isolation: str = "read_committed") -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.broker.bootstrap_servers,
                "group.id": self.name,
                "isolation.level": isolation,
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "reconnect.backoff.max.ms": 500,  # the broker may have been away
            }
        )


def end_of_partition(consumer: Consumer, place: TopicPartition) -> int:
    """Its end, once it has a leader."""

    def ask() -> Any:
        try:
            return consumer.get_watermark_offsets(place, timeout=60)
        except KafkaException:
            consumer.list_topics(place.topic, timeout=60)  # or it goes on with what it was told while nobody led it
            raise

    low_and_high = answer(ask, f"the end of {place.topic}[{place.partition}]")
    return int(low_and_high[1])


def shares(app: Deployment, group: str = "") -> list[int]:
    """How many partitions each member of a group has; of the only one, or the last stage's."""

    def ask() -> list[int] | None:
        with suppress(RetriableError):
            return sorted(len(partitions) for partitions in app.admin.group(group or app.name).members.values())
        return None

    return answer(ask, f"the members of {group or app.name}")


def wait_for_shares(app: Deployment, *wanted: int) -> None:
    """Until the group has given its partitions out like this."""
    wait_until(lambda: shares(app) == list(wanted), f"shares {wanted}", app.explain)
