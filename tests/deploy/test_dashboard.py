"""The dashboard and the rules: as files. (What they show of a worker at work is in test_system.py.)"""

import re
import subprocess
from pathlib import Path

import pytest

from stream.runtime.metrics import WorkerMetrics
from tests.deploy.files import DASHBOARD, DEPLOY, QUERIES
from tests.deploy.prometheus_binary import find_prometheus

pytestmark = pytest.mark.slow  # downloads Prometheus where it is not installed


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
    assert "9 rules found" in checked.stdout + checked.stderr
