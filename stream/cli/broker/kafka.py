"""How Apache Kafka is configured and started: one node that is broker and controller (KRaft)."""

import base64
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.cli.broker.java import Java
from stream.cli.broker.ports import HOST
from stream.cli.broker.server import POLL_S, likely_cause
from stream.errors import ConfigError, StreamError
from stream.resources import shipped

PROBE_TIMEOUT_S = 1.0
# A machine that is busy compiling takes many times the usual second.
FORMAT_TIMEOUT_S = 120
COORDINATOR_TIMEOUT_S = 90

# For a broker of one node that starts often: internal topics with one replica and few partitions (each is a folder to
# make and to load), no wait for more group members, no topic by accident, 16 MB instead of 128 MB for the log cleaner.
# A killed broker may only come back when its session has expired: after 3 s instead of 9.
DEFAULTS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "auto.create.topics.enable": "false",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}


def write_properties(folder: Path, port: int, controller_port: int, settings: Mapping[str, str]) -> Path:
    """Write server.properties.

    Args:
        folder: the broker's folder; its data goes to `kafka-data` inside.
        port: where clients connect, on the loopback address.
        controller_port: where the node talks to itself.
        settings: broker settings that replace the defaults.

    Returns:
        The file.
    """
    properties = DEFAULTS | {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(folder / "kafka-data"),
    }
    lines = [f"{name}={value}" for name, value in (properties | dict(settings)).items()]
    file = folder / "server.properties"
    file.write_text("\n".join(lines) + "\n")
    return file


def kafka_command(java: Java, jars: Sequence[Path], properties: Path, jvm_options: Sequence[str]) -> tuple[str, ...]:
    """The command that runs the node."""
    return (*_jvm(java, jars, jvm_options), "kafka.Kafka", str(properties))


def format_storage(java: Java, jars: Sequence[Path], properties: Path, jvm_options: Sequence[str]) -> None:
    """Prepare the data folder, as every KRaft node wants it before its first start. Does nothing if that is done.

    Raises:
        ConfigError: Kafka's own tool refuses: a setting is wrong, or the disk is full.
    """
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if (properties.parent / "kafka-data" / "meta.properties").exists():
        return
    # With "=": one id in 64 begins with "-", and would be taken for an option.
    tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config", str(properties))
    command = (*_jvm(java, jars, jvm_options), *tool)
    done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        cause = likely_cause(done.stdout + done.stderr)
        raise ConfigError(f"Kafka refuses its settings or its folder {properties.parent}: {cause}")


def bootstrap_servers(port: int) -> str:
    """What a Kafka client takes as its bootstrap.servers."""
    return f"{HOST}:{port}"


def answers(port: int) -> bool:
    """Whether a broker at this port takes part in its cluster: it lists itself."""
    try:
        socket.create_connection((HOST, port), PROBE_TIMEOUT_S).close()  # a client is dear while nothing listens
        client = AdminClient({"bootstrap.servers": bootstrap_servers(port), "log_level": 0})
        return bool(client.list_topics(timeout=PROBE_TIMEOUT_S).brokers)
    except (OSError, KafkaException):
        return False


def prepare_coordinators(port: int, timeout_s: float = COORDINATOR_TIMEOUT_S) -> None:
    """Have the broker make its internal topics now.

    Otherwise the first consumer group waits three seconds for them (librdkafka asks once a second until the group's
    coordinator is there) and the first transactional producer one more.

    Args:
        port: the broker's.
        timeout_s: how long either coordinator may take, in seconds.

    Raises:
        StreamError: a coordinator is not there in time: what the broker said last.
    """
    client = {"bootstrap.servers": bootstrap_servers(port), "log_level": 0}
    try:
        Producer(client | {"transactional.id": "nobody"}).init_transactions(timeout_s)
    except KafkaException as error:
        raise _no_coordinator("transactions", timeout_s, error) from error
    consumer = Consumer(client | {"group.id": "nobody"})
    try:
        _wait_for_group_coordinator(consumer, timeout_s)
    finally:
        consumer.close()


def _wait_for_group_coordinator(consumer: Consumer, timeout_s: float) -> None:
    """The broker says with several codes that the coordinator's topic is being made and loaded."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            consumer.committed([TopicPartition("nothing", 0)], timeout_s)
            return
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise _no_coordinator("consumer groups", timeout_s, error) from error
        consumer.poll(POLL_S)


def _no_coordinator(of_what: str, timeout_s: float, error: KafkaException) -> StreamError:
    return StreamError(
        f"Kafka started, but its coordinator of {of_what} was not there in {timeout_s:g} s ({error.args[0].str()}). "
        "Its log is kafka.log in the broker's folder; a machine with much else to do may only need another try"
    )


def log_settings() -> Path:
    """The log4j2.properties that ships."""
    return shipped("cli/broker/log4j2.properties")


def _jvm(java: Java, jars: Sequence[Path], jvm_options: Sequence[str]) -> tuple[str, ...]:
    logs = f"-Dlog4j2.configurationFile={log_settings()}"
    return (str(java.path), *jvm_options, logs, "-cp", ":".join(map(str, jars)))
