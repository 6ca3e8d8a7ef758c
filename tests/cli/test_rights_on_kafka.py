"""The rights that `stream topics create --plan` names are enough, on a broker that grants nothing else."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from stream.cli.backfill.loading import with_file_loaded
from stream.cli.broker.local import LocalBroker
from stream.cli.broker.ports import reserve_free_port
from stream.cli.guard import Guard
from stream.config import KafkaSettings
from stream.errors import ConfigError
from stream.kafka.admin import Admin
from stream.kafka.topic_plan import TopicSpec
from stream.runtime.loading import load_app
from stream.runtime.settings import load_settings
from tests.cli.commands import run
from tests.control.processes import Control, free_port
from tests.runtime.waiting import wait_until

pytestmark = pytest.mark.kafka
KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional-id": ResourceType.TRANSACTIONAL_ID}
USERS = {"worker": "worker-secret", "control": "control-secret"}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalBroker, str]]:
    """A broker where those with a password may do nothing that they were not granted, and its address for them.

    Who comes by the plain listener is its administrator.
    """
    plain, controller, secured = (one_port() for _ in range(3))
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{secured}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{secured}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="x" {users};'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with LocalBroker(tmp_path_factory.mktemp("strict"), kafka_port=plain, settings=settings) as broker:
        yield broker, f"127.0.0.1:{secured}"


def one_port() -> int:
    """A port that nobody has."""
    reserved = reserve_free_port()
    reserved.release()
    return reserved.number


def security(user: str) -> dict[str, str]:
    """What a client says to come in."""
    login = {"sasl.username": user, "sasl.password": USERS[user]}
    return {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", **login}


def grant(broker: LocalBroker, user: str, acls: list[dict[str, str]]) -> None:
    """What an administrator does with the plan."""
    bindings = [
        AclBinding(
            KINDS[acl["kind"]],
            acl["name"],
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", acl["operation"]).upper()],
            AclPermissionType.ALLOW,
        )
        for acl in acls
    ]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for made in admin.create_acls(bindings).values():
        made.result(60)


@pytest.fixture
def plan(strict: tuple[LocalBroker, str], project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The plan of the new project; its topics are there."""
    broker, _ = strict
    (project / "stream.toml").unlink()
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("STREAM_REGISTRY_URL", broker.registry_url)
    found: dict[str, Any] = json.loads(
        run("topics", "create", "shop.py:app", "--plan", "--inputs", "--partitions", "2", "--json").stdout
    )
    Admin(KafkaSettings("admin", "admin", broker.bootstrap_servers)).create(
        TopicSpec(**each) for each in found["topics"]
    )
    return found


def test_a_file_is_loaded_with_the_rights_of_the_plan(
    strict: tuple[LocalBroker, str], project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Those of a worker, and beside them what the plan names for it; without these the text says what is missing."""
    text = (project / "shop.py").read_text()
    (project / "shop.py").write_text(text.replace('App("shop")', 'App("files")').replace("shop-orders", "file-orders"))
    plan = request.getfixturevalue("plan")
    broker, servers = strict
    grant(broker, "worker", plan["acls"])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    kept = ConfigResource(
        ConfigResource.Type.TOPIC,
        "file-orders",
        incremental_configs=[ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)],
    )
    admin.incremental_alter_configs([kept])[kept].result(60)
    for name, value in security("worker").items():
        monkeypatch.setenv(f"STREAM_LIBRDKAFKA_{name.upper().replace('.', '_')}", value)
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", servers)
    plans, settings = (load_app("shop.py:app").plan,), load_settings(begin_from="orders.csv").values

    with pytest.raises(ConfigError, match=r"not allowed: .*files\.backfill"):
        with_file_loaded(plans, settings, print)
    grant(broker, "worker", plan["backfill"]["acls"])
    wait_until(lambda: with_file_loaded(plans, settings, print).emit_from.startswith("2025-03"), "the file is loaded")


def test_a_worker_runs_with_the_rights_of_the_plan(
    strict: tuple[LocalBroker, str], plan: dict[str, Any], tmp_path: Path
) -> None:
    """It joins, predicts, commits, leaves a snapshot, and complains of nothing. (So short a run trims no journal.)"""
    broker, servers = strict
    grant(broker, "worker", plan["acls"])
    assert run("produce", "orders.csv", "--topic", "shop-orders", "--schema", "order", "--limit", "200").exit_code == 0
    own = {f"STREAM_LIBRDKAFKA_{name.upper().replace('.', '_')}": value for name, value in security("worker").items()}
    own |= {"STREAM_BOOTSTRAP_SERVERS": servers, "STREAM_METRICS_PORT": "-1", "STREAM_SNAPSHOT_INTERVAL_S": "1"}
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "stream.cli.main", "run", "shop.py:app"]
        worker = subprocess.Popen(command, env={**os.environ, **own}, stdout=file, stderr=file)
    guard = Guard([worker.pid], signal.SIGKILL)
    try:
        wait_until(lambda: committed(broker) == 200 or worker.poll() is not None, "200 orders", log.read_text)
        worker.terminate()
        assert worker.wait(60) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
        guard.release()
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in said if line["level"] in ("warning", "error")] == []


def committed(broker: LocalBroker) -> int:
    """How many of the orders are."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "shop"})
    try:
        places = consumer.committed([TopicPartition("shop-orders", number) for number in range(2)], timeout=60)
        return sum(max(0, place.offset) for place in places)
    finally:
        consumer.close()


def test_a_control_plane_runs_with_the_rights_of_the_plan(
    strict: tuple[LocalBroker, str], plan: dict[str, Any], tmp_path: Path
) -> None:
    """It makes the topics of the plan and no others, is a group, and starts again where they are."""
    broker, servers = strict
    grant(broker, "control", plan["control"]["acls"])
    admin = Admin(KafkaSettings("admin", "admin", broker.bootstrap_servers))
    control = Control("shop", "shop.alerts", servers, tmp_path, free_port(), security("control"))
    try:
        control.start()
        made = admin.describe(name for name in admin.topics() if name.startswith("shop-control"))
        assert admin.group("shop-control").state == "STABLE"
        assert control.end(signal.SIGTERM) == 0
        control.start()
    finally:
        control.end()
    assert made.keys() == {topic["name"] for topic in plan["control"]["topics"]}
    for topic in plan["control"]["topics"]:
        state = made[topic["name"]]
        assert state is not None
        assert state.partitions == topic["partitions"]
        assert topic["config"].items() <= state.config.items()
