"""Workers that follow each other's tasks on a real broker (rule 25)."""

import signal

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import wait_for_shares
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, check_outputs, check_states


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_rule_25_a_killed_worker_s_tasks_are_taken_over_by_the_one_that_followed_them(
    deploy: Deploy, broker: LocalBroker, protocol: str
) -> None:
    """Its tasks are warm: what is committed is the same as ever, and nothing was loaded at the assignment."""
    app = deploy(
        2,
        group_protocol=protocol,
        group_instance_id="",
        session_timeout_ms="3000",
        transaction_timeout_ms="3000",
        standby_replicas="1",
        snapshot_interval_s="600",
    )
    with SteadyTraffic(app.traffic, per_second=500):
        first, second = app.start("0"), app.start("1")
        wait_for_shares(app, 1, 1)
        first.wait(lambda: sum(app.committed().values()) > 500, "commits")
        found = "a followed task is found: from here on its cycles are replayed"
        second.wait(lambda: second.said(found), "a task to be followed")
        before = sum(app.committed().values())
        second.wait(lambda: sum(app.committed().values()) > before + 2000, "cycles that are followed")
        (theirs,) = {line["partition"] for line in second.said("following a task")}
        second.wait(lambda: second.total("stream_standbys_warm") == 1, "a warm standby among the metrics")
        assert second.total("stream_standby_state_bytes", partition=str(theirs)) > 0
        assert second.get("/readyz") == (200, "running; 1 of 1 followed tasks warm\n")
        first.end(signal.SIGKILL)
        app.expect_end(first)
        wait_for_shares(app, 2)
    app.wait_until_handled()
    app.stop(second)

    assert [line["partition"] for line in second.said("a followed task is taken over")] == [theirs], second.log
    assert second.said("a task is restored again") == second.said("a followed task is dropped") == []
    check_outputs(app)
    check_journal(app)
    check_states(app)
