"""The system that docker-compose.yml describes, at work: topics, worker, health, an alert from its cause to its end,
and its figures on a real Prometheus.

All in one module, on a broker of its own: topics of the file have its names, which tests of the demos have too, with
other partitions, and a second system on the same broker would go on where the first was.
"""

import signal
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings, TopicNames
from stream.kafka.admin import Admin
from tests.deploy.feeding import POISON_EVERY, QUICKLY, Feeder
from tests.deploy.files import QUERIES
from tests.deploy.prometheus_server import Prometheus, prometheus_of
from tests.deploy.system import PREFIX, System, warm_command
from tests.runtime.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

# Within so many events of where the fraud pattern changes, an alert is to place it.
PLACED_WITHIN = 2_000


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """The broker of the system."""
    with LocalBroker(tmp_path_factory.mktemp("kafka")) as local:
        yield local


@pytest.fixture(scope="module")
def system(kafka: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Kernels compiled as the image's build does, topics made, worker and control plane started: in Compose's order."""
    whole = System(kafka, tmp_path_factory.mktemp("compose"))
    built = subprocess.run(
        warm_command(), env=whole.environment("worker"), capture_output=True, text=True, timeout=300, check=False
    )
    assert built.returncode == 0, built.stderr
    whole.run_once("topics")
    try:
        # A snapshot within seconds: its age is among the figures that are asked for.
        whole.start("worker", STREAM_SNAPSHOT_INTERVAL_S="2")
        whole.start("control")
        whole.wait_until_ready("worker")
        whole.wait_until_ready("control")
        yield whole
    finally:
        for service in list(whole.running):
            whole.end(service, signal.SIGKILL)


@pytest.fixture(scope="module")
def feeder(system: System, kafka: LocalBroker) -> Iterator[Feeder]:
    """Payments, from the moment when a first test asks for them."""
    feeding = Feeder(kafka)
    feeding.start()
    yield feeding
    feeding.end()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, system: System, feeder: Feeder) -> Iterator[Prometheus]:
    """It scrapes the worker, to which payments come."""
    with prometheus_of(system.worker_port, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def test_on_an_empty_kafka_all_topics_are_made(system: System, kafka: LocalBroker) -> None:
    """Those that the app reads and those that it writes; a second time changes nothing."""
    names = TopicNames.of("card-fraud", PREFIX)
    admin = Admin(KafkaSettings("test", "test", kafka.bootstrap_servers, kafka.registry_url))

    wanted = ["payments", "verdicts", names.predictions, names.alerts, names.dead_letters, names.journal]
    assert all(state is not None and state.partitions == 1 for state in admin.describe(wanted).values())
    assert f"{names.predictions} is there already" in system.run_once("topics")


def test_a_worker_of_the_image_compiles_nothing_at_its_start(system: System) -> None:
    """The build's warm-up has compiled what the worker needs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{system.worker_port}/metrics", timeout=60) as answer:
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


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_returns_data(prometheus: Prometheus, query: str) -> None:
    """Grafana fills $__rate_interval in; here it is ten scrapes."""
    expression = query.replace("$__rate_interval", "5s")

    wait_until(lambda: prometheus.query(expression), f"data for {expression}")


def test_the_figures_are_those_of_the_worker(prometheus: Prometheus, feeder: Feeder) -> None:
    """What was sent is what is shown: events, one damaged record in 201, labels, a model that has learned."""

    def one(expression: str) -> float:
        (value,) = prometheus.query(expression)
        return value

    wait_until(lambda: one("sum(stream_events_total)") > QUICKLY, f"{QUICKLY} events are counted")
    events, damaged = one("sum(stream_events_total)"), one('stream_rejections_total{reason="truncated"}')
    assert damaged / (events + damaged) == pytest.approx(1 / (POISON_EVERY + 1), rel=0.05)
    assert events + damaged <= feeder.sent_events
    assert one('stream_learned_total{model="champion"}') > QUICKLY / 2
    # 0.68 as a rule: the pattern of fraud has just changed. 0.5 where nothing was learned.
    assert one('avg(stream_model_metric{model="champion",metric="roc_auc"})') > 0.6
    assert one("max(stream_compile_seconds)") == 0
