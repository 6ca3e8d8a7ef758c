"""The dashboard and the rules on a real Prometheus, which scrapes a worker of docker-compose.yml at work."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.runtime.metrics import WorkerMetrics
from tests.control.processes import free_port
from tests.deploy.feeding import POISON_EVERY, QUICKLY, Feeder
from tests.deploy.files import DEPLOY
from tests.deploy.prometheus_binary import find_prometheus
from tests.deploy.system import System
from tests.runtime.waiting import wait_until

pytestmark = pytest.mark.slow  # downloads Prometheus where it is not installed

DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/stream.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


class Prometheus:
    """A running server, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """True once it answers queries."""
        try:
            return urllib.request.urlopen(f"{self._url}/-/ready", timeout=5).status == 200  # type: ignore[no-any-return]
        except OSError:
            return False

    def query(self, expression: str) -> list[float]:
        """Values of an instant query, NaN left out."""
        text = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{text}", timeout=10) as answer:
            found: Any = json.load(answer)
        assert found["status"] == "success", found
        values = [float(series["value"][1]) for series in found["data"]["result"]]
        return [value for value in values if not np.isnan(value)]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, system: System, feeder: Feeder) -> Iterator[Prometheus]:
    """Prometheus with the deployment's own configuration: the worker's address and the interval are mapped."""
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
    mapped = configuration.replace("worker:9464", f"127.0.0.1:{system.worker_port}").replace(": 5s", ": 500ms")
    assert mapped.count("500ms") == 2
    (folder / "prometheus.yml").write_text(mapped)
    (folder / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
    port = free_port()
    process = _run(folder, port)
    try:
        running = Prometheus(port)
        wait_until(running.is_ready, "a start of Prometheus")
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _run(folder: Path, port: int) -> subprocess.Popen[bytes]:
    arguments = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([str(find_prometheus()[0]), *arguments], stdout=log, stderr=log)


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    """Unique panels, each with a title and a query on the provisioned data source."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["targets"] for panel in panels)
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"prometheus"}


def test_every_metric_of_a_worker_is_on_the_dashboard_or_named_here() -> None:
    """A new metric that nobody can see is found by this test."""
    unseen = {"stream_app_info", "stream_drift_signals_hidden"}
    unseen |= {"stream_input_margin_records", "stream_restore_seconds_left"}  # of a snapshot, of a restore: not at once
    unseen |= {"stream_waiting_for_order_events"}  # of apps with stages alone: what is missing shows in a stage's lag
    shown = set(re.findall(r"stream_[a-z_]+?(?=_total|_bucket|_sum|_count|[^a-z_])", " ".join(QUERIES) + " "))
    metrics = {family.name for family in WorkerMetrics("fraud", [], []).registry.collect()}

    assert metrics - shown == unseen
    assert shown <= metrics


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


def test_the_configuration_and_its_rules_pass_promtool(tmp_path: Path) -> None:
    """What Prometheus itself says of deploy/prometheus."""
    checked = subprocess.run(
        [str(find_prometheus()[1]), "check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "7 rules found" in checked.stdout + checked.stderr
