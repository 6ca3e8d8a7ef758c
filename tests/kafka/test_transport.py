"""The transport on a real broker: what a worker asks for happens, and is told in order."""

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import InputTopics, KafkaSettings
from stream.engine.protocol import (
    Abort,
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    Corrupted,
    Event,
    Fetch,
    Fetched,
    FetchSchema,
    FindTask,
    Instruction,
    OffsetAndMetadata,
    Pause,
    Produce,
    Release,
    Resume,
    Revoked,
    SchemaRefused,
    Send,
    StopTask,
    TaskFound,
)
from stream.errors import ConfigError, TaskCorrupted
from stream.headers import unpack
from stream.kafka.admin import Admin
from stream.kafka.reader import Reader
from stream.kafka.transport import Transport
from stream.records import RejectReason, TopicPartition
from tests.conftest import MakeTopic
from tests.kafka.conftest import MakeWorker
from tests.kafka.scripted import (
    Scripted,
    committed_values,
    expect_committed,
    journal_record,
    output,
    scripted,
    wait_for,
)


def fetched(worker: Scripted, source: TopicPartition) -> list[int]:
    """Offsets delivered of a partition."""
    return [
        int(offset)
        for event in worker.events
        if isinstance(event, Fetched) and (event.batch.topic, event.batch.partition) == source
        for offset in event.batch.offsets
    ]


def assigned(worker: Scripted) -> set[int]:
    """Partitions given so far."""
    return {number for event in worker.events if isinstance(event, Assigned) for number in event.partitions}


def test_an_assigned_partition_delivers_nothing_before_it_is_fetched(
    worker: MakeWorker, inputs: InputTopics, produce: Any
) -> None:
    """The position is the worker's to say (rule 4): before that, no record comes."""
    produce(inputs.events, b"a", b"b", b"c")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    for _ in range(20):
        one.step()
    assert one.of(Fetched) == []
    source = TopicPartition(inputs.events, 0)
    one.perform(Fetch(source, 1))
    wait_for(lambda: fetched(one, source) == [1, 2], one)


def test_pause_resume_and_fetch_skip_nothing_and_repeat_nothing(
    worker: MakeWorker, inputs: InputTopics, produce: Any
) -> None:
    """Records come behind the last delivered one after a pause, and from the offset that a second Fetch names."""
    source = TopicPartition(inputs.events, 0)
    produce(inputs.events, b"0", b"1", b"2")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Fetch(source, 0))
    wait_for(lambda: fetched(one, source) == [0, 1, 2], one)
    one.perform(Pause(source))
    produce(inputs.events, b"3", b"4")
    for _ in range(10):
        one.step()
    assert fetched(one, source) == [0, 1, 2]
    one.perform(Resume(source))
    wait_for(lambda: fetched(one, source) == [0, 1, 2, 3, 4], one)
    one.perform(Fetch(source, 3))
    wait_for(lambda: fetched(one, source) == [0, 1, 2, 3, 4, 3, 4], one)


def test_rule_4_an_offset_that_is_gone_is_an_error_and_never_a_reset(
    worker: MakeWorker, inputs: InputTopics, produce: Any
) -> None:
    """The text names topic, partition and offset, and what to choose; it is one task's affair."""
    produce(inputs.events, b"a")
    produce(inputs.events, b"b", partition=1)
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Fetch(TopicPartition(inputs.events, 0), 500))
    wait_for(lambda: one.of(Corrupted), one)
    (gone,) = (event for event in one.events if isinstance(event, Corrupted))
    assert gone.partition == 0
    assert re.search(r"events.*\[0\]: offset 500 is not in the log.*rule 4", gone.reason)
    one.perform(StopTask(0, TaskCorrupted(gone.reason)), Fetch(TopicPartition(inputs.events, 1), 0))
    wait_for(lambda: fetched(one, TopicPartition(inputs.events, 1)) == [0], one)


def test_a_journal_that_cannot_be_read_is_its_task_s_affair(
    worker: MakeWorker, inputs: InputTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is told of it like of anything that it looked for."""
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)

    def find(partition: int, without: Mapping[str, str], warm: object) -> TaskFound:
        raise TaskCorrupted(f"the journal of partition {partition} was deleted, {without}")

    monkeypatch.setattr(one.transport._finder, "find", find)
    one.perform(FindTask(1, {"d": "damaged"}))
    wait_for(lambda: one.of(Corrupted), one)
    assert one.of(Corrupted) == [Corrupted(1, "the journal of partition 1 was deleted, {'d': 'damaged'}")]


def test_rule_13_labels_are_read_without_being_subscribed_and_committed_with_the_events(
    worker: MakeWorker, inputs: InputTopics, settings: KafkaSettings, produce: Any
) -> None:
    """The label partition follows by manual assignment; its offset goes through the event consumer's membership."""
    label = TopicPartition(inputs.labels[0], 0)
    produce(inputs.labels[0], b"truth")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Fetch(label, 0))
    wait_for(lambda: fetched(one, label) == [0], one)
    returned = one.commit(1, (), **{inputs.events: 5, inputs.labels[0]: 1})
    assert returned.outcome is CommitOutcome.COMMITTED
    with Reader(settings) as reader:
        found = reader.committed((TopicPartition(inputs.events, 0), label, TopicPartition(inputs.events, 1)))
    assert {source.topic: (at.next_offset, at.metadata) for source, at in found.items()} == {
        inputs.events: (5, "1:digest"),
        inputs.labels[0]: (1, "1:digest"),
    }


def test_rule_13_topics_of_a_task_with_unequal_partitions_are_refused(
    settings: KafkaSettings, inputs: InputTopics, topic: MakeTopic
) -> None:
    """A task reads the partition of the same number of each of its topics."""
    narrow = InputTopics(inputs.events, (topic("narrow", 1),), inputs.journal, inputs.snapshots)
    with pytest.raises(ConfigError, match=r"narrow.* has 1 partitions, .* has 2.*rule 13"):
        scripted(settings, narrow)


def test_a_missing_topic_is_named_with_the_command_that_creates_it(
    settings: KafkaSettings, inputs: InputTopics
) -> None:
    """Starting without topics is the first mistake that everybody makes."""
    missing = InputTopics("nowhere-to-be-found", (), inputs.journal, inputs.snapshots)
    with pytest.raises(ConfigError, match="nowhere-to-be-found does not exist: run `stream topics create`"):
        scripted(settings, missing)


def test_outputs_are_visible_with_the_commit_and_not_before(
    worker: MakeWorker, settings: KafkaSettings, topic: MakeTopic, inputs: InputTopics
) -> None:
    """Keys, values, headers and timestamps arrive as they were given."""
    out = topic("out")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    batch = output(out, [b"one", None, b""], [b"k", None, b""], [("why", b"x"), ("why", None)])
    assert one.commit(1, (batch,), **{inputs.events: 1}).outcome is CommitOutcome.COMMITTED
    expect_committed(settings, out, b"one", None, b"")
    with Reader(settings) as reader:
        (seen,) = reader.read_to_end(TopicPartition(out, 0), 0)
    assert seen.timestamps_ms.tolist() == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002]
    data = seen.data.tobytes()
    assert [data[a:b] if a >= 0 else None for a, b in seen.keys.tolist()] == [b"k", None, b""]
    start, end = seen.headers[0].tolist()
    assert unpack(data[start:end]) == [("why", b"x"), ("why", None)]


def test_an_aborted_transaction_leaves_nothing_to_see(
    worker: MakeWorker, settings: KafkaSettings, topic: MakeTopic, inputs: InputTopics
) -> None:
    """Its outputs are dropped, and the next transaction goes on."""
    out, admin = topic("out"), Admin(settings)
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Produce(1, (output(out, [b"never"]),)))
    wait_for(lambda: admin.end(TopicPartition(out, 0)) > 0, one)  # it has left the client
    one.perform(Abort(1))
    assert one.commit(2, (output(out, [b"kept"]),), **{inputs.events: 1}).outcome is CommitOutcome.COMMITTED
    expect_committed(settings, out, b"kept")


def test_a_send_is_acknowledged_before_the_commit_and_outside_of_it(
    worker: MakeWorker, settings: KafkaSettings, topic: MakeTopic, inputs: InputTopics
) -> None:
    """delivery="immediate": predictions leave at once."""
    out = topic("out")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Send((output(out, [b"at once"]),)))
    wait_for(lambda: committed_values(settings, out) == [b"at once"], one)
    one.perform(Send((output(out, [b"and again"]),)))
    assert one.commit(1, (), **{inputs.events: 1}).outcome is CommitOutcome.COMMITTED
    expect_committed(settings, out, b"at once", b"and again")


def test_rule_12_a_record_that_is_too_large_refuses_the_commit_and_says_so(
    worker: MakeWorker, settings: KafkaSettings, topic: MakeTopic, inputs: InputTopics
) -> None:
    """Nothing of its transaction is committed, and the next one goes on."""
    out = topic("out")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    returned = one.commit(1, (output(out, [b"small", b"x" * 2_000_000]),), **{inputs.events: 9})
    assert returned.outcome is CommitOutcome.UNSENDABLE
    assert "larger than max_message_bytes = 1000000 (rule 12)" in returned.message
    assert one.commit(2, (output(out, [b"next"]),), **{inputs.events: 1}).outcome is CommitOutcome.COMMITTED
    expect_committed(settings, out, b"next")


def test_rule_6_a_second_worker_of_the_same_slot_fences_the_first_which_is_told(
    worker: MakeWorker, inputs: InputTopics, topic: MakeTopic, settings: KafkaSettings
) -> None:
    """The one that was there first gets FENCED with the reason; what it had not committed is gone."""
    out = topic("out")
    first = worker()
    wait_for(lambda: assigned(first) == {0, 1}, first)
    assert first.commit(1, (output(out, [b"mine"]),), **{inputs.events: 1}).outcome is CommitOutcome.COMMITTED
    second = worker(group_id="another-group-" + inputs.events)
    returned = first.commit(2, (output(out, [b"late"]),), **{inputs.events: 2})
    assert returned.outcome is CommitOutcome.FENCED
    assert "another worker uses the transactional id" in returned.message
    assert second.transport.stopped is None
    expect_committed(settings, out, b"mine")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_rule_16_a_revoked_partition_stays_until_the_open_transaction_is_committed(
    worker: MakeWorker, inputs: InputTopics, topic: MakeTopic, settings: KafkaSettings, protocol: str
) -> None:
    """The commit is awaited inside the callback; then the partition moves, and its new owner reads that commit."""
    out = topic("out")
    order: list[str] = []

    def answer(event: Event) -> Sequence[Instruction]:
        match event:
            case Revoked(partitions):
                order.append("revoked")
                waiting.extend(partitions)
                record, position = journal_record(inputs.journal, 1, partitions[0])
                offsets = {TopicPartition(inputs.events, number): position for number in partitions}
                return [Produce(1, (output(out, [b"last words"]), record)), Commit(1, offsets)]
            case CommitReturned():
                order.append(event.outcome.value)
                return [Release(tuple(waiting))]
        return []

    waiting: list[int] = []
    first = worker(answer, group_protocol=protocol)
    wait_for(lambda: assigned(first) == {0, 1}, first)
    second = worker(
        lambda event: [FindTask(number) for number in event.partitions] if isinstance(event, Assigned) else [],
        group_protocol=protocol,
        transactional_id="second-" + inputs.events,
    )
    wait_for(lambda: second.of(TaskFound), first, second)
    assert order == ["revoked", "committed"]
    (found,) = second.of(TaskFound)
    assert isinstance(found, TaskFound)
    assert found.committed[TopicPartition(inputs.events, found.partition)].next_offset == 10
    expect_committed(settings, out, b"last words")


def test_rule_16_while_a_revocation_waits_its_loop_is_alive(settings: KafkaSettings, inputs: InputTopics) -> None:
    """However long the commit takes, whoever watches hears of it; needs no broker."""
    waits: list[int] = []

    def on_wait() -> None:
        waits.append(len(waits))
        if len(waits) == 3:
            transport.perform(Release((0,)))

    held = {TopicPartition(inputs.events, 0)}
    transport = Transport(settings, inputs, handle=lambda _: (), on_wait=on_wait)
    transport._member = SimpleNamespace(flows=Held(held))  # type: ignore[assignment]
    transport._labels = Held(set())  # type: ignore[assignment]

    give_up = threading.Timer(10, transport._mailbox.post, [AssertionError("nobody was told")])
    give_up.start()
    transport._on_revoked((0,))
    give_up.cancel()

    assert waits == [0, 1, 2]


class Held(set[TopicPartition]):
    """Partitions that flow."""

    def __init__(self, partitions: set[TopicPartition]) -> None:
        super().__init__(partitions)

    def remove(self, gone: Iterable[TopicPartition]) -> None:  # type: ignore[override]
        """As Flows does."""
        self.difference_update(gone)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_it_is_known_whether_the_group_has_answered(worker: MakeWorker, inputs: InputTopics, protocol: str) -> None:
    """A worker more than partitions: it has none, and knows so."""
    workers: list[Scripted] = []
    release = lambda event: [Release(event.partitions)] if isinstance(event, Revoked) else []  # noqa: E731
    for number in range(3):
        workers.append(worker(release, group_protocol=protocol, transactional_id=f"{number}-{inputs.events}"))
        assert not workers[-1].transport.has_joined
        wait_for(lambda: workers[-1].transport.has_joined, *workers)
        wait_for(lambda: len(set().union(*map(assigned, workers))) == 2, *workers)


def test_rule_9_a_stale_member_is_refused_and_its_producer_goes_on(
    worker: MakeWorker, inputs: InputTopics, topic: MakeTopic, settings: KafkaSettings
) -> None:
    """A transaction that began before a rebalance carries the old generation: aborted, no reason to tell, usable."""
    out = topic("out")
    release = lambda event: [Release(event.partitions)] if isinstance(event, Revoked) else []  # noqa: E731
    first = worker(release, group_protocol="classic")
    wait_for(lambda: assigned(first) == {0, 1}, first)
    first.perform(Produce(1, (output(out, [b"old generation"]),)))
    second = worker(release, group_protocol="classic", transactional_id="second-" + inputs.events)
    wait_for(lambda: assigned(second), first, second)
    offsets = {TopicPartition(inputs.events, 0): OffsetAndMetadata(3, "1:digest")}
    first.perform(Commit(1, offsets))
    wait_for(lambda: first.returned(1), first, second)
    refused = first.returned(1)[0]
    assert (refused.outcome, refused.message) == (CommitOutcome.REFUSED, "")
    assert re.match("ILLEGAL_GENERATION: .*generation", refused.note)
    first.perform(Produce(2, (output(out, [b"again"]),)), Commit(2, offsets))
    wait_for(lambda: first.returned(2), first, second)
    assert first.returned(2)[0].outcome is CommitOutcome.COMMITTED
    expect_committed(settings, out, b"again")


def test_rule_3_an_unknown_schema_is_refused_only_by_an_answer(worker: MakeWorker) -> None:
    """The registry says that it has none."""
    one = worker()
    one.perform(FetchSchema(424_242))
    wait_for(lambda: one.of(SchemaRefused), one)
    (refused,) = one.of(SchemaRefused)
    assert isinstance(refused, SchemaRefused)
    assert (refused.schema_id, refused.reason) == (424_242, RejectReason.UNKNOWN_SCHEMA)


def test_rule_3_while_the_registry_does_not_answer_nothing_is_refused(worker: MakeWorker) -> None:
    """No one listens at the port: the question stays open, and polling goes on."""
    one = worker(registry_url="http://127.0.0.1:9")
    one.perform(FetchSchema(1))
    for _ in range(30):
        one.step()
    assert one.of(SchemaRefused) == []


def test_lag_is_known_by_partition(worker: MakeWorker, inputs: InputTopics, produce: Any) -> None:
    """Behind the end before the records came, at the end after."""
    source = TopicPartition(inputs.events, 0)
    produce(inputs.events, b"0", b"1", b"2")
    one = worker()
    wait_for(lambda: assigned(one) == {0, 1}, one)
    one.perform(Fetch(source, 0))
    wait_for(lambda: fetched(one, source) == [0, 1, 2], one)
    wait_for(lambda: one.transport.lags().get(source) == 0, one)


def test_a_session_timeout_that_the_broker_refuses_is_a_config_error(worker: MakeWorker) -> None:
    """Without this the worker would try to join for ever."""
    one = worker(session_timeout_ms=100, group_protocol="classic")
    with pytest.raises(ConfigError, match="session_timeout_ms"):
        wait_for(lambda: one.of(Assigned), one)
