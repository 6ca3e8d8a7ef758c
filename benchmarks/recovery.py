"""Recovery: how long a task of a million keys is away after kill -9, beside Quix Streams' restore of the same state.

Run: python -m benchmarks.recovery --quix PYTHON (`make bench-recovery`). A worker learns from one event of each key,
snapshots, learns from `--journal-s` seconds of further events at `--rate` a second without a snapshot, and is killed.
Started again at once as a static member it loads the snapshot, replays those events, and goes on. What is measured ends
when each partition has given a new prediction to a read_committed reader; it begins with the start of the process, and
with the assignment (what comes before is the process's start and the broker's: rule 24). The group's session timeout is
not in it, since a static member that is back is assigned at once.

Quix Streams restores ten figures a key from its changelog, after one event of each key and none behind it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.card_app import app
from benchmarks.card_events import CardEvents, card_events
from benchmarks.cluster import (
    EVENT_TOPIC,
    PARTITIONS,
    ROOT,
    local_broker,
    make_app_topics,
    make_event_topic,
    make_topic,
    produce,
    reader_at_end,
    start_worker,
    stop_process,
    wait_until_committed,
)
from benchmarks.report import report
from stream.cli.broker.local import LocalBroker

FROM_ASSIGNMENT, FROM_KILL = "from assignment", "from kill -9 and restart"
QUIX, QUIX_FROM_START = "Quix Streams, from assignment", "Quix Streams, from restart"
_NO_DELAY = {"group.initial.rebalance.delay.ms": "0"}
_NEW_EVENTS = 400  # behind each kill: some for every partition
_LOOK_EVERY_S = 0.02


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--journal-s", type=int, default=60, help="between the snapshot and the kill")
    parser.add_argument("--rate", type=int, default=20_000, help="events a second meanwhile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quix",
        type=os.path.abspath,
        help="Python of an environment that has quixstreams; without it no peer is measured",
    )
    parser.add_argument("--within-s", type=float, default=300.0, help="what takes longer is given up")
    chosen = parser.parse_args()
    replayed = chosen.journal_s * chosen.rate
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder, "kafka"), _NO_DELAY) as broker:
        cards = _cards(chosen.keys, replayed + 2 * chosen.rounds * _NEW_EVENTS)
        events = Feed(broker, card_events(len(cards), make_event_topic(broker), payers=cards))
        events.send(chosen.keys)
        measured: dict[str, list[float]] = {FROM_ASSIGNMENT: [], FROM_KILL: []}
        if chosen.quix:
            measured |= quix(broker, events, chosen.quix, Path(folder, "quix"), chosen.rounds, chosen.within_s)
        measured |= worker(broker, events, replayed, chosen.rate, chosen.rounds, chosen.within_s)
    report(
        f"recovery of {chosen.keys:,} keys of 10 features, {replayed:,} events to replay, until the first new "
        "prediction of each partition",
        "seconds",
        FROM_ASSIGNMENT,
        [name for name in measured if name == QUIX],
        measured,
    )


@dataclass(slots=True)
class Feed:
    """The events, sent one after the other."""

    broker: LocalBroker
    events: CardEvents
    sent: int = 0

    def send(self, count: int, rate: float = 0.0) -> None:
        """The next ones."""
        produce(self.broker, self.events, self.sent, self.sent + count, rate)
        self.sent += count


def worker(
    broker: LocalBroker, events: Feed, replayed: int, rate: float, rounds: int, within_s: float
) -> dict[str, list[float]]:
    """Seconds of each round."""
    prefix, group = "recovery.", f"recovery.{app.name}"
    names = make_app_topics(broker, prefix)
    # One snapshot, of the clean stop: what comes behind it is replayed.
    settings = {"group_protocol": "classic", "group_instance_id": "benchmark", "snapshot_interval_s": "36000"}
    first = start_worker(broker, prefix, settings)
    wait_until_committed(broker, group, events.sent, first, within_s)
    stop_process(first)
    running = start_worker(broker, prefix, settings)
    events.send(replayed, rate)
    measured: dict[str, list[float]] = {FROM_ASSIGNMENT: [], FROM_KILL: []}
    for number in range(rounds):
        wait_until_committed(broker, group, events.sent, running, within_s)
        running.kill()
        running.wait()
        events.send(_NEW_EVENTS)
        restart = Restart(broker, names.predictions)
        running = start_worker(broker, prefix, settings, subprocess.PIPE)
        restart.watch(running, '"partitions gained"', within_s)
        measured[FROM_ASSIGNMENT].append(restart.from_assignment_s)
        measured[FROM_KILL].append(restart.total_s)
        _tell(number, "stream run", restart)
    running.kill()
    running.wait()
    return measured


def quix(
    broker: LocalBroker, events: Feed, python: str, folder: Path, rounds: int, within_s: float
) -> dict[str, list[float]]:
    """Seconds of each round: its folder is lost, as with a machine, and filled from the changelog."""
    output, group = "quix-figures", "quix"
    make_topic(broker, output)
    command = [python, "quix_loop.py", broker.bootstrap_servers, EVENT_TOPIC, output, str(folder), group]
    running = _start_quix(command)
    wait_until_committed(broker, group, events.sent, running, within_s)
    measured: dict[str, list[float]] = {QUIX: [], QUIX_FROM_START: []}
    for number in range(rounds):
        stop_process(running)
        shutil.rmtree(folder)
        events.send(_NEW_EVENTS)
        restart = Restart(broker, output)
        running = _start_quix(command, subprocess.PIPE)
        restart.watch(running, "Beginning recovery check", within_s)
        measured[QUIX].append(restart.from_assignment_s)
        measured[QUIX_FROM_START].append(restart.total_s)
        _tell(number, "Quix Streams", restart)
        wait_until_committed(broker, group, events.sent, running, within_s)
    stop_process(running)
    return measured


class Restart:
    """A process that is started again, until each partition of its output has something new."""

    def __init__(self, broker: LocalBroker, output: str) -> None:
        self._reader = reader_at_end(broker, output)
        self._began_s = time.monotonic()
        self._assigned_s = 0.0
        self.total_s = self.from_assignment_s = 0.0

    def watch(self, process: subprocess.Popen[bytes], assigned: str, within_s: float) -> None:
        """Wait; `assigned` stands in the line that it logs when it has its partitions."""
        threading.Thread(target=self._listen, args=(process, assigned), daemon=True).start()
        awaited = set(range(PARTITIONS))
        while awaited:
            message = self._reader.poll(_LOOK_EVERY_S)
            if message is not None and message.error() is None:
                awaited.discard(message.partition())
            if process.poll() is not None:
                raise SystemExit(f"the process ended with status {process.returncode}")
            if time.monotonic() > self._began_s + within_s:
                raise SystemExit(f"nothing new came from partitions {sorted(awaited)} within {within_s:.0f} s")
        self._reader.close()
        self.total_s = time.monotonic() - self._began_s
        self.from_assignment_s = time.monotonic() - self._assigned_s

    def _listen(self, process: subprocess.Popen[bytes], assigned: str) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if assigned.encode() in line and not self._assigned_s:
                self._assigned_s = time.monotonic()


def _start_quix(command: Sequence[str], stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL, stderr=stderr)


def _cards(keys: int, more: int) -> np.ndarray:
    """Numbers of cards: each once, then any."""
    draw = np.random.default_rng(7)
    return np.concatenate([draw.permutation(keys), draw.integers(0, keys, more)])


def _tell(number: int, name: str, restart: Restart) -> None:
    load = os.getloadavg()[0]
    print(
        f"round {number}, {name}: {restart.from_assignment_s:.2f} s from the assignment, {restart.total_s:.2f} s "
        f"from the start; load {load:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
