"""Recovery: how long a task of a million keys is away after kill -9, beside Quix Streams' restore of the same state.

Run: python -m benchmarks.recovery --quix PYTHON (`make bench-recovery`). A worker learns from one event of each key,
snapshots, learns from `--journal-s` seconds of further events at `--rate` a second without a snapshot, and is killed.
Started again at once as a static member it loads the snapshot, replays those events, and goes on. What is measured ends
when each partition has given a new prediction to a read_committed reader; it begins with the start of the process, and
with the assignment. What comes before the assignment is the process's start and the broker's, and is told by part
(rule 24). The group's session timeout is not in it, since a static member that is back is assigned at once.

Then two workers that follow each other's tasks (benchmarks.takeover).

Quix Streams restores ten figures a key from its changelog, after one event of each key and none behind it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import takeover
from benchmarks.card_app import app
from benchmarks.card_events import card_events
from benchmarks.cluster import (
    EVENT_TOPIC,
    ROOT,
    Feed,
    as_installed,
    local_broker,
    make_app_topics,
    make_event_topic,
    make_topic,
    start_worker,
    stop_process,
    wait_until_committed,
)
from benchmarks.heard import Absence, Heard
from benchmarks.report import report
from stream.cli.broker.local import LocalBroker
from stream.config import TopicNames

FROM_ASSIGNMENT, FROM_KILL = "from assignment", "from kill -9 and restart"
# Of the restart, in this order and without a gap.
START, JOIN = "- process start", "- transactional id and group"
FIND, SNAPSHOT, REPLAY, FIRST = "- offsets and journal", "- snapshots", "- replay", "- first predictions, committed"
PARTS = (START, JOIN, FIND, SNAPSHOT, REPLAY, FIRST)
QUIX, QUIX_FROM_START = "Quix Streams, from assignment", "Quix Streams, from restart"
PREFIX, GROUP = "recovery.", f"recovery.{app.name}"
_NO_DELAY = {"group.initial.rebalance.delay.ms": "0"}
_NEW_EVENTS = 400  # behind each kill: some for every partition
Measured = dict[str, list[float]]


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--journal-s", type=int, default=60, help="between the snapshot and the kill")
    parser.add_argument("--rate", type=int, default=20_000, help="events a second meanwhile")
    parser.add_argument("--rounds", type=int, default=3, help="of each; all of three take some six minutes")
    parser.add_argument(
        "--quix",
        type=os.path.abspath,
        help="Python of an environment that has quixstreams; without it no peer is measured",
    )
    parser.add_argument("--within-s", type=float, default=300.0, help="what takes longer is given up")
    chosen = parser.parse_args()
    replayed = chosen.journal_s * chosen.rate
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder, "kafka"), _NO_DELAY) as broker:
        more = takeover.events_needed(chosen.rounds) + 2 * chosen.rounds * _NEW_EVENTS
        cards = _cards(chosen.keys, replayed + more)
        events = Feed(broker, card_events(len(cards), make_event_topic(broker), payers=cards))
        events.send(chosen.keys)
        peers: Measured = {}
        if chosen.quix:
            peers = quix(broker, events, chosen.quix, Path(folder, "quix"), chosen.rounds, chosen.within_s)
        names = make_app_topics(broker, PREFIX)
        measured = worker(broker, names, events, replayed, chosen.rate, chosen.rounds, chosen.within_s)
        measured |= takeover.standby(broker, PREFIX, names, events, chosen.rounds, chosen.within_s)
    report(
        f"recovery of {chosen.keys:,} keys of 10 features, {replayed:,} events to replay, until the first new "
        "prediction of each partition",
        "seconds",
        FROM_ASSIGNMENT,
        [name for name in peers if name == QUIX],
        measured | peers,
    )


def worker(
    broker: LocalBroker, names: TopicNames, events: Feed, replayed: int, rate: float, rounds: int, within_s: float
) -> Measured:
    """Seconds of each round, and of its parts."""
    # One snapshot, of the clean stop: what comes behind it is replayed.
    settings = {"group_protocol": "classic", "group_instance_id": "benchmark", "snapshot_interval_s": "36000"}
    first = start_worker(broker, PREFIX, settings)
    wait_until_committed(broker, GROUP, events.sent, first, within_s)
    stop_process(first)
    running = start_worker(broker, PREFIX, settings)
    events.send(replayed, rate)
    measured: Measured = {name: [] for name in (FROM_ASSIGNMENT, FROM_KILL, *PARTS)}
    for number in range(rounds):
        wait_until_committed(broker, GROUP, events.sent, running, within_s)
        running.kill()
        running.wait()
        events.send(_NEW_EVENTS)
        restart = Absence(broker, names.predictions)
        running = start_worker(broker, PREFIX, settings, subprocess.PIPE)
        heard = Heard(running)
        restart.wait(heard, within_s)
        assigned_s = heard.said("partitions gained")[0].at_s
        _note(measured, FROM_ASSIGNMENT, FROM_KILL, restart, assigned_s)
        for name, seconds in parts(heard, restart).items():
            measured[name].append(seconds)
        _tell(number, "stream run", restart, assigned_s)
    running.kill()
    running.wait()
    return measured


def parts(heard: Heard, restart: Absence) -> dict[str, float]:
    """What a restart consisted of, in seconds; all of them are the whole.

    A task is looked for while the one before is being replayed: the replay's part is what comes behind the last.
    """
    joining = heard.said("starting", step="joining the group")[0].at_s
    assigned = heard.said("partitions gained")[0].at_s
    read = heard.said("what is remembered of a task is read")
    restored = max(line.at_s for line in heard.said("restored"))
    find_s = sum(line.fields["journal_s"] for line in read)
    return {
        START: joining - restart.began_s,
        JOIN: assigned - joining,
        FIND: find_s,
        SNAPSHOT: read[-1].at_s - assigned - find_s,
        REPLAY: restored - read[-1].at_s,
        FIRST: restart.ended_s - restored,
    }


def quix(broker: LocalBroker, events: Feed, python: str, folder: Path, rounds: int, within_s: float) -> Measured:
    """Seconds of each round: its folder is lost, as with a machine, and filled from the changelog."""
    output, group = "quix-figures", "quix"
    make_topic(broker, output)
    command = [python, "quix_loop.py", broker.bootstrap_servers, EVENT_TOPIC, output, str(folder), group]
    running = _start_quix(command)
    wait_until_committed(broker, group, events.sent, running, within_s)
    measured: Measured = {QUIX: [], QUIX_FROM_START: []}
    for number in range(rounds):
        stop_process(running)
        shutil.rmtree(folder)
        events.send(_NEW_EVENTS)
        restart = Absence(broker, output)
        running = _start_quix(command, subprocess.PIPE)
        heard = Heard(running)
        restart.wait(heard, within_s)
        assigned_s = heard.said("Beginning recovery check")[0].at_s
        _note(measured, QUIX, QUIX_FROM_START, restart, assigned_s)
        _tell(number, "Quix Streams", restart, assigned_s)
        wait_until_committed(broker, group, events.sent, running, within_s)
    stop_process(running)
    return measured


def _start_quix(command: Sequence[str], stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=ROOT / "benchmarks", env=as_installed(), stdout=subprocess.DEVNULL, stderr=stderr
    )


def _cards(keys: int, more: int) -> np.ndarray:
    """Numbers of cards: each once, then any."""
    draw = np.random.default_rng(7)
    return np.concatenate([draw.permutation(keys), draw.integers(0, keys, more)])


def _note(measured: Measured, from_assignment: str, from_start: str, restart: Absence, assigned_s: float) -> None:
    measured[from_assignment].append(restart.ended_s - assigned_s)
    measured[from_start].append(restart.seconds)


def _tell(number: int, name: str, restart: Absence, assigned_s: float) -> None:
    print(
        f"round {number}, {name}: {restart.ended_s - assigned_s:.2f} s from the assignment, "
        f"{restart.seconds:.2f} s from the start; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
