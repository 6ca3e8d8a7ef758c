"""The system that docker-compose.yml describes, at work: topics, worker, health, an alert from its cause to its end."""

import signal
import urllib.request

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings, TopicNames
from stream.kafka.admin import Admin
from tests.deploy.feeding import Feeder
from tests.deploy.system import PREFIX, System
from tests.runtime.waiting import wait_until

pytestmark = pytest.mark.slow

# Within so many events of where the fraud pattern changes, an alert is to place it.
PLACED_WITHIN = 2_000


def test_on_an_empty_kafka_all_topics_are_made(system: System, broker: LocalBroker) -> None:
    """Those that the app reads and those that it writes; a second time changes nothing."""
    names = TopicNames.of("card-fraud", PREFIX)
    admin = Admin(KafkaSettings("test", "test", broker.bootstrap_servers, broker.registry_url))

    wanted = ["payments", "verdicts", names.predictions, names.alerts, names.dead_letters, names.journal]
    assert all(state is not None and state.partitions == 1 for state in admin.describe(wanted).values())
    assert f"{names.predictions} is there already" in system.run_once("topics")


def test_a_worker_of_the_image_compiles_nothing_at_its_start(system: System) -> None:
    """The build's warm-up has compiled what the worker needs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{system.worker_port}/metrics", timeout=10) as answer:
        assert "\nstream_compile_seconds 0.0\n" in answer.read().decode()


@pytest.mark.parametrize("service", ["worker", "control"])
def test_a_health_check_passes_while_its_service_runs(system: System, service: str) -> None:
    """The file's own command, beside the real process."""
    assert system.health(service) == 0


def test_a_drift_alert_is_acknowledged_for_good(system: System, feeder: Feeder) -> None:
    """Fraud changes, the worker places it, the operator sees and acknowledges it; kill -9 does not undo that."""
    found: list[dict[str, object]] = []

    def is_listed() -> bool:
        listed = system.alerts("list", "--model", "champion")["alerts"]
        found[:] = [alert for alert in listed if alert["signal"] == "error"]
        return bool(found)

    wait_until(is_listed, "an alert about the champion's errors is listed", lambda: system.log("worker"))
    alert = found[-1]  # the oldest
    assert alert["state"] == "open"
    assert alert["kind"] == "drift"
    assert abs(int(str(alert["placed_offset"])) - feeder.changed_at) <= PLACED_WITHIN

    identity = str(alert["id"])
    system.alerts("ack", identity, "--reason", "looking at small payments on line")
    system.end("control", signal.SIGKILL)
    assert system.health("control") != 0
    system.start("control")
    system.wait_until_ready("control")

    again = system.alerts("show", identity)
    assert again["state"] == "acknowledged"
    (step,) = again["history"]
    assert (step["by"], step["reason"]) == ("alice", "looking at small payments on line")
    assert system.health("worker") == 0
