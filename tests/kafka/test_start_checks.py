"""A real cluster is looked at before a worker joins: what it refuses, and what it asks the log itself."""

from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from stream.cli.broker.local import LocalBroker
from stream.config import InputTopics, KafkaSettings, TopicNames
from stream.kafka.admin import Admin
from stream.kafka.start_checks import check_start, refusals
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from tests.conftest import MakeTopic
from tests.runtime.waiting import wait_until

MINUTE_MS = 60_000


@pytest.fixture
def names(topic: MakeTopic) -> TopicNames:
    """Names of an app of this test's own."""
    return TopicNames.of(topic("app"))


@pytest.fixture
def settings(broker: LocalBroker) -> KafkaSettings:
    """A worker's settings on the session's broker."""
    return KafkaSettings("g", "t", bootstrap_servers=broker.bootstrap_servers)


def refused(settings: KafkaSettings, inputs: InputTopics, names: TopicNames) -> list[str]:
    """Why a worker would not start."""
    return refusals(check_start(Admin(settings), settings, inputs, names, MINUTE_MS))


def test_each_setting_that_would_lose_data_is_refused_by_its_name(
    settings: KafkaSettings, names: TopicNames, topic: MakeTopic
) -> None:
    """Retention, compaction, unequal partitions, small records, the brokers' transactions: all are said at once."""
    admin = Admin(settings)
    owned = [
        replace(spec, partitions=2, replication=1, config={**spec.config, "max.message.bytes": "65536"})
        if spec.name == names.alerts
        else replace(spec, partitions=2, replication=1)
        for spec in topics_of_app(names, 2)
    ]
    admin.create(owned)
    good = InputTopics(topic("events", 2), (topic("labels", 2),), names.journal, names.snapshots)
    bad = InputTopics(
        topic("short", 2, retention_ms="599999"),
        (topic("compacted", 1, cleanup_policy="compact"),),
        names.journal,
        names.snapshots,
    )
    large = replace(settings, max_message_bytes=65_536)
    slow = replace(large, transaction_timeout_ms=900_001, max_poll_interval_ms=3_600_000)

    assert refused(large, good, names) == []
    (small,) = refused(settings, good, names)
    assert "max.message.bytes" in small
    short, compacted, unequal, transactions = refused(slow, bad, names)
    assert "keeps records for 599,999 ms (retention.ms)" in short
    assert "Set cleanup.policy=delete (rule 20)" in compacted
    assert "has 1 partitions" in unequal
    assert "(rule 13)" in unequal
    assert "transaction.max.timeout.ms = 900,000" in transactions


def test_a_topic_between_stages_is_refused_for_what_it_is(
    settings: KafkaSettings, names: TopicNames, topic: MakeTopic
) -> None:
    """Once, and not as an input that retention may empty; with the event topic's partitions."""
    events, between = topic("events", 3), topic("repartition", 2, retention_ms="599999")
    owned = topics_of_app(names, 2, repartition=(between,))
    Admin(settings).create([replace(spec, replication=1) for spec in owned if spec.name != between])
    inputs = InputTopics(between, (), names.journal, names.snapshots, repartition=(between,))

    found = check_start(Admin(settings), settings, inputs, names, MINUTE_MS, events)
    kept, ahead, unequal = refusals(found)
    assert f"topic {between} carries events between stages and has retention.ms=599999" in kept
    assert "has message.timestamp.after.max.ms=3600000" in ahead
    assert f"topic {between} has 2 partitions" in unequal


def test_a_log_that_bytes_cut_within_the_last_minutes_is_doubtful(
    settings: KafkaSettings, names: TopicNames, topic: MakeTopic, broker: LocalBroker, admin: AdminClient
) -> None:
    """The first record that is left is of this minute, and there were others before it."""
    inputs = InputTopics(topic("events", 1, retention_bytes="1000"), (), names.journal, "")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in (b"one", b"two", b"three"):
        producer.produce(inputs.events, value)
    assert producer.flush(20) == 0
    producer.close()

    def doubts() -> list[str]:
        found = check_start(Admin(settings), settings, inputs, names, MINUTE_MS)
        return [each.text for each in found if each.subject == inputs.events and "retention.bytes" in each.text]

    assert doubts() == []
    admin.delete_records([Position(inputs.events, 0, 1)])[Position(inputs.events, 0)].result(60)
    (doubt,) = doubts()
    assert "is cut to 1,000 bytes a partition" in doubt


def test_a_topic_made_anew_has_another_identity(settings: KafkaSettings, admin: AdminClient, topic: MakeTopic) -> None:
    """Same name, same partitions; one that is not there has none."""
    name, asked = topic("events", 2), Admin(settings)
    before = asked.identities([name, "nothing-of-this-name"])
    first = before[name]
    assert first is not None
    assert (first.partitions, before["nothing-of-this-name"]) == (2, None)
    admin.delete_topics([name])[name].result(60)
    wait_until(lambda: asked.identities([name])[name] is None, "the topic is gone")
    asked.create([TopicSpec(name, 2, 1)])
    after = asked.identities([name])[name]
    assert after is not None
    assert after.partitions == 2
    assert after != first
