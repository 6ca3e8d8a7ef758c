"""Takeover: how long tasks are away when their owner is killed and another worker follows them (rules 24 and 25).

Two workers of one group, without static membership, each with a standby of the other's tasks. One is killed; what is
measured begins where the other is assigned its partitions, and ends when each of them has given a new prediction. What
comes before is the dead member's session. A last round kills the owner in the midst of a transaction, whose end
everybody who reads committed records has to wait for: the broker aborts it after its timeout, when it looks next.
"""

import os
import subprocess
import threading
import time

import psutil

from benchmarks.cluster import Feed, start_worker
from benchmarks.heard import Absence, Heard
from stream.cli.broker.local import LocalBroker
from stream.config import TopicNames

STANDBY, SESSION = "standby, from assignment", "- before it, the dead member's session"
PENDING = "standby, from assignment, with the dead owner's transaction open"
_NEW_EVENTS = 400  # behind each kill: some for every partition
_LOAD_S, _RATE = 5, 2_000  # of the last round; at this rate hardly a moment is without a transaction
_KILLED_AFTER_S = 3.0
_RESTING = 0.4  # of a core: an idle worker that follows others takes some 15 % of a busy machine's
_LOOK_FOR_S = 1.0


def events_needed(rounds: int) -> int:
    """How many events `standby` sends."""
    return rounds * _NEW_EVENTS + _LOAD_S * _RATE


def standby(
    broker: LocalBroker, prefix: str, names: TopicNames, events: Feed, rounds: int, within_s: float
) -> dict[str, list[float]]:
    """Seconds of each round; the last one's transaction in one round more."""
    measured: dict[str, list[float]] = {STANDBY: [], SESSION: [], PENDING: []}
    follower = _start(broker, prefix, "1")
    for number in range(rounds + 1):
        owner = _start(broker, prefix, "0")
        _wait_until_followed(owner, follower, within_s)
        owned, is_last = owner.owned(), number == rounds
        load = threading.Thread(target=events.send, args=(_LOAD_S * _RATE, _RATE))
        if is_last:
            load.start()
            time.sleep(_KILLED_AFTER_S)
        owner.process.kill()
        owner.process.wait()
        away = Absence(broker, names.predictions)
        if not is_last:
            events.send(_NEW_EVENTS)
        away.wait(follower, within_s, owned)
        assigned_s = max(line.at_s for line in follower.said("partitions gained") if line.at_s < away.ended_s)
        if is_last:
            measured[PENDING].append(away.ended_s - assigned_s)
            load.join()
        else:
            measured[STANDBY].append(away.ended_s - assigned_s)
            measured[SESSION].append(assigned_s - away.began_s)
        print(
            f"round {number}, standby{', transaction open' if is_last else ''}: {away.ended_s - assigned_s:.2f} s from "
            f"the assignment, {away.seconds:.2f} s from the kill; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    follower.process.kill()
    follower.process.wait()
    return measured


def _start(broker: LocalBroker, prefix: str, slot: str) -> Heard:
    # One snapshot, the one that is there: what came behind it is replayed.
    settings = {"group_protocol": "classic", "standby_replicas": "1", "snapshot_interval_s": "36000", "slot": slot}
    return Heard(start_worker(broker, prefix, settings, subprocess.PIPE))


def _wait_until_followed(owner: Heard, follower: Heard, within_s: float) -> None:
    """Wait until the owner has tasks and runs them, and the follower has come up with it."""

    def is_followed() -> bool:
        restored = {line.fields["partition"] for line in owner.said("restored")}
        return bool(owner.owned()) and owner.owned() <= restored and owner.owned() <= _followed(follower)

    follower.wait(is_followed, "tasks that are followed", within_s)
    for heard in (owner, follower):
        follower.wait(lambda process=heard.process: _rests(process), "workers that have come up", within_s)  # type: ignore[misc]


def _followed(follower: Heard) -> set[int]:
    """Partitions whose tasks it has found and not taken over since."""
    followed: set[int] = set()
    for line in follower.said(""):
        match line.fields["event"]:
            case "partitions gained":
                followed -= set(line.fields["partitions"])
            case "a followed task is found: from here on its cycles are replayed":
                followed.add(line.fields["partition"])
    return followed


def _rests(process: subprocess.Popen[bytes]) -> bool:
    """Whether it computes next to nothing."""
    return bool(psutil.Process(process.pid).cpu_percent(_LOOK_FOR_S) < 100 * _RESTING)
