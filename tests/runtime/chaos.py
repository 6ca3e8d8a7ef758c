"""Workers on a real Kafka under a random schedule of faults (make bench-chaos).

Three workers share 8 partitions under steady load. One fault follows the other: kill -9, SIGSTOP for longer than a
session and SIGCONT, SIGTERM, a restart of the broker, one worker more for a while. At the end all that was sent is
handled, every worker stops cleanly, and an independent reader compares what is committed with what was sent. With
`--stages` the app has a feature by another key and labels that are keyed otherwise, and what is compared is compared
of each stage.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import orjson

from stream.cli.broker.local import LocalBroker
from tests.conftest import BRISK
from tests.runtime.deployment import Deployment, shares
from tests.runtime.processes import WorkerProcess
from tests.runtime.staged import Staged, are_what_their_journals_give, check_ranges
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, duplicates, predicted, should, state_of_journal, state_of_snapshot

PARTITIONS = 8
WORKERS = 3
SESSION_S = 3.0
# Much may be going on at once on two cores; the workers' own limits are far below.
_HANDLED_WITHIN_S = 300.0


class Campaign:
    """Faults among the workers of a deployment.

    Args:
        app: with its topics.
        broker: of the app; it is restarted now and then.
        draw: decides what goes wrong, and when.
    """

    def __init__(self, app: Deployment, broker: LocalBroker, draw: random.Random) -> None:
        self._app, self._broker, self._draw = app, broker, draw
        self._workers = {str(slot): app.start(str(slot)) for slot in range(WORKERS)}
        self.faults: Counter[str] = Counter()
        self.ended_by_itself = 0

    def run(self, faults: int) -> None:
        """So many faults, one after the other; each may hit workers that are still busy with the one before."""
        kinds = [self._kill, self._kill, self._pause, self._pause, self._stop, self._join, self._restart_broker]
        while self.faults.total() < faults:
            time.sleep(self._draw.uniform(0.5, 3.0))
            self._start_ended()
            fault = self._draw.choice(kinds)
            fault()
            self.faults[fault.__name__.removeprefix("_")] += 1
            print(f"{self.faults.total()} of {faults}: {fault.__name__.removeprefix('_')}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Wait until all is handled and every task runs, and stop every worker."""
        give_up_at = time.monotonic() + _HANDLED_WITHIN_S
        while not (self._app.is_handled() and self._is_settled()):
            assert time.monotonic() < give_up_at, f"not all is handled\n{self._app.explain()}"
            self._start_ended()
            time.sleep(0.5)
        self._app.stop(*self._workers.values())

    def _is_settled(self) -> bool:
        """Whether every partition has an owner that has restored it. What is on its way to another one when all are
        stopped gets no last snapshot, which the verdict goes by."""
        given = [shares(self._app, group) for group in self._app.groups]
        is_shared = all(len(each) == WORKERS and sum(each) == PARTITIONS for each in given)
        return is_shared and all(worker.is_ready() for worker in self._workers.values())

    def _start_ended(self) -> None:
        """What ended by itself is started again, as whoever runs workers does."""
        for slot, worker in self._workers.items():
            if worker.process.poll() is not None:
                self.ended_by_itself += 1
                print(f"worker {slot} ended by itself: {worker.log[-500:]}", file=sys.stderr, flush=True)
                self._start(slot)

    def _start(self, slot: str) -> None:
        self._workers[slot] = self._app.start(slot)

    def _one(self) -> tuple[str, WorkerProcess]:
        return self._draw.choice(sorted(self._workers.items()))

    def _kill(self) -> None:
        slot, worker = self._one()
        worker.end(signal.SIGKILL)
        time.sleep(self._draw.choice((0.0, 0.0, 2 * SESSION_S)))
        self._start(slot)

    def _pause(self) -> None:
        _, worker = self._one()
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_S + self._draw.uniform(0.5, 3.0))
        worker.process.send_signal(signal.SIGCONT)

    def _stop(self) -> None:
        slot, worker = self._one()
        worker.end(signal.SIGTERM)
        self._start(slot)

    def _join(self) -> None:
        guest = self._app.start("guest")
        time.sleep(self._draw.uniform(2.0, 6.0))
        guest.end(self._draw.choice((signal.SIGTERM, signal.SIGKILL)))

    def _restart_broker(self) -> None:
        self._broker.restart()


def verdict(app: Deployment, campaign: Campaign) -> dict[str, object]:
    """What an independent reader finds.

    Raises:
        AssertionError: an input offset is not in exactly one committed range, or a journal is no chain.
    """
    expected = {(each.topic(), each.partition(), each.offset()): each for each in app.records(app.events)}
    accepted = {place for place, message in expected.items() if should(message) == "predict"}
    found = predicted(app)
    with np.errstate(all="ignore"):
        is_identical = stages_are_identical(app) if isinstance(app, Staged) else tasks_are_identical(app)
    return {
        "faults": campaign.faults.total(),
        "lost": len(accepted - set(found)),
        "duplicated": duplicates(found),
        "identical": is_identical,
        "events": len(expected),
        "of_each": dict(sorted(campaign.faults.items())),
        "ended_by_themselves": campaign.ended_by_itself,
    }


def tasks_are_identical(app: Deployment) -> bool:
    """Whether the state of every task is what its journal gives, which has every input offset once."""
    check_journal(app)
    return all(state_of_snapshot(app, part) == state_of_journal(app, part) for part in range(app.partitions))


def stages_are_identical(app: Staged) -> bool:
    """The same of every stage; what each sends on is what its journal gives, too."""
    taken = {plan.name: check_ranges(app, plan) for plan in app.stages}
    print(f"records of each stage: {taken}", file=sys.stderr, flush=True)
    return are_what_their_journals_give(app)


def campaign(
    broker: LocalBroker,
    folder: Path,
    faults: int,
    seed: int,
    rate: int,
    delivery: str = "exactly-once",
    group_protocol: str = "classic",
    kind: type[Deployment] = Deployment,
) -> dict[str, object]:
    """So many faults on a broker of its own, which notices a dead member within seconds; what is found then.

    Raises:
        AssertionError: something is not handled in the end, or a worker does not stop cleanly.
    """
    settings = {
        "delivery": delivery,
        "group_protocol": group_protocol,
        "group_instance_id": "",
        "session_timeout_ms": str(int(SESSION_S * 1000)),
        "snapshot_interval_s": "10",
    }
    app = kind(broker, f"chaos-{seed}", folder, PARTITIONS, settings)
    app.create_topics()
    try:
        with SteadyTraffic(app.traffic, per_second=rate):
            run = Campaign(app, broker, random.Random(seed))
            run.run(faults)
        run.finish()
    finally:
        app.kill_all()
    return verdict(app, run) | {"delivery": delivery, "group_protocol": group_protocol, "seed": seed}


def main() -> int:
    """A campaign on a broker of its own; the last line is its verdict. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1000))
    parser.add_argument("--rate", type=int, default=300, help="events a second")
    parser.add_argument("--delivery", choices=("exactly-once", "immediate"), default="exactly-once")
    parser.add_argument("--group-protocol", choices=("classic", "consumer"), default="classic")
    parser.add_argument("--stages", action="store_true", help="an app in stages")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder, LocalBroker(Path(folder) / "broker", settings=BRISK) as broker:
        found = campaign(
            broker,
            Path(folder),
            chosen.faults,
            chosen.seed,
            chosen.rate,
            chosen.delivery,
            chosen.group_protocol,
            Staged if chosen.stages else Deployment,
        )
    print(orjson.dumps(found).decode())
    is_once = found["duplicated"] == 0 or chosen.delivery == "immediate"
    return 0 if found["lost"] == 0 and is_once and found["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
