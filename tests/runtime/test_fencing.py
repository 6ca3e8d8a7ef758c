"""Workers that were thought dead, and workers that come back from the dead."""

import signal
import time
from typing import Any

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import shares, wait_for_shares
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, check_outputs, check_states, predicted


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_rule_7_a_paused_worker_that_wakes_after_its_partitions_moved_writes_nothing_that_is_read(
    deploy: Deploy, broker: LocalBroker, protocol: str
) -> None:
    """SIGSTOP in the middle of a transaction, for longer than the session: the other one goes on."""
    app = deploy(
        2,
        group_protocol=protocol,
        group_instance_id="",
        session_timeout_ms="3000",
        transaction_timeout_ms="3000",
        commit_interval_ms="500",
    )
    paused, other = app.start("0"), app.start("1")
    wait_for_shares(app, 1, 1)
    with SteadyTraffic(app.traffic, per_second=500):
        paused.wait(lambda: sum(app.committed().values()) > 500, "commits of both")
        paused.process.send_signal(signal.SIGSTOP)
        try:
            wait_for_shares(app, 2)
            there = len(app.records(app.topics.predictions))
            other.wait(
                lambda: len(app.records(app.topics.predictions)) > there + 500, "the other worker has all partitions"
            )
        finally:
            paused.process.send_signal(signal.SIGCONT)
        wait_for_shares(app, 1, 1)
    app.wait_until_handled()
    app.stop(paused, other)

    assert paused.said("partitions lost") or paused.said("partitions asked back"), paused.log
    aborted = len(app.records(app.topics.predictions, "read_uncommitted")) - len(predicted(app))
    assert aborted > 0, "the pause hit no open transaction: this test showed nothing"
    check_outputs(app)
    check_journal(app)
    check_states(app)


def numbers(line: dict[str, Any]) -> list[int]:
    """The partitions that a line of the log names."""
    return [int(number) for number in line["partitions"]]


def test_rule_18_a_static_member_is_back_at_once_after_a_kill(deploy: Deploy) -> None:
    """The session would be two minutes. The other worker keeps what it has, and is not even asked."""
    app = deploy(2, session_timeout_ms="120000")
    first, other = app.start("0"), app.start("1")
    wait_for_shares(app, 1, 1)
    app.traffic.send(300)
    app.wait_until_handled()
    asked_back = {number for line in first.said("partitions asked back") for number in numbers(line)}
    had = {number for line in first.said("partitions gained") for number in numbers(line)} - asked_back
    gained = len(other.said("partitions gained"))
    first.end(signal.SIGKILL)
    app.expect_end(first)
    killed_at = time.monotonic()
    app.traffic.send(300)
    again = app.start("0")
    app.wait_until_handled()

    assert time.monotonic() - killed_at < 110
    assert set(numbers(again.said("partitions gained")[0])) == had
    assert (len(other.said("partitions gained")), other.said("partitions asked back")) == (gained, [])
    assert shares(app) == [1, 1]
    app.stop(again, other)
    check_outputs(app)
    check_journal(app)
    check_states(app)
