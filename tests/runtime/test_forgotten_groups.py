"""A consumer group that is gone, as after a week without a member, or whose offsets somebody has changed."""

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from stream.engine.journal import check_chain
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment
from tests.runtime.truth import check_journal, check_outputs, check_states, cycles, predicted, state_of_snapshot


def admin_of(app: Deployment) -> AdminClient:
    """A client of the app's broker."""
    return AdminClient({"bootstrap.servers": app.broker.bootstrap_servers})


def delete_group(app: Deployment) -> None:
    """`kafka-consumer-groups --delete`, which is what happens to a group without members after a week."""
    admin = admin_of(app)
    (answer,) = admin.delete_consumer_groups([app.name], request_timeout=60).values()
    answer.result(60)
    assert set(app.committed().values()) == {0}


def set_offset(app: Deployment, topic: str, partition: int, offset: int) -> None:
    """`kafka-consumer-groups --reset-offsets --to-offset`."""
    wanted = ConsumerGroupTopicPartitions(app.name, [Position(topic, partition, offset)])
    admin = admin_of(app)
    (answer,) = admin.alter_consumer_group_offsets([wanted], request_timeout=60).values()
    answer.result(60)


def test_rule_4_a_worker_whose_group_is_gone_goes_on_where_the_journal_ends(deploy: Deploy) -> None:
    """Twice: after a crash, and after a clean stop. Every event is predicted once, none is learned from twice."""
    app = deploy(snapshot_interval_s="600", group_instance_id="")
    app.traffic.send(500)
    first = app.start()
    app.wait_until_handled()
    app.stop(first)
    delete_group(app)
    app.traffic.send(500)
    second = app.start()
    app.wait_until_handled()
    app.stop(second)
    delete_group(app)
    app.traffic.send(500)
    third = app.start()
    app.wait_until_handled()
    app.stop(third)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def test_rule_4_offsets_that_somebody_changed_are_one_clear_error(deploy: Deploy) -> None:
    """Set back by a tool: refused, with what to do; and with the group's offsets deleted it goes on."""
    app = deploy(partitions=1, group_instance_id="")
    app.traffic.send(300)
    worker = app.start()
    app.wait_until_handled()
    app.stop(worker)
    end = app.committed()[app.events, 0]
    set_offset(app, app.events, 0, end - 100)

    refused = app.start()
    assert refused.exit_status() == 1
    app.expect_end(refused)
    assert f"the group's offset is {end - 100}, the journal ends at {end}" in refused.log
    assert "Traceback" not in refused.log
    delete_group(app)
    app.traffic.send(300)
    last = app.start()
    app.wait_until_handled()
    app.stop(last)

    check_outputs(app)
    check_states(app)


def test_a_worker_that_was_away_for_longer_than_retention_goes_on_with_what_it_learned(deploy: Deploy) -> None:
    """Events expired unread: refused, with what to do. That done, it goes on where the topic begins, cycle by cycle."""
    app = deploy(partitions=1, group_instance_id="")
    app.traffic.send(300)
    worker = app.start()
    app.wait_until_handled()
    app.stop(worker)
    end, learned = app.committed()[app.events, 0], cycles(app, 0)[-1]
    app.traffic.send(300)
    begin = end + 100
    admin, expired = admin_of(app), Position(app.events, 0, begin)
    admin.delete_records([expired])[expired].result(60)

    refused = app.start()
    assert refused.exit_status() == 1
    app.expect_end(refused)
    assert f"the next record is that of offset {end}, but the topic begins at {begin}" in refused.log
    assert "Nothing that was learned is lost. To go on without those records" in refused.log
    set_offset(app, app.events, 0, begin)
    last = app.start()
    app.wait_until_handled()
    app.stop(last)

    found = [offset for _, _, offset in predicted(app)]
    assert len(found) == len(set(found))
    assert not set(found) & set(range(end, begin))
    assert max(found) > begin
    ahead = cycles(app, 0)
    check_chain(ahead)
    assert learned in ahead
    assert state_of_snapshot(app, 0)[0] == ahead[-1].cycle > learned.cycle
