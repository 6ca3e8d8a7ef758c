"""The dashboard and the rules on a real Prometheus, which scrapes a worker's endpoint as deploy/prometheus says."""

import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.engine.metrics import CycleMetrics, DriftStatistic, LabelOutcome
from stream.records import RejectReason
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.metrics_server import MetricsServer
from tests.deploy.files import DEPLOY
from tests.deploy.prometheus_binary import find_prometheus

pytestmark = pytest.mark.slow  # downloads Prometheus where it is not installed

LIMIT_S = 60.0
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/stream.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


class Working(threading.Thread):
    """A worker as Prometheus sees it: commits a cycle of 100 events every 50 ms until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.metrics = WorkerMetrics("fraud", ["champion"], ["error"])
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Record cycle after cycle."""
        self.metrics.record_compile(0.0)
        while not self._stop_asked.wait(0.05):
            self.metrics.record_cycle(0, self._cycle())
            self.metrics.record_batch(100, 0.002)
            self.metrics.record_latencies(np.full(100, 0.08))
            self.metrics.record_commit(0.004)
            self.metrics.record_lag(0, 12)
            self.metrics.record_snapshot(0, int(time.time() * 1000))
            self.metrics.record_restore(0, 1.0)

    def end(self) -> None:
        """Stop recording."""
        self._stop_asked.set()
        self.join()

    def _cycle(self) -> CycleMetrics:
        return CycleMetrics(
            events=100,
            rejections={RejectReason.TRUNCATED: 1},
            labels={LabelOutcome.JOINED: 30},
            learned={"champion": 30},
            alerts=0,
            evictions=1,
            models={"champion": {"roc_auc": 0.91}},
            drift=(DriftStatistic("champion", "error", "ADWIN", 0.08),),
            state_bytes=1 << 20,
            state_keys=1_000,
        )


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


def wait_for(is_so: Any, what: str) -> None:
    """Until a condition holds, with a deadline."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen within {LIMIT_S:g} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the deployment's own configuration: the worker's address and the interval are mapped."""
    folder = tmp_path_factory.mktemp("prometheus")
    working = Working()
    working.start()
    with MetricsServer("127.0.0.1", 0, working.metrics.registry, WorkerHealth()) as server:
        configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
        mapped = configuration.replace("worker:9464", f"127.0.0.1:{server.port}").replace(": 5s", ": 500ms")
        assert mapped.count("500ms") == 2
        (folder / "prometheus.yml").write_text(mapped)
        (folder / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = _run(folder, port)
        try:
            running = Prometheus(port)
            wait_for(running.is_ready, "a start of Prometheus")
            yield running
        finally:
            process.terminate()
            process.wait(30)
            working.end()


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
    shown = set(re.findall(r"stream_[a-z_]+?(?=_total|_bucket|_sum|_count|[^a-z_])", " ".join(QUERIES) + " "))
    metrics = {family.name for family in WorkerMetrics("fraud", [], []).registry.collect()}

    assert metrics - shown == unseen
    assert shown <= metrics


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_returns_data(prometheus: Prometheus, query: str) -> None:
    """Grafana fills $__rate_interval in; here it is ten scrapes."""
    expression = query.replace("$__rate_interval", "5s")

    wait_for(lambda: prometheus.query(expression), f"data for {expression}")


def test_the_figures_are_those_of_the_worker(prometheus: Prometheus) -> None:
    """About 2,000 events a second in cycles of 100, one in 101 rejected, latency in the bucket of 80 ms."""
    wait_for(lambda: prometheus.query("sum(increase(stream_events_total[5s])) > 1000"), "1,000 events in 5 s")

    (share,) = prometheus.query("sum(rate(stream_rejections_total[5s])) / sum(rate(stream_events_total[5s]))")
    latency = "histogram_quantile(0.5, sum by (le) (rate(stream_latency_seconds_bucket[5s])))"
    assert share == pytest.approx(0.01, rel=0.01)
    assert 0.05 <= prometheus.query(latency)[0] <= 0.1
    assert prometheus.query("avg(stream_model_metric)") == [0.91]


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
    assert "5 rules found" in checked.stdout + checked.stderr
