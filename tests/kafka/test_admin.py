"""Topics of an app are created once, as they should be; who may do what is data."""

import uuid

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import InputTopics, KafkaSettings, TopicNames
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin
from stream.kafka.group_protocol import choose_group_protocol
from stream.kafka.topic_plan import Acl, TopicSpec, plan, topics_of_app
from tests.kafka.conftest import MakeWorker
from tests.kafka.scripted import wait_for


@pytest.fixture
def admin_of(broker: LocalBroker) -> Admin:
    """The admin of the session's broker."""
    return Admin(KafkaSettings("g", "t", bootstrap_servers=broker.bootstrap_servers))


def test_the_topics_of_an_app_are_created_once(admin_of: Admin) -> None:
    """Journal kept for ever, snapshots compacted with an hour's lag; a second run creates nothing."""
    names = TopicNames.of(f"app-{uuid.uuid4().hex[:8]}")
    specs = topics_of_app(names, partitions=2, replication=1)
    assert admin_of.create(specs) == tuple(spec.name for spec in specs)
    assert admin_of.create(specs) == ()
    found = admin_of.describe([names.journal, names.snapshots, "nothing-of-this-name"])
    journal, snapshots = found[names.journal], found[names.snapshots]
    assert journal is not None
    assert snapshots is not None
    assert (journal.partitions, journal.replication, journal.config["retention.ms"]) == (2, 1, "-1")
    assert snapshots.config["cleanup.policy"] == "compact"
    assert snapshots.config["min.compaction.lag.ms"] == "3600000"
    assert found["nothing-of-this-name"] is None


def test_a_topic_with_other_partitions_is_refused(admin_of: Admin) -> None:
    """It is left as it is."""
    name = f"narrow-{uuid.uuid4().hex[:8]}"
    admin_of.create([TopicSpec(name, 1, 1)])
    with pytest.raises(ConfigError, match=rf"{name} is there with 1 partitions, 4 are needed.*rule 13"):
        admin_of.create([TopicSpec(name, 4, 1)])


def test_a_setting_that_the_broker_does_not_know_is_a_config_error(admin_of: Admin) -> None:
    """With the topic's name."""
    with pytest.raises(ConfigError, match=r"topic bad.* cannot be created"):
        admin_of.create([TopicSpec(f"bad-{uuid.uuid4().hex[:8]}", 1, 1, {"cleanup.policy": "nonsense"})])


def test_the_plan_names_every_right_that_a_worker_needs() -> None:
    """Inputs are read, outputs written, journal and snapshots both; group and id are used."""
    names = TopicNames.of("fraud")
    inputs = InputTopics("payments", ("labels",), names.journal, names.snapshots)
    made = plan(KafkaSettings("fraud", "fraud-0"), inputs, topics_of_app(names, 4))
    assert Acl("topic", "payments", "Read") in made.acls
    assert Acl("topic", names.journal, "Read") in made.acls
    assert Acl("topic", names.journal, "Write") in made.acls
    assert Acl("topic", names.predictions, "Write") in made.acls
    assert Acl("topic", names.predictions, "Read") not in made.acls
    assert Acl("group", "fraud", "Read") in made.acls
    assert Acl("transactional-id", "fraud-0", "Write") in made.acls
    assert len(set(made.acls)) == len(made.acls)


def test_a_group_shows_its_state_and_members(admin_of: Admin, worker: MakeWorker, inputs: InputTopics) -> None:
    """Stable with both partitions at its one member; a group that never was is dead."""
    one = worker()
    group = f"group-{inputs.events}"
    wait_for(lambda: one.events, one)
    wait_for(lambda: admin_of.group(group).state == "STABLE", one)
    (partitions,) = admin_of.group(group).members.values()
    assert sorted(partitions) == [(inputs.events, 0), (inputs.events, 1)]
    assert admin_of.group("never-was").state == "DEAD"


def test_rule_18_auto_takes_kip_848_only_where_the_brokers_session_is_short_enough(broker: LocalBroker) -> None:
    """The broker's default is 45 s."""

    def chosen(**changes: object) -> str:
        settings = {"bootstrap_servers": broker.bootstrap_servers, **changes}
        return choose_group_protocol(KafkaSettings("g", "t", **settings))  # type: ignore[arg-type]

    assert chosen(recovery_target_s=20) == "classic"
    assert chosen(recovery_target_s=45) == "consumer"
    assert chosen(recovery_target_s=45, group_instance_id="static") == "classic"
    assert chosen(group_protocol="consumer") == "consumer"


def test_no_broker_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address and what to do."""
    monkeypatch.setattr("stream.kafka.admin._REQUEST_S", 1.0)
    with pytest.raises(RetriableError, match=r"no answer from 127.0.0.1:9.*Is Kafka running"):
        Admin(KafkaSettings("g", "t", bootstrap_servers="127.0.0.1:9")).brokers()
