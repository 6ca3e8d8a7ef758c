"""What every client of a worker is told: the user's security settings, and what the protocol fixes."""

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from socket import gethostname
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from confluent_kafka import KafkaError, Message, Producer

import stream.kafka
from stream.config import InputTopics, KafkaSettings
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.admin import Admin
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.broker_probe import BrokerProbe
from stream.kafka.client_name import clients_of
from stream.kafka.reader import Reader
from stream.kafka.registry import Registry
from stream.kafka.sender import Sender
from stream.kafka.snapshots import TopicSnapshotStore
from stream.kafka.task_reset import TaskReset
from stream.kafka.transaction_producer import TransactionProducer
from stream.kafka.transport import Transport
from tests.checkpoints import checkpoint
from tests.conftest import MakeTopic
from tests.kafka.scripted import output

CLIENTS = ("Consumer", "Producer", "AdminClient", "SchemaRegistryClient")
SECURITY = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "worker",
    "sasl.password": "secret",
    "ssl.ca.location": "/etc/kafka/ca.pem",
    "ssl.key.location": "/etc/kafka/key.pem",
}
REGISTRY = {"basic.auth.user.info": "worker:secret", "ssl.ca.location": "/etc/registry/ca.pem"}
SETTINGS = KafkaSettings("group", "id", registry_url="https://registry", registry=REGISTRY, librdkafka=SECURITY)

Made = dict[tuple[str, str], list[Mapping[str, object]]]  # configurations, by module and kind of client


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What clients are made of, wherever the Kafka room makes one; they connect to nothing and answer as if empty."""
    found: Made = {}
    for module in pkgutil.iter_modules(stream.kafka.__path__, "stream.kafka."):
        for kind in CLIENTS:
            if hasattr(importlib.import_module(module.name), kind):
                configs = found.setdefault((module.name.removeprefix("stream.kafka."), kind), [])
                monkeypatch.setattr(f"{module.name}.{kind}", recording(configs))
    return found


def recording(configs: list[Mapping[str, object]]) -> Any:
    """Stands in for a client's class."""
    client = MagicMock()
    client.list_topics.return_value = SimpleNamespace(
        brokers={1: None}, topics=defaultdict(lambda: SimpleNamespace(error=None, partitions={0: None}))
    )
    client.get_watermark_offsets.return_value = (0, 0)
    client.flush.return_value = 0

    def make(config: Mapping[str, object], logger: object = None) -> Any:
        configs.append(config)
        return client

    return make


def test_every_client_has_the_security_settings(made: Made) -> None:
    """All that a worker and the commands make: members, readers, producers, admins, the registry's client."""
    topics = InputTopics("events", ("labels",), "journal", "snapshots")
    transport = Transport(replace(SETTINGS, standby_replicas=1), topics, handle=lambda _: ())
    transport.start()
    transport.close()
    TaskReset(SETTINGS, topics, TopicSnapshotStore(SETTINGS, "snapshots"))
    sender = Sender(SETTINGS, BrokerHealth())
    sender.send((output("predictions", [b"one"]),))
    sender.flush()
    sender.close()
    with pytest.raises(RetriableError, match="not acknowledged"):
        TopicSnapshotStore(SETTINGS, "snapshots").publish(checkpoint(1))
    Admin(SETTINGS)
    BrokerProbe(SETTINGS)
    Registry(SETTINGS)

    assert {where for where, configs in made.items() if not configs} == set()
    for (module, kind), configs in made.items():
        wanted = REGISTRY if kind == "SchemaRegistryClient" else SECURITY
        assert all(wanted.items() <= config.items() for config in configs), (module, kind)


def test_settings_of_consumers_and_of_producers_reach_only_these() -> None:
    """`librdkafka_consumer` and `librdkafka_producer` are in place of what holds for all."""
    settings = KafkaSettings(
        "group",
        "id",
        librdkafka={"client.rack": "a", "socket.timeout.ms": "1"},
        librdkafka_consumer={"socket.timeout.ms": "2"},
        librdkafka_producer={"socket.timeout.ms": "3"},
    )
    consumers = [client_config.event_consumer(settings, "classic", 1), client_config.reader(settings)]
    producers = [client_config.transactional_producer(settings), client_config.idempotent_producer(settings)]
    admin = client_config.admin_client(settings)
    assert [config["socket.timeout.ms"] for config in (*consumers, *producers, admin)] == ["2", "2", "3", "3", "1"]
    assert all(config["client.rack"] == "a" for config in (*consumers, *producers, admin))


def test_a_client_is_named_by_its_worker_and_machine() -> None:
    """`stream state show` has the name of each task's worker, as brokers have it; one of the user's own counts."""
    settings = KafkaSettings("group", "shop-3")
    make = (
        lambda of: client_config.event_consumer(of, "classic", 1),
        client_config.reader,
        client_config.transactional_producer,
        client_config.admin_client,
    )
    assert {config(settings)["client.id"] for config in make} == {f"shop-3@{gethostname()}"}
    with clients_of("check"):
        assert {config(settings)["client.id"] for config in make} == {f"group-check@{gethostname()}"}
    chosen = replace(settings, librdkafka={"client.id": "desk"})
    assert {config(chosen)["client.id"] for config in make} == {"desk"}


def test_rule_17_every_consumer_reads_committed_records_and_never_commits_by_itself() -> None:
    """Of events, of labels, of journal and snapshots."""
    for config in (
        client_config.event_consumer(SETTINGS, "consumer", 4),
        client_config.assigned_consumer(SETTINGS, 4),
        client_config.reader(SETTINGS),
    ):
        assert config["isolation.level"] == "read_committed"
        assert (config["enable.auto.commit"], config["enable.auto.offset.store"]) == (False, False)
        assert config["auto.offset.reset"] == "error"


@pytest.mark.parametrize(("session_ms", "heartbeat_ms"), [(6_000, 2_000), (10_000, 3_000), (120_000, 3_000)])
def test_a_member_hears_of_a_rebalance_within_seconds_however_long_its_session(
    session_ms: int, heartbeat_ms: int
) -> None:
    """The others wait for it: a third of a session of two minutes would be long."""
    settings = KafkaSettings("group", "id", session_timeout_ms=session_ms)
    assert client_config.event_consumer(settings, "classic", 1)["heartbeat.interval.ms"] == heartbeat_ms


def test_rule_32_one_budget_of_fetched_bytes_whatever_the_number_of_partitions() -> None:
    """64 partitions share 32 MiB in the consumer's one queue, and may each have their 64th of it on the way."""
    settings = KafkaSettings("group", "id", fetch_bytes=32 * 2**20)
    for config in (
        client_config.event_consumer(settings, "classic", 64),
        client_config.assigned_consumer(settings, 64),
    ):
        assert config["queued.max.messages.kbytes"] == 32 * 1024
        assert config["max.partition.fetch.bytes"] == 512 * 1024


def test_rule_32_small_records_count_with_what_the_client_holds_beside_each() -> None:
    """librdkafka counts their values alone: a budget of 64 MiB was 427 MiB of payments of 90 bytes. And what four
    partitions answer when the queue is all but full is little beside the budget."""
    held_beside_bytes = 400
    for settings in (KafkaSettings("group", "id"), KafkaSettings("group", "id", fetch_bytes=8 * 2**20)):
        for config in (
            client_config.event_consumer(settings, "classic", 4),
            client_config.assigned_consumer(settings, 4),
            client_config.reader(settings),
        ):
            queued = config["queued.min.messages"]
            assert isinstance(queued, int)
            assert 0.9 * settings.fetch_bytes < queued * held_beside_bytes <= settings.fetch_bytes
        assert client_config.event_consumer(settings, "classic", 4)["max.partition.fetch.bytes"] == 2**20


@pytest.mark.parametrize(("fetch_bytes", "records"), [(1, 1), (2**33, 10_000_000)])
def test_a_budget_at_its_ends_is_one_that_the_client_takes(fetch_bytes: int, records: int) -> None:
    """It refuses none, and more than ten million."""
    config = client_config.event_consumer(KafkaSettings("group", "id", fetch_bytes=fetch_bytes), "classic", 1)
    assert config["queued.min.messages"] == records


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"sasl.usrname": "worker"}, 'No such configuration property: "sasl.usrname"'),
        ({"security.protocol": "TLS"}, 'Invalid value "TLS" for configuration property "security.protocol"'),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"}, "ssl.ca.location failed"),
    ],
)
def test_a_setting_that_the_client_cannot_use_is_one_clear_error(setting: dict[str, str], said: str) -> None:
    """A name that nobody knows, a value that is none, a file that is not there."""
    settings = KafkaSettings("group", "id", librdkafka=setting)
    producer = TransactionProducer(settings, BrokerHealth())
    for connect in (lambda: Reader(settings), lambda: Admin(settings), lambda: producer.start(1.0)):
        with pytest.raises(ConfigError, match=rf"does not accept its settings: .*{said}.*\[librdkafka\]"):
            connect()


# The vectors of Kafka's own UtilsTest: keys and their murmur2.
HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("configure", [client_config.idempotent_producer, client_config.transactional_producer])
def test_rule_6_keys_go_where_javas_producers_put_them(
    settings: KafkaSettings, topic: MakeTopic, configure: Callable[[KafkaSettings], Mapping[str, Any]]
) -> None:
    """A prediction lies in the partition of its number that its event came from, whoever wrote that."""
    found: dict[bytes, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        found[message.key()] = message.partition()

    producer: Any = Producer({**configure(settings), "delivery.report.only.error": False})
    name = topic("predictions", 12)
    if "transactional.id" in configure(settings):
        producer.init_transactions(20)
        producer.begin_transaction()
    for key in HASHES:
        producer.produce(name, b"", key, on_delivery=delivered)
    assert producer.flush(20) == 0

    assert found == {key: (hashed & 0x7FFFFFFF) % 12 for key, hashed in HASHES.items()}
