"""Workers that are killed in the middle of a cycle, and started again."""

import random
import signal
import time

from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, check_outputs, check_states, duplicates, predicted


def kill_after_some_commits(app: Deployment, draw: random.Random) -> None:
    """Start a worker, let it commit, kill it at a random moment."""
    before = app.committed()
    worker = app.start()
    worker.wait(lambda: app.committed() != before, "a commit")
    killed_at = time.monotonic() + draw.uniform(0.05, 1.5)
    worker.wait(lambda: time.monotonic() > killed_at, "a random moment")
    worker.end(signal.SIGKILL)


def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(deploy: Deploy) -> None:
    """Four kills under load: what is committed is that of one undisturbed run."""
    app = deploy(commit_interval_ms="300", snapshot_interval_s="600")  # the journal stays whole
    seed = random.randrange(1000)
    print(f"seed {seed}")
    draw = random.Random(seed)
    with SteadyTraffic(app.traffic, per_second=500):
        for _ in range(4):
            kill_after_some_commits(app, draw)
    last = app.start()
    app.wait_until_handled()
    app.stop(last)

    written = len(app.records(app.topics.predictions, "read_uncommitted"))
    assert written > len(predicted(app)), "no kill hit an open transaction: this test showed nothing"
    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_immediate_predictions_leave_before_their_commit_and_repeat_under_the_same_id(deploy: Deploy) -> None:
    """delivery="immediate": a kill between prediction and commit repeats predictions, and learning is exactly-once."""
    app = deploy(delivery="immediate", commit_interval_ms="6000", transaction_timeout_ms="20000")
    app.traffic.send(500)
    worker = app.start()
    app.wait_until_handled()  # the first commit follows at once: the interval counts from it
    handled = app.committed()
    app.traffic.send(500)
    worker.wait(lambda: len(set(predicted(app))) == 980, "predictions of all")
    assert app.committed() == handled
    worker.end(signal.SIGKILL)
    last = app.start()
    app.wait_until_handled()
    app.stop(last)

    check_outputs(app, at_least_once=True)
    assert duplicates(predicted(app)) == 490
    check_journal(app)
    check_states(app)
