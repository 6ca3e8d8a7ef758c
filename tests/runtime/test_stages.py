"""Stages on a real broker (rules 34 and 35)."""

import signal
from pathlib import Path

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.staged import Staged, are_what_their_journals_give, check_order, check_ranges, labels_sent_back
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_outputs, predicted
from tests.runtime.waiting import wait_until


@pytest.fixture
def staged(broker: LocalBroker, tmp_path: Path):  # type: ignore[no-untyped-def]
    """An app on two partitions."""
    app = Staged(broker, f"staged-{tmp_path.name[:20].replace('_', '-')}", tmp_path, 2, {"group_instance_id": ""})
    app.create_topics()
    yield app
    app.kill_all()


def test_rule_34_a_killed_worker_of_several_stages_loses_nothing_and_nothing_is_learned_twice(staged: Staged) -> None:
    """Two workers, one is killed amid the traffic and comes back: each stage is what its journal says, bit for bit."""
    staged.settings = {**staged.settings, "session_timeout_ms": "6000", "snapshot_interval_s": "2"}
    with SteadyTraffic(staged.traffic, per_second=500):
        first, second = staged.start("0"), staged.start("1")
        first.wait(lambda: len(staged.records(staged.topics.predictions)) > 500, "predictions")
        second.end(signal.SIGKILL)
        staged.expect_end(second)
        before = len(predicted(staged))
        again = staged.start("1")
        again.wait_for_log("partitions gained", len(staged.stages))  # of each stage some, once its kernels are compiled
        again.wait(
            lambda: len(staged.records(staged.topics.predictions)) > before + 1500,
            "predictions of all partitions again",
        )
    staged.wait_until_predicted()
    wait_until(staged.is_handled, "all of every stage is taken", staged.explain)
    staged.stop(first, again)

    check_outputs(staged)
    check_order(staged)
    labels, events, shops, last = (check_ranges(staged, plan) for plan in staged.stages)
    assert are_what_their_journals_give(staged)
    assert labels == staged.labels_taken()  # they were keyed otherwise than the events (rule 19)
    assert last == len(predicted(staged))
    back = labels_sent_back(staged)
    assert len(back) > 100
    assert set(back.values()) == {1}  # each label that was learned, to the shops' stage, from whichever worker
    assert shops == last + len(back)
    assert events > last  # the damaged ones end at the first stage
