"""Every benchmark runs, and its last line is what programs read. How fast anything is, no test says."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import end_to_end, start
from benchmarks.cluster import fill
from stream.cli.broker.local import LocalBroker

ROOT = Path(__file__).parents[2]
# A cold cache of kernels on a busy machine, and a broker that starts.
WITHIN_S = 480
# On the broker of the session: one of their own each, as the commands have, is most of what these tests would take.
EVENTS, LOOP_EVENTS = 6_000, 2_000


@pytest.fixture(scope="module")
def filled(broker: LocalBroker) -> LocalBroker:
    """The session's broker with events in the topic of the benchmarks."""
    fill(broker, EVENTS)
    return broker


def last_line(module: str, *arguments: str) -> dict[str, Any]:
    """What the benchmark's last line says, after it has ended well."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    environment = {**os.environ, "STREAM_CACHE": str(ROOT / "build" / "kernels")}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return parsed(ended.stdout)


def parsed(printed: str) -> dict[str, Any]:
    """What the last line says."""
    said: dict[str, Any] = orjson.loads(printed.splitlines()[-1])
    return said


def assert_is_complete(said: dict[str, Any], unit: str, ours: str, peers: list[str]) -> None:
    """Scenario, unit, a figure for each, and the ratio to each peer."""
    assert list(said) == ["scenario", "unit", "results", "ratios"]
    assert said["unit"] == unit
    assert {ours, *peers} <= set(said["results"])
    assert all(figure > 0 for figure in said["results"].values())
    assert list(said["ratios"]) == peers
    for peer in peers:
        assert said["ratios"][peer] == pytest.approx(said["results"][ours] / said["results"][peer], rel=0.01)


@pytest.mark.slow
def test_the_engine_is_measured_beside_the_loop() -> None:
    """Two rounds of a few events; before them both are seen to give the same scores."""
    said = last_line("engine", "--events", "2000", "--loop-events", "500", "--rounds", "2", "--profile")

    assert_is_complete(said, "events/s", "stream", ["fastavro + River"])


@pytest.mark.slow
def test_a_worker_is_measured_end_to_end_beside_both_loops(
    filled: LocalBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """One round; every event of the topic is predicted and committed."""
    end_to_end.compare(filled, EVENTS, LOOP_EVENTS, rounds=1, within_s=WITHIN_S)

    peers = ["loop, at-least-once", "loop, exactly-once"]
    assert_is_complete(parsed(capsys.readouterr().out), "events/s", "stream run, exactly-once", peers)


@pytest.mark.slow
def test_the_start_of_a_worker_is_measured(
    filled: LocalBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warm start; a cold one takes half a minute and is left to `make bench-start`."""
    start.compare(filled, tmp_path, rounds=1, cold_rounds=0, within_s=WITHIN_S)

    printed = capsys.readouterr().out
    assert_is_complete(parsed(printed), "seconds", "warm", ["loop, at-least-once"])
    assert "joining the group" in printed


@pytest.mark.slow
def test_snapshots_of_a_large_state_are_measured() -> None:
    """A small one: what is written when 1 % of the keys were seen is a part of what the first snapshot wrote."""
    said = last_line("snapshots", "--megabytes", "20", "--seconds", "0.3")
    assert {"without a snapshot", "full, keys anywhere", "copied at once"} < set(said["results"])
    written = said["written_bytes"]
    assert written["full, keys anywhere"] >= said["state_bytes"]
    assert written["1 % of keys, the newest"] < said["state_bytes"] / 3
    assert all(seconds >= 0 for seconds in said["restore_s"].values())
    assert said["restore_s"]
