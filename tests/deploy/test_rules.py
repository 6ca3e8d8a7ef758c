"""The rules that should wake somebody, on series that are given: promtool says which alerts fire."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import DEPLOY
from tests.deploy.prometheus_binary import find_prometheus

pytestmark = pytest.mark.slow  # downloads Prometheus where it is not installed

TWO_TASKS_EACH = {
    'stream_standbys_wanted{instance="a"}': "2x30",
    'stream_standbys_wanted{instance="b"}': "2x30",
    'stream_standbys_warm{instance="a"}': "2x30",
    'stream_standbys_warm{instance="b"}': "2x30",
}


def fires(alert: str, series: Mapping[str, str], labels: Mapping[str, str], folder: Path) -> bool:
    """Whether this alert fires after half an hour of these series, one value a minute."""
    text = (DEPLOY / "prometheus/rules.yml").read_text()
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if rule["alert"] == alert]
    for rule in rules:
        rule["annotations"] = {}
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "stream", "rules": rules}]}))
    wanted = {"eval_time": "25m", "alertname": alert, "exp_alerts": [{"exp_labels": dict(labels)}]}
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": [wanted]}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    command = [str(find_prometheus()[1]), "test", "rules", "test.yml"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0 or "got:[]" in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    return ended.returncode == 0


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [
        ({}, False),
        ({'stream_standbys_warm{instance="b"}': "1x30"}, True),
        ({'stream_standbys_warm{instance="a"}': "0x30", 'stream_standbys_warm{instance="b"}': "0x30"}, True),
        (dict.fromkeys(TWO_TASKS_EACH, "0x30"), False),  # none are wanted
    ],
)
def test_too_few_standbys_are_told(changed: Mapping[str, str], is_told: bool, tmp_path: Path) -> None:
    """Over all workers: whom each of them follows is not theirs to say."""
    assert fires("StandbysMissing", {**TWO_TASKS_EACH, **changed}, {}, tmp_path) == is_told


@pytest.mark.parametrize(
    ("behind", "is_told"), [("0+100x30", True), ("5000x30", False), ("0x30", False), (" ".join(["NaN"] * 30), False)]
)
def test_a_standby_that_falls_behind_is_told(behind: str, is_told: bool, tmp_path: Path) -> None:
    """Not one that stays a few cycles behind, nor one that is being loaded."""
    labels = {"instance": "a", "partition": "3"}
    series = {'stream_standby_lag_records{instance="a",partition="3"}': behind}

    assert fires("StandbyFallsBehind", series, labels, tmp_path) == is_told
