"""`stream alerts`, as an operator and a script see it, against a real API on a table of its own."""

import getpass
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.kafka.registry import Registry
from tests.conftest import MakeTopic
from tests.control.processes import Control, free_port
from tests.control.samples import LATER, SHIPPED, alert_at, confluent, written_later
from tests.control.serve import TOKENS
from tests.control.test_control_on_kafka import alerts, send


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folders of this module's commands."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def control(broker: LocalBroker, topic: MakeTopic, tmp_path: Path) -> Iterator[Control]:
    """A control plane with two alerts."""
    one = Control("fraud", topic("alerts", 3), broker.bootstrap_servers, tmp_path, free_port())
    one.app = one.topic  # a group of its own
    send(one.servers, one.topic, alerts(1, 2))
    one.start()
    one.wait(lambda: len(one.alerts()) == 2, "list two alerts")
    yield one
    one.end()


def stream_alerts(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `stream alerts ...` with a home of its own and these variables."""
    kept: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    environment = {**kept, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), **variables}
    command = [sys.executable, "-m", "stream.cli.main", "alerts", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_an_operator_lists_acknowledges_and_resolves(control: Control, folder: Path) -> None:
    """Plain lines without a terminal, JSON on request, and what was done shows up with the name of the token."""
    here = {"STREAM_CONTROL_URL": f"http://127.0.0.1:{control.port}", "STREAM_CONTROL_TOKEN": TOKENS["bob"]}
    newest, oldest = alert_at(2), alert_at(1)

    listed = stream_alerts(folder, "list", **here)
    acknowledged = stream_alerts(folder, "ack", oldest.id, "--reason", "looking", **here)
    again = stream_alerts(folder, "ack", oldest.id, **here)
    resolved = stream_alerts(folder, "resolve", newest.id, "--reason", "over", "--json", **here)
    mistyped = stream_alerts(folder, "show", oldest.id.replace("ADWIN", "ADWINN"), **here)
    wrong = stream_alerts(folder, "list", **here | {"STREAM_CONTROL_TOKEN": "wrong-token-0123456789"})
    page = json.loads(stream_alerts(folder, "list", "--json", "--limit", "1", **here).stdout)

    assert [line.split("\t") for line in listed.stdout.splitlines()] == [
        ["open", "warning", "2023-11-14T22:14:22.500Z", newest.id, newest.sentence],
        ["open", "warning", "2023-11-14T22:14:21.500Z", oldest.id, oldest.sentence],
    ]
    assert (acknowledged.returncode, "acknowledged by bob at " in acknowledged.stdout) == (0, True)
    assert again.returncode == 1
    assert again.stderr.startswith(f"stream: alert {oldest.id} was acknowledged by bob at ")
    assert json.loads(resolved.stdout)["history"][0]["reason"] == "over"
    assert mistyped.returncode == 1
    assert f"there is no alert {oldest.id}N; did you mean {oldest.id} or " in mistyped.stderr
    assert (wrong.returncode, "does not know this token" in wrong.stderr) == (1, True)
    assert (page["total"], page["alerts"][0]["id"], page["next"]) == (2, newest.id, newest.id)


def test_stream_control_makes_a_token_and_the_next_command_uses_it(
    broker: LocalBroker, topic: MakeTopic, tmp_path: Path
) -> None:
    """No token anywhere: `stream control APP` writes one for its owner alone, and `stream alerts` finds it.

    One of the alerts was written by a later release: its schema is the registry's.
    """
    alerts_topic = topic("alerts", 2)
    with Registry(KafkaSettings("test", "test", registry_url=broker.registry_url)) as registry:
        later_id = registry.register(f"{alerts_topic}-value", json.dumps(LATER))
        shipped_id = registry.register(f"{alerts_topic}-value", json.dumps(SHIPPED))
    written = {1: written_later(alert_at(1), schema_id=later_id), 2: confluent(alert_at(2), shipped_id)}
    send(broker.bootstrap_servers, alerts_topic, written, partitions=2)
    port = free_port()
    environment = {
        "STREAM_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "STREAM_REGISTRY_URL": broker.registry_url,
        "STREAM_ALERTS_TOPIC": alerts_topic,
        "STREAM_TOPIC_PREFIX": f"{alerts_topic}-",
        "STREAM_CONTROL_PORT": str(port),
        "STREAM_CONTROL_URL": f"http://127.0.0.1:{port}",
    }
    command = [sys.executable, "-m", "stream.cli.main", "control", "tests.deploy.small_app:app"]
    home = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), **environment}
    log = tmp_path / f"control-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=home, stderr=out)
    one = Control("small", alerts_topic, broker.bootstrap_servers, tmp_path, port, process=process)
    try:
        one.wait(lambda: one.get("/readyz")[0] == 200, "be ready")
        one.wait(lambda: len(stream_alerts(tmp_path, "list", **environment).stdout.splitlines()) == 2, "list both")
        resolved = stream_alerts(tmp_path, "resolve", alert_at(1).id, "--reason", "over", "--json", **environment)
        assert json.loads(resolved.stdout)["history"][0]["by"] == getpass.getuser()
        assert stat.S_IMODE((tmp_path / "state/stream-learn/control-tokens").stat().st_mode) == 0o600
        second = subprocess.run(command, env=home, capture_output=True, text=True, timeout=240, check=False)
        assert (second.returncode, f"port {port} on 127.0.0.1 is in use" in second.stderr) == (1, True)
        assert "Traceback" not in second.stderr
    finally:
        assert one.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_without_a_broker_the_control_plane_says_so_once(tmp_path: Path) -> None:
    """One error in its log, with the reason and what to do, exit status 1, no traceback, nothing of the client's."""
    environment = {"STREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1", "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "stream.cli.main", "control", "tests.deploy.small_app:app", "--port"]
    ended = subprocess.run(
        [*command, str(free_port())],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    said = [json.loads(line) for line in ended.stderr.splitlines()]
    (error,) = [line["event"] for line in said if line["level"] != "info"]
    assert ended.returncode == 1
    assert error.startswith("no Kafka answers at 127.0.0.1:1 (")
    assert "Connect call failed" in error
    assert "`stream broker up`" in error


@pytest.mark.slow
def test_without_a_control_plane_the_error_says_how_to_start_one(folder: Path) -> None:
    """One line on stderr, exit status 1, no traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    ended = stream_alerts(folder, "list", STREAM_CONTROL_URL=url, STREAM_CONTROL_TOKEN=TOKENS["bob"])

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"stream: no control plane answers at {url}: start it with `stream control APP`")
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_a_token_the_error_says_where_one_would_be(folder: Path) -> None:
    """No variable, no file: both are named."""
    ended = stream_alerts(folder, "list")

    assert ended.returncode == 1
    assert "no token: set STREAM_CONTROL_TOKEN or --token (there is no " in ended.stderr


def test_the_list_of_alerts_does_not_import_faust() -> None:
    """Faust is the control plane's alone: other commands do not wait for it."""
    probe = "import sys, stream.cli.commands.alerts, stream.cli.commands.control; print('faust' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=240, check=True)

    assert ended.stdout.strip() == "False"
