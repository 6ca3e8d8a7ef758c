"""A worker whose inputs change under it, on a real broker; its loop turns in this process."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from stream.app import compile_app
from stream.errors import ConfigError, StreamError
from stream.kafka.admin import Admin
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.running import prepare
from stream.runtime.settings import Settings
from stream.runtime.worker import WorkerLoop
from tests.conftest import ADMIN_TIMEOUT_S
from tests.runtime.app import declare
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment
from tests.runtime.waiting import wait_until

Logged = list[MutableMapping[str, Any]]


def settings_of(app: Deployment, **changes: Any) -> Settings:
    """Of a worker that makes a snapshot every second."""
    own = {"registry_url": app.broker.registry_url, "metrics_port": -1, "snapshot_interval_s": 1, **changes}
    return Settings(bootstrap_servers=app.broker.bootstrap_servers, **own)


class Turning:
    """A worker's loop, turned by whoever waits for something."""

    def __init__(self, app: Deployment) -> None:
        plan, settings, self.health = compile_app(declare(app.name), {}), settings_of(app), WorkerHealth()
        metrics = WorkerMetrics(plan.app, ["champion"], [])
        self.value = metrics.registry.get_sample_value
        self.loop = WorkerLoop(plan, settings, prepare((plan,), settings, lambda _: None)[0], self.health, metrics)

    def until(self, is_so: Callable[[], object], what: str) -> None:
        """Turn until it is so."""

        def turned() -> bool:
            if self.loop._transport.stopped is None:
                self.loop.turn()
            return bool(is_so())

        wait_until(turned, what, self.health.sentence)

    @contextmanager
    def running(self) -> Iterator["Turning"]:
        """Joined, and stopped at the end."""
        self.loop.start()
        try:
            yield self
            self.loop.request_stop()
            self.until(lambda: self.loop._transport.stopped is not None, "it has stopped")
        finally:
            self.loop._transport.close()


def handled(app: Deployment) -> bool:
    """Whether all that was sent is committed."""
    return app.committed() == app.ends()


def test_rule_20_a_worker_waits_where_records_that_a_restore_needs_are_deleted_and_a_topic_made_anew_is_refused(
    deploy: Deploy, admin: AdminClient, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All events are deleted behind the snapshots, though learned: the partition waits for two new snapshots, and goes
    on. After a clean stop the topic is deleted and made again: the next start says so, and begins nowhere."""
    monkeypatch.setattr("stream.kafka.input_watch._EVERY_S", 0.05)
    monkeypatch.setattr("stream.kafka.input_watch._AGAIN_S", 0.05)
    app = deploy(1)

    def has_snapshot() -> bool:
        """Snapshots are made of cycles: some events for each look."""
        app.traffic.send(5)
        margin = worker.value("stream_input_margin_records", {"partition": "0", "topic": app.events})
        return bool(margin)

    def said(event: str) -> Logged:
        return [line for line in logged if line["event"] == event]

    with Turning(app).running() as worker:
        worker.until(has_snapshot, "a snapshot stands behind events")
        worker.until(lambda: handled(app), "all is committed")
        own = worker.loop._worker._settings
        monkeypatch.setattr(worker.loop._worker, "_settings", replace(own, snapshot_interval_ms=36_000_000))
        app.traffic.send(100)
        worker.until(lambda: handled(app), "more is committed, with no snapshot behind it")
        end = Position(app.events, 0, app.ends()[app.events, 0])
        admin.delete_records([end])[Position(app.events, 0)].result(ADMIN_TIMEOUT_S)
        app.traffic.send(50)  # waits until what was there before them is safe
        worker.until(lambda: said("a partition goes on"), "it is held back, makes its snapshots, and goes on")
        (held,) = said("a partition is held back")
        assert held["log_level"] == "error"
        assert "a restore from the older of two snapshots" in held["reason"]
        worker.until(lambda: handled(app) and worker.health.is_ready, "the rest is handled")
    assert worker.loop._transport.stopped is not None
    assert worker.loop._transport.stopped.error is None

    admin.delete_topics([app.events])[app.events].result(ADMIN_TIMEOUT_S)
    wait_until(lambda: Admin(app.kafka).describe([app.events])[app.events] is None, "the topic is gone")
    Admin(app.kafka).create([TopicSpec(app.events, 1, 1)])
    with Turning(app).running() as again:
        again.until(lambda: again.loop._transport.stopped is not None, "it gives up")
        error = again.loop._transport.stopped.error if again.loop._transport.stopped else None
    assert isinstance(error, StreamError)
    assert f"topic {app.events} was deleted and made again" in str(error)


def test_a_worker_does_not_start_on_topics_that_lose_what_it_needs(deploy: Deploy, logged: Logged) -> None:
    """All that is wrong in one error, before anything is compiled or joined; what is only doubtful is in the log."""
    app = deploy(is_created=False)
    Admin(app.kafka).create(
        [
            TopicSpec(app.events, 2, 1, {"retention.ms": "9999"}),
            TopicSpec(app.labels, 2, 1, {"cleanup.policy": "compact"}),
        ]
    )
    Admin(app.kafka).create(topics_of_app(app.topics, 2, 1))
    plan = compile_app(declare(app.name), {})
    with pytest.raises(ConfigError) as refused:
        prepare((plan,), settings_of(app, transaction_timeout_ms=4_000), lambda _: None)
    assert f"topic {app.events} keeps records for 9,999 ms (retention.ms)" in str(refused.value)
    assert f"topic {app.labels} is compacted" in str(refused.value)
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == [
        "transaction_timeout_ms: 4,000 is less than a slow commit may take (5,105: commit_interval_ms = 100, "
        "linger_ms = 5, and 5,000 to flush and to settle an unknown outcome): brokers would abort transactions of a "
        "living worker (rules 6 and 10)"
    ]
