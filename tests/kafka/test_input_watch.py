"""A worker's inputs change under it, on a real broker: it is told once a minute, here at once."""

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from stream.config import InputTopics, KafkaSettings
from stream.engine.input_topics import facts_of_topics
from stream.engine.protocol import Event, InputsWatched, TaskFound
from stream.engine.snapshot import Checkpoint
from stream.errors import ConfigError
from stream.kafka import input_watch
from stream.kafka.admin import Admin
from stream.kafka.input_watch import InputWatch
from stream.kafka.topic_plan import TopicSpec
from stream.records import TopicPartition
from tests.conftest import ADMIN_TIMEOUT_S, MakeTopic
from tests.runtime.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_once")


class Watched:
    """A watch, and what it has posted."""

    def __init__(self, settings: KafkaSettings, inputs: InputTopics) -> None:
        self.inputs = inputs
        self.posted: list[Event | Exception] = []
        self.watch = InputWatch(settings, inputs, self.posted.append)
        self._topics = {name: each for name, each in Admin(settings).identities(inputs.sources).items() if each}

    def checkpoint(self, offset: int) -> Checkpoint:
        """A snapshot of partition 0 that stands at this offset of each input."""
        offsets = {TopicPartition(name, 0): offset for name in self.inputs.sources}
        return Checkpoint(0, 1, "", "", offsets, 0, {"x": np.zeros(1)}, facts_of_topics(self._topics))

    def begin(self, offset: int) -> None:
        """The task of partition 0 begins with a snapshot at this offset."""
        edges = {TopicPartition(name, 0): 0 for name in self.inputs.sources}
        self.watch.found(TaskFound(0, {}, (), (self.checkpoint(offset),), (), edges, edges, topics=self._topics))
        self.watch.start()

    def wait_for(self, danger: str) -> None:
        """Until the worker was last told this about partition 0; "" is that it may go on."""

        def is_told() -> bool:
            last = self.posted[-1] if self.posted else None
            return isinstance(last, InputsWatched) and (danger in last.danger if danger else last.danger == "")

        wait_until(is_told, f"the worker is told {danger!r}", lambda: f"{self.posted[-3:]} {self.watch.report}")

    def wait_for_warning(self, text: str) -> None:
        """Until the report has a warning with this text."""
        wait_until(
            lambda: any(text in warning for warning in self.watch.report.warnings), text, lambda: str(self.watch.report)
        )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other without a pause worth mentioning."""
    monkeypatch.setattr("stream.kafka.input_watch._EVERY_S", 0.05)
    monkeypatch.setattr("stream.kafka.input_watch._AGAIN_S", 0.05)


@pytest.fixture
def watched(settings: KafkaSettings, inputs: InputTopics, topic: MakeTopic) -> Iterator[Watched]:
    """A watch over inputs of two partitions."""
    one = Watched(settings, replace(inputs, journal=topic("journal", 2, message_timestamp_type="LogAppendTime")))
    yield one
    one.watch.close()


def delete_before(admin: AdminClient, topic: str, offset: int) -> None:
    """What retention does, at once."""
    position = Position(topic, 0, offset)
    admin.delete_records([position])[Position(topic, 0)].result(ADMIN_TIMEOUT_S)


def test_rule_20_records_that_a_restore_needs_and_that_are_deleted_hold_the_task_back(
    watched: Watched, admin: AdminClient, produce: Any
) -> None:
    """Ten events, a snapshot at 4: at a log start of 3 a warning, at 6 the task waits for two newer ones."""
    produce(watched.inputs.events, *[b"x"] * 10)
    source = TopicPartition(watched.inputs.events, 0)
    watched.begin(4)
    wait_until(lambda: watched.watch.report.margins.get(source) == 4, "a first look")
    delete_before(admin, watched.inputs.events, 3)
    watched.wait_for_warning("of 4 records before the position of the older snapshot, 1 are left")
    assert watched.posted == []

    delete_before(admin, watched.inputs.events, 6)
    watched.wait_for(f"{watched.inputs.events}[0]: a restore from the older of two snapshots reads from offset 4 on")
    assert watched.watch.report.margins[source] == -2
    watched.watch.published(watched.checkpoint(8))
    watched.wait_for("reads from offset 4 on")  # the older one is still in the way
    watched.watch.published(watched.checkpoint(9))
    watched.wait_for("")
    assert watched.watch.report.dangers == {}
    watched.watch.forget([0])
    wait_until(lambda: watched.watch.report.margins == {}, "another worker looks after it")


def test_what_stages_send_has_no_margin(watched: Watched, admin: AdminClient) -> None:
    """Workers delete it themselves behind their snapshots (rule 23): it is no input that could be lost."""
    between, (labels,) = watched.inputs.events, watched.inputs.labels
    staged = Watched(watched.watch._settings, replace(watched.inputs, repartition=(between,)))
    staged.begin(3)
    wait_until(lambda: staged.watch.report.margins, "the inputs are looked at")
    assert {source.topic for source in staged.watch.report.margins} == {labels}
    staged.watch.close()


def test_rule_20_a_topic_that_is_made_anew_holds_all_tasks_back(
    watched: Watched, admin: AdminClient, settings: KafkaSettings
) -> None:
    """First it is gone, then it is there again under its old name: neither is what the snapshots are of."""
    watched.begin(0)
    wait_until(lambda: watched.watch.report.margins, "a first look")
    admin.delete_topics([watched.inputs.events])[watched.inputs.events].result(ADMIN_TIMEOUT_S)
    watched.wait_for(f"topic {watched.inputs.events} is gone")
    Admin(settings).create([TopicSpec(watched.inputs.events, 2, 1)])
    watched.wait_for(f"topic {watched.inputs.events} was deleted and made again")


def test_rule_20_more_partitions_and_compaction_are_warnings(watched: Watched, admin: AdminClient) -> None:
    """The task goes on: its records are there."""
    watched.begin(0)
    events, (labels,) = watched.inputs.events, watched.inputs.labels
    admin.create_partitions([NewPartitions(events, 3)])[events].result(ADMIN_TIMEOUT_S)
    compact = ConfigResource(
        ResourceType.TOPIC,
        labels,
        incremental_configs=[ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)],
    )
    (answer,) = admin.incremental_alter_configs([compact]).values()
    answer.result(ADMIN_TIMEOUT_S)
    watched.wait_for_warning(f"topic {events} has 3 partitions, 2 when the last snapshot was taken")
    watched.wait_for_warning(f"topic {labels} is compacted now")
    assert watched.posted == []


def test_rule_13_partitions_added_to_a_label_topic_end_the_worker(watched: Watched, admin: AdminClient) -> None:
    """As those added to the event topic do: labels in them would be read by nobody."""
    watched.begin(0)
    (labels,) = watched.inputs.labels
    admin.create_partitions([NewPartitions(labels, 3)])[labels].result(ADMIN_TIMEOUT_S)
    wait_until(lambda: watched.posted, "the worker is told", lambda: str(watched.watch.report))
    error = watched.posted[0]
    assert isinstance(error, ConfigError)
    assert f"topic {labels} was given more partitions while this worker ran: it has 3 now" in str(error)


@pytest.mark.parametrize(("error_ms", "told"), [(0, ""), (-60_000, "60.0 s ahead of"), (60_000, "behind this machine")])
def test_a_clock_that_differs_from_the_brokers_is_told_with_the_next_commit(
    watched: Watched, produce: Any, monkeypatch: pytest.MonkeyPatch, error_ms: int, told: str
) -> None:
    """A record of the journal, stamped by the broker, beside a commit at this machine's time."""
    right = input_watch._now_ms
    monkeypatch.setattr(input_watch, "_now_ms", lambda: right() + error_ms)
    produce(watched.inputs.journal, b"a cycle")
    watched.watch.committed()
    watched.begin(0)
    if told:
        watched.wait_for_warning("the brokers' clock is")
        (warning,) = watched.watch.report.warnings
        assert f"{60.0} s" in warning or "59.9 s" in warning
        assert told.split(" s ")[-1] in warning
    else:
        wait_until(lambda: watched.watch.report.margins, "a first look")
        assert watched.watch.report.warnings == ()


def test_brokers_that_do_not_answer_are_said_once(
    inputs: InputTopics, logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task goes on with what is known."""
    monkeypatch.setattr("stream.kafka.input_watch._ANSWER_WITHIN_S", 0.2)
    watch = InputWatch(KafkaSettings("g", "t", bootstrap_servers="127.0.0.1:9"), inputs, lambda _: None)
    asked: list[Admin] = []
    look = watch._look

    def look_and_count(admin: Admin) -> None:
        asked.append(admin)
        look(admin)

    monkeypatch.setattr(watch, "_look", look_and_count)
    watch.start()
    wait_until(lambda: len(asked) > 2, "it is tried on")
    watch.close()
    assert [line["event"] for line in logged] == ["inputs cannot be looked at"]
