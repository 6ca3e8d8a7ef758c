"""`stream demo` as a user starts it: a real Kafka, a worker, and what is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from stream.cli.broker.local import LocalBroker
from stream.cli.demo.run import run_demo
from stream.cli.demo.stage import Places
from tests.conftest import KERNELS

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


def check(result: dict[str, Any], events: range) -> None:
    """What holds of every demo: all events are predicted, the three poisoned records are dead letters."""
    assert result.keys() >= KEYS
    assert result["events"] in events
    assert result["predictions"] == result["events"]
    assert result["dead_letters"] == 3
    assert result["dead_letter_errors"] == ["truncated", "unknown_schema", "unresolvable_schema"]
    assert 0 < result["p50_ms"] <= result["p99_ms"]


def test_it_ends_with_one_json_object(tmp_path: Path) -> None:
    """Ten seconds of payments, as a user starts them: one line on stdout, and nothing is left."""
    demo = start(tmp_path, ["fraud", "--seconds", "10", "--rate", "1000", "--json"])
    out, progress = demo.communicate(timeout=480)
    assert demo.returncode == 0, progress
    (line,) = out.splitlines()
    result = json.loads(line)
    check(result, range(9_001, 10_101))
    assert result["roc_auc"] > result["baseline"]["roc_auc"]
    assert "SIMULATED" in progress
    steps = ("starting Kafka", "Kafka answers", "creating the topics", "starting a worker", "worker: compiling kernels")
    places = [progress.index(step) for step in (*steps, "first prediction", "stopping the worker")]
    assert places == sorted(places)
    assert list(tmp_path.iterdir()) == []
    assert left_in(tmp_path) == []


# The first calls of the bank, and all messages, which are at an end before the time is.
@pytest.mark.parametrize(
    ("name", "seconds", "rate", "events"),
    [("bank", 3.0, None, range(1_000, 2_000)), ("spam", 60.0, 2_500.0, range(5_574, 5_575))],
)
def test_real_streams_run_to_their_end(
    name: str,
    seconds: float,
    rate: float | None,
    events: range,
    broker: LocalBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the tests' Kafka in place of one of its own: a worker process, which is gone in the end as its folder is."""
    monkeypatch.setattr("stream.cli.demo.stage.LocalBroker", lambda *_, **__: nullcontext(broker))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run_demo(name, Places(None, KERNELS), seconds=seconds, rate=rate, seed=1, keep=False, as_json=True)
    check(result.as_json(), events)
    assert "UCI, CC BY 4.0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert left_in(tmp_path) == []


def test_fraud_on_four_partitions_goes_through_its_stages(
    broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Features by terminal come from a stage of their own (rule 34): all is predicted all the same."""
    monkeypatch.setattr("stream.cli.demo.stage.LocalBroker", lambda *_, **__: nullcontext(broker))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places = Places(None, KERNELS)
    result = run_demo("fraud", places, seconds=6, rate=1_000, seed=1, keep=False, as_json=True, partitions=4)
    check(result.as_json(), range(5_001, 6_101))
    topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=60).topics
    assert len(topics["card-fraud.by-terminal_id.repartition"].partitions) == 4
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("DEAD LETTER")]
    assert told
    assert all(re.match(r"DEAD LETTER partition [0-3], offset [\d,]+: ", line) for line in told)
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
        _, rest = demo.communicate(timeout=240)
        assert demo.returncode == 130, rest
        assert "Traceback" not in rest
        assert left_in(tmp_path) == []
        assert list(tmp_path.iterdir()) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
