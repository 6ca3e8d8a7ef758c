"""Workers that come and go under load, and a broker that does."""

import os
import signal
import time
from typing import cast

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment, wait_for_shares
from tests.runtime.processes import WorkerProcess
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.truth import check_journal, check_outputs, check_states, cycles


def kept_throughout(worker: WorkerProcess, partitions: int) -> list[int]:
    """Partitions that a worker has had since it got them."""
    gone = [*worker.said("partitions asked back"), *worker.said("partitions lost")]
    taken = {number for line in gone for number in cast("list[int]", line["partitions"])}
    return sorted(set(range(partitions)) - taken)


def check_nothing_was_rebuilt(app: Deployment, worker: WorkerProcess) -> None:
    """What a worker kept while others came and went was assigned and restored once: its cycles are of one epoch."""
    kept = kept_throughout(worker, app.partitions)
    assert kept, worker.log
    for partition in kept:
        assert {record.epoch for record in cycles(app, partition)} == {1}
        assert [line for line in worker.said("restored") if line["partition"] == partition] != []
    gained = [number for line in worker.said("partitions gained") for number in cast("list[int]", line["partitions"])]
    restored = [line["partition"] for line in worker.said("restored")]
    assert [(gained.count(partition), restored.count(partition)) for partition in kept] == [(1, 1)] * len(kept)


def start_with_an_open_cycle(app: Deployment) -> WorkerProcess:
    """A worker that has handled records whose commit is seconds away: a stop cannot end well without the broker."""
    worker = app.start(commit_interval_ms="5000")
    app.traffic.send(500)
    worker.wait(lambda: sum(app.committed().values()) > 0, "commits")
    app.traffic.send(100)
    worker.wait(lambda: worker.total("stream_batch_events_sum") == sum(app.ends().values()), "all is handled")
    return worker


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_workers_join_leave_and_die_under_load(deploy: Deploy, broker: LocalBroker, protocol: str) -> None:
    """A second worker joins, leaves, joins again and is killed: nothing is lost, repeated or learned twice."""
    app = deploy(
        4,
        group_protocol=protocol,
        group_instance_id="",
        session_timeout_ms="3000",
    )
    with SteadyTraffic(app.traffic, per_second=500):
        first = app.start("0")
        wait_for_shares(app, 4)
        second = app.start("1")
        wait_for_shares(app, 2, 2)
        app.stop(second)
        wait_for_shares(app, 4)
        third = app.start("1")
        wait_for_shares(app, 2, 2)
        third.end(signal.SIGKILL)
        wait_for_shares(app, 4)
    app.wait_until_handled()
    app.stop(first)

    check_nothing_was_rebuilt(app, first)
    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_two_processes_of_one_command_share_the_partitions(deploy: Deploy, broker: LocalBroker) -> None:
    """`stream run --workers 2`: SIGTERM reaches both."""
    app = deploy(group_instance_id="", metrics_port="-1")
    both = app.start(arguments=["--workers", "2"])
    wait_for_shares(app, 1, 1)
    app.traffic.send(1000)
    app.wait_until_handled()
    app.stop(both)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_rule_10_a_worker_outlives_a_restart_of_its_broker(deploy: Deploy, broker: LocalBroker) -> None:
    """The broker stops under load and comes back: the worker goes on by itself."""
    app = deploy()
    with SteadyTraffic(app.traffic, per_second=500):
        worker = app.start()
        worker.wait(lambda: sum(app.committed().values()) > 500, "commits")
        broker.restart()
    app.wait_until_handled()
    app.stop(worker)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_a_stop_without_a_broker_ends_and_loses_nothing(deploy: Deploy, broker: LocalBroker) -> None:
    """SIGTERM while the broker is away: the worker says so and ends; the next one goes on where the commits stand."""
    app = deploy()
    worker = start_with_an_open_cycle(app)
    broker.kill()
    try:
        worker.wait_for_log("no broker answers; trying on")
        assert worker.end(signal.SIGTERM) == 1
    finally:
        broker.restart()
    assert "no broker has answered" in worker.log
    assert "Traceback" not in worker.log
    app.expect_end(worker)

    app.traffic.send(100)
    second = app.start()
    app.wait_until_handled()
    app.stop(second)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_a_stop_while_the_broker_hangs_ends_within_the_patience_of_service_managers(
    deploy: Deploy, broker: LocalBroker
) -> None:
    """SIGSTOP of Kafka: connections stay up and nobody answers; kill -9 would come after 30 s."""
    app = deploy()
    worker = start_with_an_open_cycle(app)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        asked_at = time.monotonic()
        assert worker.end(signal.SIGTERM) == 1
        assert time.monotonic() - asked_at < 30
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert "no broker has answered" in worker.log
    assert "Traceback" not in worker.log
    app.expect_end(worker)

    second = app.start()
    app.wait_until_handled()
    app.stop(second)
    check_outputs(app)
    check_states(app)
