"""What the loop tells health and metrics, with a scripted worker and transport."""

from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream.engine.commit_schedule import CommitSchedule
from stream.engine.lifecycle import TaskState
from stream.engine.metrics import Standing
from stream.engine.protocol import Assigned, Commit, CommitOutcome, CommitReturned, Lost, Revoked, SnapshotPublished
from stream.kafka.input_margins import InputReport
from stream.records import RecordBatch, TopicPartition
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.settings import Settings
from stream.runtime.worker import WorkerLoop
from tests.engine.build import FORMAT, T0, batch, plan_with_labels


class Worker:
    """Has the slots and the handled records that a test gives it."""

    def __init__(self) -> None:
        self.slots: list[Any] = []
        self.standbys: list[Any] = []
        self.handled: RecordBatch | None = None
        self.taken = 0
        self.is_behind = False
        self.schedule = CommitSchedule(100)

    def has_work(self, now_ms: int) -> bool:
        """As a test says."""
        return self.is_behind

    def work(self, now_ms: int, records: int) -> list[Any]:
        """Nothing to do."""
        return []

    def on(self, event: object, now_ms: int) -> list[Any]:
        """Nothing follows."""
        return []

    def take_handled(self) -> RecordBatch | None:
        """Once."""
        handled, self.handled = self.handled, None
        return handled

    def take_committed(self) -> list[Any]:
        """No cycle."""
        return []


def make_loop(monkeypatch: pytest.MonkeyPatch, stages: int = 1, **settings: Any) -> tuple[WorkerLoop, Worker, Any]:
    """A loop with a scripted worker and transport."""
    plan, worker = plan_with_labels(), Worker()
    health, metrics = WorkerHealth(), WorkerMetrics(plan.app, ["champion"], [])
    loop = WorkerLoop(plan, Settings(**settings), FORMAT, health, metrics, stages)
    transport = SimpleNamespace(
        has_joined=False, stopped=None, lags=dict, loading=dict, watch=SimpleNamespace(report=InputReport())
    )
    monkeypatch.setattr(loop, "_worker", worker)
    monkeypatch.setattr(loop, "_transport", transport)
    monkeypatch.setattr("stream.runtime.worker.now_ms", lambda: T0 + 1000)
    return loop, worker, SimpleNamespace(transport=transport, health=health, registry=metrics.registry)


def slot(partition: int, state: TaskState) -> SimpleNamespace:
    """A task in this state."""
    task = SimpleNamespace(partition=partition, standing=lambda: Standing({}, (), 0, 0))
    return SimpleNamespace(task=task, state=state, restored_share=0.5, waiting_for_order=None)


def test_a_worker_is_ready_once_its_first_assignment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before the group has answered: a rolling update would end the next old worker too early."""
    loop, worker, outside = make_loop(monkeypatch)
    for _ in range(3):
        loop._look()
        assert outside.health.sentence() == "starting"
    outside.transport.has_joined = True
    loop._told(Assigned((0,)))
    worker.slots = [slot(0, TaskState.RESTORING)]
    for _ in range(3):
        loop._look()
        assert (outside.health.is_ready, outside.health.sentence()) == (False, "restoring 50 %")
    worker.slots = [slot(0, TaskState.RUNNING)]
    loop._look()
    assert (outside.health.is_ready, outside.health.sentence()) == (True, "running")


def test_tasks_that_are_followed_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many followers are wanted as the settings say, of each task of its own."""
    loop, worker, outside = make_loop(monkeypatch, standby_replicas=2)
    outside.transport.has_joined = True
    worker.slots = [slot(0, TaskState.RUNNING)]
    task = SimpleNamespace(partition=4, state=SimpleNamespace(state_bytes=1))
    worker.standbys = [SimpleNamespace(task=task, state=TaskState.STANDBY, records_behind=7)]
    loop._look()
    loop._look()

    value = outside.registry.get_sample_value
    assert value("stream_standby_lag_records", {"partition": "4"}) == 7
    assert (value("stream_standbys_wanted"), value("stream_standbys_warm")) == (2, 1)
    assert outside.health.sentence() == "running; 1 of 1 followed tasks warm"


def test_a_worker_without_partitions_is_ready_once_it_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the second look: what the group gave may come a moment behind its answer."""
    loop, _, outside = make_loop(monkeypatch)
    outside.transport.has_joined = True
    loop._look()
    assert not outside.health.is_ready
    loop._look()
    assert outside.health.is_ready


def test_a_partition_that_went_before_it_was_looked_at_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assigned and revoked within a second."""
    loop, _, outside = make_loop(monkeypatch)
    outside.transport.has_joined = True
    loop._told(Assigned((0,)))
    loop._look()
    loop._look()
    assert outside.health.is_ready


def test_partitions_that_come_and_go_are_in_the_log(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """With the end of a restore, and the snapshots of a stop."""
    loop, worker, _ = make_loop(monkeypatch)
    loop._told(Assigned((0, 1)))
    worker.slots = [slot(0, TaskState.RUNNING), slot(1, TaskState.RUNNING)]
    loop._look()
    loop._look()
    loop._told(SnapshotPublished(0, 3))
    loop._told(Revoked((0,)))
    loop._told(Lost((1,)))
    monkeypatch.setattr(loop, "_stop", object())
    loop._told(SnapshotPublished(0, 4))
    assert [(line["event"], line["log_level"], line.get("partitions", line.get("partition"))) for line in logged] == [
        ("partitions gained", "info", [0, 1]),
        ("restored", "info", 0),
        ("restored", "info", 1),
        ("snapshot written", "debug", 0),
        ("partitions asked back", "info", [0]),
        ("partitions lost", "warning", [1]),
        ("snapshot written", "info", 0),
    ]


def handle(loop: WorkerLoop, worker: Worker, topic: str, timestamp_ms: int) -> None:
    """Two records of this time."""
    worker.handled = batch(topic, [(None, None)] * 2)
    worker.handled.timestamps_ms[:] = timestamp_ms
    loop._work()


def latencies(outside: Any) -> tuple[float, float]:
    """Their count and sum."""
    count, total = (outside.registry.get_sample_value(f"stream_latency_seconds_{name}") for name in ("count", "sum"))
    return count or 0.0, total or 0.0


@pytest.mark.parametrize(("delivery", "before_commit"), [("immediate", (2.0, 2.0)), ("exactly-once", (0.0, 0.0))])
def test_latency_is_that_of_the_prediction_s_way_out(
    monkeypatch: pytest.MonkeyPatch, delivery: str, before_commit: tuple[float, float]
) -> None:
    """Immediate predictions leave at once, others with their commit; labels have none."""
    loop, worker, outside = make_loop(monkeypatch, delivery=delivery)
    handle(loop, worker, "payments", T0)
    handle(loop, worker, "chargebacks", T0)
    assert latencies(outside) == before_commit

    loop._note([Commit(1, {})])
    monkeypatch.setattr("stream.runtime.worker.now_ms", lambda: T0 + 3000)
    loop._told(CommitReturned(1, CommitOutcome.COMMITTED))

    assert latencies(outside) == ((2.0, 2.0) if delivery == "immediate" else (2.0, 6.0))
    assert np.isfinite(latencies(outside)).all()


@pytest.mark.parametrize(("behind", "keeps_up"), [((6_000, 4_000), True), ((6_000, 4_001), False)])
def test_a_worker_keeps_up_while_no_more_waits_than_comes_at_once(
    behind: tuple[int, int], keeps_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the events of all its partitions; labels may well wait for theirs. It is not known before it was looked."""
    loop, _, outside = make_loop(monkeypatch)
    lags = {TopicPartition("payments", number): records for number, records in enumerate(behind)}
    outside.transport.lags = lambda: {**lags, TopicPartition("chargebacks", 0): 500}
    before = loop.keeps_up
    loop._look()
    assert (before, loop.keeps_up) == (False, keeps_up)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (
            CommitReturned(1, CommitOutcome.REFUSED, note="ILLEGAL_GENERATION: not valid"),
            ("commit refused; the same is sent again", "info", "ILLEGAL_GENERATION: not valid"),
        ),
        (CommitReturned(1, CommitOutcome.UNSENDABLE, "too large"), ("commit refused", "warning", "too large")),
        (CommitReturned(1, CommitOutcome.REFUSED, "a timeout"), ("commit refused", "warning", "a timeout")),
    ],
)
def test_a_refused_commit_is_told_with_its_reason_and_warned_of_unless_it_is_a_rebalance(
    returned: CommitReturned,
    said: tuple[str, str, str],
    logged: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While workers join and leave it is ordinary (rule 9)."""
    loop, *_ = make_loop(monkeypatch)
    loop._told(returned)
    assert [(line["event"], line["log_level"], line["reason"]) for line in logged] == [said]
