"""`stream demo` as a user starts it: a real Kafka, a worker, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
KEYS = {
    "events",
    "predictions",
    "dead_letters",
    "alerts",
    "roc_auc",
    "pr_auc",
    "baseline",
    "p50_ms",
    "p99_ms",
    "events_per_s",
}


def start(tmp_path: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """`stream demo`, with folders of its own, where no setting of this machine reaches it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "stream.cli.main", "demo", *arguments],
        env={**environment, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_in(folder: Path) -> list[int]:
    """Processes that were started for this folder."""
    return [
        each.pid for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or ())
    ]


def test_it_ends_with_one_json_object(tmp_path: Path) -> None:
    """Ten seconds of payments: all are predicted, the three poisoned records are dead letters, nothing is left."""
    demo = start(tmp_path, ["fraud", "--seconds", "10", "--rate", "1000", "--json"])
    out, progress = demo.communicate(timeout=240)
    assert demo.returncode == 0, progress
    result = json.loads(out.splitlines()[-1])
    assert result.keys() >= KEYS
    assert result["events"] == result["predictions"] > 9_000
    assert result["dead_letters"] == 3
    assert result["dead_letter_errors"] == ["truncated", "unknown_schema", "unresolvable_schema"]
    assert result["roc_auc"] > result["baseline"]["roc_auc"]
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert "SIMULATED" in progress
    assert list(tmp_path.iterdir()) == []
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("moment", ["starting Kafka", "starting a worker", "first prediction"])
def test_ctrl_c_stops_everything_it_started_and_only_that(tmp_path: Path, moment: str) -> None:
    """Whenever it comes: exit status 130, no process and no folder is left, another process lives on."""
    bystander = subprocess.Popen(["sleep", "300"])
    try:
        demo = start(tmp_path, ["spam", "--seconds", "60"])
        assert demo.stderr is not None
        said = next((line for line in demo.stderr if moment in line), None)
        assert said is not None
        demo.send_signal(signal.SIGINT)
        _, rest = demo.communicate(timeout=120)
        assert demo.returncode == 130, rest
        assert "Traceback" not in rest
        assert left_in(tmp_path) == []
        assert list(tmp_path.iterdir()) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
