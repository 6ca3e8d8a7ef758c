"""The local broker is a real Kafka: it starts, keeps what it holds, comes back, and never outlives its owner."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.cli.broker import kafka
from stream.cli.broker.local import LocalBroker
from stream.errors import ConfigError, StreamError
from tests.conftest import MakeTopic
from tests.runtime.waiting import wait_until

DEADLINE_S = 60


def read_one(bootstrap_servers: str, topic: str) -> bytes | None:
    """The first value of a topic's only partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 2}
    )
    consumer.subscribe([topic])
    message = consumer.poll(DEADLINE_S)
    consumer.close()
    assert message is not None
    assert message.error() is None
    value: bytes | None = message.value()
    return value


def write_one(bootstrap_servers: str, topic: str, value: bytes) -> None:
    """Write a record and wait until it is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 2})
    producer.produce(topic, value)
    assert producer.flush(DEADLINE_S) == 0


def register(registry_url: str, subject: str, schema: str) -> int:
    """Register a schema; its id."""
    request = urllib.request.Request(
        f"{registry_url}/subjects/{subject}/versions",
        data=json.dumps({"schema": schema}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request) as response:
        return int(json.load(response)["id"])


def test_a_record_written_is_read(broker: LocalBroker, topic: MakeTopic) -> None:
    """What a producer writes, a consumer group reads."""
    name = topic()
    write_one(broker.bootstrap_servers, name, b"hello")
    assert read_one(broker.bootstrap_servers, name) == b"hello"


def test_a_topic_is_not_made_by_accident(broker: LocalBroker, admin: AdminClient) -> None:
    """Asking for a misspelt topic does not create it."""
    admin.list_topics("mispelt", timeout=DEADLINE_S)
    assert "mispelt" not in admin.list_topics(timeout=DEADLINE_S).topics


@pytest.mark.kafka
@pytest.mark.slow
def test_everything_survives_kill_restart_and_stop(tmp_path: Path) -> None:
    """Records outlive kill -9 of the broker; records and schema ids outlive a stop and a new start in the folder."""
    with LocalBroker(tmp_path) as local:
        admin = AdminClient({"bootstrap.servers": local.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(DEADLINE_S)
        first_id = register(local.registry_url, "kept-value", '"string"')
        write_one(local.bootstrap_servers, "kept", b"before")
        killed, address = local.pid, local.bootstrap_servers

        local.kill()
        local.restart()

        assert local.pid != killed
        assert local.bootstrap_servers == address
        assert read_one(local.bootstrap_servers, "kept") == b"before"
    assert not psutil.pid_exists(local.pid)
    assert not psutil.pid_exists(local.registry_pid)

    with LocalBroker(tmp_path) as again:
        write_one(again.bootstrap_servers, "kept", b"after")
        assert register(again.registry_url, "kept-value", '"string"') == first_id
        assert register(again.registry_url, "new-value", '"long"') > first_id


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_no_server_outlives_its_owner(tmp_path: Path, death: signal.Signals) -> None:
    """A process that is killed with -9, or leaves by Ctrl-C, takes its Kafka and its registry with it."""
    code = (
        "import sys; from pathlib import Path; from stream.cli.broker.local import LocalBroker\n"
        "with LocalBroker(Path(sys.argv[1])) as broker:\n"
        "    print(broker.pid, broker.registry_pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        servers = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        assert len(servers) == 2

        os.kill(owner.pid, death)

        owner.wait(DEADLINE_S)
        wait_until(lambda: not any(server.is_running() for server in servers), "the servers have ended")


@pytest.mark.kafka
def test_a_folder_has_one_broker(broker: LocalBroker) -> None:
    """A second broker in the same folder is refused, and the first goes on."""
    with pytest.raises(ConfigError, match="already runs in") as refused:
        LocalBroker(broker.folder).start()
    assert str(broker.folder) in str(refused.value)
    assert psutil.pid_exists(broker.pid)


@pytest.mark.kafka
def test_a_port_in_use_is_named(broker: LocalBroker, tmp_path: Path) -> None:
    """The error says which port, who has it, and which option chooses another."""
    with pytest.raises(ConfigError, match=rf"port {broker.kafka_port} .*process {broker.pid}.*--kafka-port"):
        LocalBroker(tmp_path, kafka_port=broker.kafka_port).start()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_wrong_broker_setting_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """Kafka's own words about a bad setting are passed on; nothing is left running."""
    local = LocalBroker(tmp_path, settings={"log.segment.bytes": "many"})
    with pytest.raises(StreamError, match=r"log\.segment\.bytes"):
        local.start()
    assert not psutil.pid_exists(local.registry_pid)


def test_a_coordinator_that_does_not_come_is_an_error_that_says_which() -> None:
    """Nobody listens at the port: neither coordinator answers in time, and neither is silently left out."""
    with pytest.raises(StreamError, match=r"its coordinator of transactions was not there in 0.3 s \("):
        kafka.prepare_coordinators(9, timeout_s=0.3)
    consumer = Consumer({"bootstrap.servers": "127.0.0.1:9", "group.id": "nobody", "log_level": 0})
    with pytest.raises(StreamError, match=r"its coordinator of consumer groups was not there in 0.3 s \("):
        kafka._wait_for_group_coordinator(consumer, 0.3)
    consumer.close()
