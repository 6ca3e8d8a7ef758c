"""The control plane on a real Kafka: what operators did survives, and they see what was committed, once."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.cli.broker.local import LocalBroker
from stream.control.alerts import Action, Command
from stream.control.broker import partition_count
from stream.control.wire import encode_command
from stream.errors import ConfigError, RetriableError
from tests.conftest import MakeTopic
from tests.control.processes import Control, free_port, request
from tests.control.samples import alert_at, confluent

PARTITIONS = 3


def send(servers: str, topic: str, values: dict[int, bytes], partitions: int = PARTITIONS) -> None:
    """Produce each value to the partition that its number gives, and wait for the broker."""
    producer = Producer({"bootstrap.servers": servers})
    for number, value in values.items():
        producer.produce(topic, value, partition=number % partitions)
    assert producer.flush(30) == 0


def alerts(*offsets: int) -> dict[int, bytes]:
    """Encoded alerts by offset."""
    return {offset: confluent(alert_at(offset)) for offset in offsets}


@pytest.fixture
def control(broker: LocalBroker, topic: MakeTopic, tmp_path: Path) -> Iterator[Control]:
    """An instance for an app of its own on a topic of three partitions, not started yet; ended behind the test."""
    app = f"fraud-{uuid.uuid4().hex[:8]}"
    one = Control(app, topic("alerts", PARTITIONS), broker.bootstrap_servers, tmp_path, free_port())
    yield one
    if one.process is not None:
        one.end()


def test_what_operators_did_is_still_there_after_kill_9(control: Control) -> None:
    """Three alerts, one acknowledged, one resolved, kill -9, restart: all as before, and again as alerts come twice."""
    first, second, third = (alert_at(offset).id for offset in (1, 2, 3))
    send(control.servers, control.topic, alerts(1, 2, 3))
    control.start()
    control.wait(lambda: len(control.alerts()) == 3, "list three alerts")

    assert control.act(first, "acknowledge", "looking", "alice")[0] == 200
    assert control.act(second, "resolve", "a campaign", "bob")[0] == 200
    control.end(signal.SIGKILL)
    control.start()

    assert control.alerts() == {first: "acknowledged", second: "resolved", third: "open"}
    history = control.show(first)[1]["history"]
    assert [(step["state"], step["by"], step["reason"]) for step in history] == [("acknowledged", "alice", "looking")]
    send(control.servers, control.topic, alerts(1, 2, 3, 4, 5, 6))
    control.wait(lambda: len(control.alerts()) == 6, "take the alerts behind the ones that came twice")
    assert {control.alerts()[alert_id] for alert_id in (first, second)} == {"acknowledged", "resolved"}
    status, refusal = control.act(first, "acknowledge", name="bob")
    assert (status, refusal["error"].startswith(f"alert {first} was acknowledged by alice at ")) == (409, True)
    assert control.end(signal.SIGTERM) == 0


def test_a_command_written_down_before_a_crash_is_applied_after_it(control: Control) -> None:
    """The command is on its topic and the process is gone before it was applied: the restart applies it, once."""
    alert_id = alert_at(1).id
    send(control.servers, control.topic, alerts(1))
    control.start()
    control.wait(lambda: len(control.alerts()) == 1, "list the alert")
    control.end(signal.SIGKILL)

    command = encode_command(Command("c1", alert_id, Action.RESOLVE, "alice", 1_700_000_000_000, "over"))
    send(control.servers, f"{control.app}-control-commands", {1: command, 1 + PARTITIONS: command})
    control.start()

    control.wait(lambda: control.alerts() == {alert_id: "resolved"}, "apply the command")
    assert len(control.show(alert_id)[1]["history"]) == 1


def test_alerts_of_an_aborted_transaction_are_never_seen(control: Control) -> None:
    """One alert aborted, one committed behind it: the list has the second alone."""
    producer = Producer({"bootstrap.servers": control.servers, "transactional.id": control.app})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(control.topic, confluent(alert_at(1)), partition=0)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce(control.topic, confluent(alert_at(2)), partition=0)
    producer.commit_transaction(30)
    control.start()

    control.wait(lambda: len(control.alerts()) > 0, "list the committed alert")
    assert list(control.alerts()) == [alert_at(2).id]


def test_the_api_refuses_strangers_and_mistakes_and_poison_stops_nothing(control: Control) -> None:
    """Wrong tokens, unknown ids, missing reasons and damaged records: each has its answer, and the rest goes on."""
    send(control.servers, control.topic, {1: b"\0\0\0\0\7poison", 2: b"", 4: confluent(alert_at(4))})
    control.start()
    control.wait(lambda: len(control.alerts()) == 1, "list the alert behind the poison")
    alert_id = alert_at(4).id

    assert request(control.port, "GET", "/healthz", None)[0] == 200
    assert request(control.port, "GET", "/v1/alerts", None)[0] == 401
    assert request(control.port, "GET", "/v1/alerts", "wrong-token-0123456789")[0] == 401
    assert request(control.port, "POST", f"/v1/alerts/{alert_id}/resolve", "x", {"reason": "y"})[0] == 401
    status, body = control.show(alert_id.replace("/4/", "/5/"))
    assert (status, body["nearest"]) == (404, [alert_id])
    assert control.act(alert_id, "resolve")[0] == 400
    assert control.get("/v1/alerts?state=shut")[1] == {
        "error": "state=shut is unknown: use open, acknowledged, resolved"
    }
    assert control.get("/v1/alerts?limit=0")[0] == 400
    assert control.get("/v1/alerts?severty=info")[0] == 400
    assert control.get("/v2/alerts")[0] == 404
    assert control.alerts("&severity=critical") == {}
    assert control.alerts("&state=open&severity=warning&model=champion") == {alert_id: "open"}


def test_every_instance_answers_for_all_partitions(control: Control) -> None:
    """Two instances share the partitions; each lists, shows and changes the other's alerts."""
    ids = {alert_at(offset).id for offset in range(1, 7)}
    send(control.servers, control.topic, alerts(*range(1, 7)))
    other = Control(control.app, control.topic, control.servers, control.folder, free_port())
    control.start()
    control.wait(lambda: control.get("/v1/alerts")[1].get("total") == 6, "list six alerts")
    other.start()
    try:
        for one in (control, other):
            one.wait(lambda one=one: one.get("/v1/alerts")[1].get("total") == 6, "list six alerts")  # type: ignore[misc]
            assert set(one.alerts()) == ids
        for offset in range(1, 7):
            actor, reader = (control, other) if offset % 2 else (other, control)
            assert actor.act(alert_at(offset).id, "acknowledge", name="bob")[0] == 200
            assert reader.act(alert_at(offset).id, "acknowledge", name="alice")[0] == 409
            assert reader.show(alert_at(offset).id)[1]["history"][0]["by"] == "bob"
        page = other.get("/v1/alerts?limit=4")[1]
        rest = control.get(f"/v1/alerts?limit=4&after={page['next']}")[1]
        assert [shown["offset"] for shown in page["alerts"] + rest["alerts"]] == [6, 5, 4, 3, 2, 1]
    finally:
        other.end()


def test_a_missing_topic_or_broker_is_one_clear_error(broker: LocalBroker) -> None:
    """Nothing is created by mistake: the error says what to run."""
    with pytest.raises(ConfigError, match="topic no-such-alerts does not exist: create it with `stream topics create"):
        partition_count({"bootstrap.servers": broker.bootstrap_servers}, "no-such-alerts")
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(RetriableError, match=f"no Kafka answers at {nowhere}"):
        partition_count({"bootstrap.servers": nowhere}, "alerts")


def test_a_resolved_alert_is_forgotten_when_its_time_is_over(control: Control) -> None:
    """Resolved ones are kept for two seconds here: one leaves table and changelog, the open one stays."""
    resolved, open_one = alert_at(1).id, alert_at(2).id
    control.keep_resolved_s = 2.0
    send(control.servers, control.topic, alerts(1, 2))
    control.start()
    control.wait(lambda: len(control.alerts()) == 2, "list both alerts")

    assert control.act(resolved, "resolve", "over")[0] == 200

    control.wait(lambda: control.alerts() == {open_one: "open"}, "forget the resolved alert")
    control.end(signal.SIGKILL)
    control.start()
    assert control.alerts() == {open_one: "open"}


@pytest.mark.kafka
def test_it_reads_with_the_workers_user_and_password(tmp_path: Path) -> None:
    """A broker with a listener for SASL: with the password alerts are listed, with another one error says why."""
    plain, controller, secured = free_port(), free_port(), free_port()
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{secured}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{secured}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            'username="admin" password="admin-secret" user_worker="worker-secret";'
        ),
    }
    with LocalBroker(tmp_path / "kafka", kafka_port=plain, settings=settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(60)
        send(broker.bootstrap_servers, "alerts", alerts(1), 1)
        security = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "worker",
            "sasl.password": "worker-secret",
        }
        servers = f"127.0.0.1:{secured}"
        with pytest.raises(RetriableError, match=rf"no Kafka answers at {servers} \(.*[Aa]uthentication failed"):
            partition_count({"bootstrap.servers": servers, **security, "sasl.password": "wrong"}, "alerts")
        control = Control("fraud", "alerts", servers, tmp_path, free_port(), security)
        try:
            control.start()
            control.wait(lambda: control.alerts() == {alert_at(1).id: "open"}, "list the alert")
            assert control.act(alert_at(1).id, "acknowledge")[0] == 200
        finally:
            control.end()
