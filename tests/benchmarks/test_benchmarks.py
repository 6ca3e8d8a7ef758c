"""Every benchmark runs, and its last line is what programs read. How fast anything is, no test says."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

ROOT = Path(__file__).parents[2]
# A cold cache of kernels on a busy machine, and a broker that starts.
WITHIN_S = 240


def last_line(module: str, *arguments: str) -> dict[str, Any]:
    """What the benchmark's last line says, after it has ended well."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    environment = {**os.environ, "STREAM_CACHE": str(ROOT / "build" / "kernels")}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = orjson.loads(ended.stdout.splitlines()[-1])
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
