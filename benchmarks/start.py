"""The start of a worker: from the start of its process to its first prediction, as a consumer sees it.

Run: python -m benchmarks.start (`make bench-start`). The broker's initial rebalance delay is 0. "warm" finds its
kernels compiled, "cold" none of them; downloads and the environment are not in it. The phases are those of the last
warm and the last cold start.
"""

import argparse
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer

from benchmarks.cluster import (
    EVENT_TOPIC,
    fill,
    first_record,
    local_broker,
    make_app_topics,
    make_topic,
    start_process,
    start_worker,
    stop_process,
)
from benchmarks.report import report
from stream.cli.broker.local import LocalBroker

WARM, COLD, LOOP = "warm", "cold", "loop, at-least-once"
_NO_DELAY = {"group.initial.rebalance.delay.ms": "0"}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="in the topic when the worker starts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold-rounds", type=int, default=1, help="with 0, warm starts use the cache of the settings")
    parser.add_argument("--within-s", type=float, default=120.0, help="a start that takes longer is given up")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder, "kafka"), _NO_DELAY) as broker:
        fill(broker, chosen.events)
        compare(broker, Path(folder), chosen.rounds, chosen.cold_rounds, chosen.within_s)


def compare(broker: LocalBroker, folder: Path, rounds: int, cold_rounds: int, within_s: float) -> None:
    """Measure on a broker whose event topic is filled, and report.

    Args:
        broker: without an initial rebalance delay.
        folder: for the caches of cold starts.
        rounds: of warm starts, and of the loop.
        cold_rounds: with 0, warm starts use the cache of the settings.
        within_s: a start that takes longer is given up.
    """
    measured: dict[str, list[float]] = {WARM: [], COLD: [], LOOP: []} if cold_rounds else {WARM: [], LOOP: []}
    phases: dict[str, Phases] = {}
    for number in range(max(rounds, cold_rounds)):
        if number < cold_rounds:
            phases[COLD] = worker_start(broker, f"cold-{number}.", within_s, folder / f"cache-{number}")
            measured[COLD].append(phases[COLD].first_prediction_s)
        if number < rounds:
            cache = folder / "cache-0" if cold_rounds else None  # the first cold start has filled it
            phases[WARM] = worker_start(broker, f"warm-{number}.", within_s, cache)
            measured[WARM].append(phases[WARM].first_prediction_s)
            measured[LOOP].append(loop_start(broker, f"loop-{number}", within_s))
    for name, each in phases.items():
        print(f"\nphases of the last {name} start, seconds until")
        for what, at_s in (*each.said, ("the first prediction", each.first_prediction_s)):
            print(f"{at_s:8.2f}  {what}")
    report("start of a worker, process start to first prediction", "seconds", WARM, [LOOP], measured)


class Phases:
    """What a worker said while it started, and when; all in seconds since its process was started."""

    def __init__(self, process: subprocess.Popen[bytes], began_s: float) -> None:
        self._process = process
        self._began_s = began_s
        self.said: list[tuple[str, float]] = []
        self.first_prediction_s = 0.0
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            logged = json.loads(line) if line.startswith(b"{") else {}
            if logged.get("event") == "starting":
                self.said.append((logged["step"], time.perf_counter() - self._began_s))

    def close(self) -> None:
        """Hear the last of what the process says, which must have ended."""
        self._thread.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def wait_for_prediction(self, reader: Consumer, within_s: float) -> None:
        """Wait for the first record of the predictions' topic."""
        self.first_prediction_s = _wait_for_record(reader, self._process, self._began_s, within_s)


def worker_start(broker: LocalBroker, prefix: str, within_s: float, cache: Path | None) -> Phases:
    """Start a worker and see what it says until its first prediction."""
    reader = first_record(broker, make_app_topics(broker, prefix).predictions)
    began_s = time.perf_counter()
    worker = start_worker(broker, prefix, {"cache": str(cache)} if cache else {}, subprocess.PIPE)
    phases = Phases(worker, began_s)
    try:
        phases.wait_for_prediction(reader, within_s)
    finally:
        stop_process(worker)
        phases.close()
    return phases


def loop_start(broker: LocalBroker, output: str, within_s: float) -> float:
    """Seconds from the start of the loop's process to its first prediction."""
    make_topic(broker, output)
    reader = first_record(broker, output)
    began_s = time.perf_counter()
    loop = start_process(["-m", "benchmarks.kafka_loop", broker.bootstrap_servers, EVENT_TOPIC, output, "1"])
    try:
        return _wait_for_record(reader, loop, began_s, within_s)
    finally:
        loop.wait(within_s)


def _wait_for_record(reader: Consumer, process: subprocess.Popen[bytes], began_s: float, within_s: float) -> float:
    while time.perf_counter() - began_s < within_s:
        message = reader.poll(0.1)
        if message is not None and message.error() is None:
            reader.close()
            return time.perf_counter() - began_s
        if process.poll():
            raise SystemExit(f"the process ended with status {process.returncode}")
    raise SystemExit(f"no prediction came within {within_s:.0f} s")


if __name__ == "__main__":
    main()
