"""What Kafka remembers of a task is read at stable positions."""

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Position

from stream.cli.broker.local import LocalBroker
from stream.config import InputTopics, KafkaSettings
from stream.engine import journal
from stream.engine.effects import OutputBatch
from stream.engine.journal import Backfill, JournalRecord
from stream.engine.protocol import CommittedOffset, OffsetAndMetadata, TaskFound
from stream.engine.restore import find_beginning
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_store import StoredSnapshots
from stream.kafka import client_config, task_finder
from stream.kafka.producing import produce_batch
from stream.kafka.reader import Reader
from stream.kafka.task_finder import TaskFinder
from stream.records import RecordBatch, TopicPartition
from stream.testing.partition_log import Stored, record_batch
from tests.conftest import MakeTopic
from tests.kafka.scripted import journal_record, output
from tests.runtime.waiting import wait_until


class EmptyStore:
    """A store without snapshots; notes what it was asked for."""

    def __init__(self) -> None:
        self.wanted: list[Collection[tuple[int, str]]] = []

    def publish(self, checkpoint: Checkpoint) -> Collection[str]:
        """Never called."""
        return ()

    def load(
        self,
        partition: int,
        wanted: Collection[tuple[int, str]],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> StoredSnapshots:
        """Nothing there."""
        self.wanted.append(wanted)
        return StoredSnapshots(None, ("one was damaged",))

    def forget(self, partition: int) -> None:
        """Never called."""

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def store() -> EmptyStore:
    """The store that the finder asks."""
    return EmptyStore()


@pytest.fixture
def finder(settings: KafkaSettings, inputs: InputTopics, store: EmptyStore) -> Iterator[TaskFinder]:
    """A finder of the test's group."""
    finder = TaskFinder(settings, inputs, store)
    yield finder
    finder.close()


class Committing:
    """A transactional producer under the hands of a test."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.producer = Producer(client_config.transactional_producer(settings))
        self.reader = Reader(settings)
        self.producer.init_transactions(20)

    def begin(self, offsets: dict[TopicPartition, OffsetAndMetadata], *batches: OutputBatch) -> None:
        """Everything but the commit."""
        self.producer.begin_transaction()
        for batch in batches:
            produce_batch(self.producer, batch)
        self.producer.flush()
        positions = [Position(*source, at.next_offset, at.metadata) for source, at in offsets.items()]
        self.producer.send_offsets_to_transaction(positions, self.reader._consumer.consumer_group_metadata(), 20)


@pytest.fixture
def committing(settings: KafkaSettings) -> Iterator[Committing]:
    """Commits as a worker would."""
    each = Committing(settings)
    yield each
    each.reader.close()
    each.producer.close()


def test_a_task_without_a_past_has_only_edges(finder: TaskFinder, inputs: InputTopics, produce: object) -> None:
    """No commit, no journal, no snapshot asked for: where its inputs begin and end."""
    assert callable(produce)
    produce(inputs.events, b"a", b"b")
    found = finder.find(0)
    events, labels = TopicPartition(inputs.events, 0), TopicPartition(inputs.labels[0], 0)
    edges = {events: 0, labels: 0}, {events: 2, labels: 0}
    assert found == TaskFound(0, {}, (), (), (), *edges, topics=found.topics)
    assert {name: topic.partitions for name, topic in found.topics.items()} == {events.topic: 2, labels.topic: 2}


def test_rule_21_the_journal_is_read_up_to_the_committed_cycle(
    finder: TaskFinder, store: EmptyStore, inputs: InputTopics, committing: Committing
) -> None:
    """Offsets with their metadata, the records in order, and snapshots of those cycles only."""
    records = []
    for cycle in (1, 2, 3):
        record, position = journal_record(inputs.journal, cycle)
        committing.begin({TopicPartition(inputs.events, 0): position}, record)
        if cycle < 3:
            committing.producer.commit_transaction(20)
            records.append(record.data.tobytes())
        else:
            committing.producer.abort_transaction(20)
    found = finder.find(0)
    assert found.journal == tuple(records)
    assert found.damaged == ("one was damaged",)
    (at,) = found.committed.values()
    assert at.next_offset == 20
    assert at.metadata.startswith("2:")
    assert sorted(cycle for cycle, _ in store.wanted[0]) == [1, 2]


def test_rule_4_the_journal_is_read_where_the_group_remembers_nothing(
    finder: TaskFinder, store: EmptyStore, inputs: InputTopics, committing: Committing
) -> None:
    """The group's offsets expired: all of the journal, and snapshots of its cycles."""
    records = [journal_record(inputs.journal, cycle)[0] for cycle in (1, 2)]
    committing.begin({}, *records)
    committing.producer.commit_transaction(20)

    found = finder.find(0)

    assert found.committed == {}
    assert found.journal == tuple(record.data.tobytes() for record in records)
    assert sorted(cycle for cycle, _ in store.wanted[0]) == [1, 2]


def test_rule_4_a_journal_without_committed_offsets_is_read_once_no_transaction_hides_its_end(
    finder: TaskFinder, inputs: InputTopics, committing: Committing
) -> None:
    """A predecessor's transaction is pending: what it wrote, and all behind it, is not to be read yet."""
    record, _ = journal_record(inputs.journal, 1)
    committing.begin({}, record)
    answers: list[TaskFound] = []
    thread = threading.Thread(target=lambda: answers.append(finder.find(0)))
    thread.start()
    thread.join(1.0)
    assert answers == []
    committing.producer.commit_transaction(20)
    thread.join(30)
    assert answers[0].journal == (record.data.tobytes(),)


class ScriptedReader:
    """A group whose offsets are one cycle behind the journal at the first look."""

    looks = 0

    def __init__(self, settings: KafkaSettings) -> None:
        """Needs no broker."""

    def watermarks(self, source: TopicPartition) -> tuple[int, int]:
        """Two records."""
        return 0, 2

    def committed(self, sources: tuple[TopicPartition, ...]) -> dict[TopicPartition, CommittedOffset]:
        """Cycle 1 at first, then cycle 2."""
        ScriptedReader.looks += 1
        _, at = journal_record("journal", min(self.looks, 2))
        return {source: CommittedOffset(at.next_offset, at.metadata) for source in sources}

    def read_to_end(self, source: TopicPartition, offset: int) -> Iterator[RecordBatch]:
        """Cycles 1 and 2, once."""
        values = [journal_record("journal", cycle)[0].data.tobytes() for cycle in (1, 2)]
        stored = [Stored(None, value, None, 0) for value in values]
        yield from [record_batch(source, list(enumerate(stored)))] if offset == 0 else []


def test_rule_21_offsets_that_became_visible_after_the_journal_are_looked_for_again(
    settings: KafkaSettings, inputs: InputTopics, store: EmptyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal ends with cycle 2, the group says 1, and 2 a moment later: both are of one commit in the answer."""
    monkeypatch.setattr(task_finder, "Reader", ScriptedReader)

    found = TaskFinder(settings, inputs, store).find(0)

    assert len(found.journal) == 2
    assert {offset.next_offset for offset in found.committed.values()} == {20}


def test_rule_21_a_cycle_that_never_shows_in_the_journal_is_waited_for_no_longer_than_a_deadline(
    settings: KafkaSettings, inputs: InputTopics, store: EmptyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group says 2 and the journal ends with 1, for ever: the engine gets both, and says what it means."""

    class LostItsEnd(ScriptedReader):
        def read_to_end(self, source: TopicPartition, offset: int) -> Iterator[RecordBatch]:
            """Cycle 1, once."""
            yield from (batch.part(0, 1) for batch in super().read_to_end(source, offset))

    monkeypatch.setattr(task_finder, "Reader", LostItsEnd)
    monkeypatch.setattr(ScriptedReader, "looks", 2)
    monkeypatch.setattr(task_finder, "_JOURNAL_WITHIN_S", 0.5)

    found = TaskFinder(settings, inputs, store).find(0)

    assert len(found.journal) == 1
    assert {offset.metadata.partition(":")[0] for offset in found.committed.values()} == {"2"}
    assert ScriptedReader.looks > 3  # more than once


@pytest.mark.parametrize(("last", "is_asked"), [(2, False), (3, True)])
def test_rule_25_where_the_state_at_hand_is_committed_no_snapshot_is_read(
    settings: KafkaSettings,
    inputs: InputTopics,
    store: EmptyStore,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
    is_asked: bool,
) -> None:
    """Cycles 1 and 2 are; a state of cycle 3 is of no use, and a snapshot is looked for."""
    monkeypatch.setattr(task_finder, "Reader", ScriptedReader)
    monkeypatch.setattr(ScriptedReader, "looks", 2)
    metadata = [journal_record("journal", cycle)[1].metadata.split(":") for cycle in (1, last)]
    TaskFinder(settings, inputs, store).find(0, warm=[(int(cycle), digest) for cycle, digest in metadata])

    assert bool(store.wanted) == is_asked


class SlowStore(EmptyStore):
    """A store that tells how far it is, while a test looks."""

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self.look = look
        self.seen: list[object] = []

    def load(
        self,
        partition: int,
        wanted: Collection[tuple[int, str]],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> StoredSnapshots:
        """Two looks on the way."""
        for share in (0.25, 0.75):
            on_progress(share)
            self.seen.append(self.look())
        return StoredSnapshots(None, ())


def test_how_much_of_a_snapshot_is_loaded_is_told_while_it_is(
    settings: KafkaSettings, inputs: InputTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For /readyz: the share by partition, and nothing once it is over."""
    monkeypatch.setattr(task_finder, "Reader", ScriptedReader)
    monkeypatch.setattr(ScriptedReader, "looks", 2)
    store = SlowStore(lambda: looking.loading())
    looking = TaskFinder(settings, inputs, store)
    looking.find(0)

    assert store.seen == [{0: 0.25}, {0: 0.75}]
    assert looking.loading() == {}


def test_a_task_that_has_begun_is_asked_for_the_time_that_it_was_told_then(
    finder: TaskFinder, inputs: InputTopics, committing: Committing, broker: LocalBroker
) -> None:
    """Its first cycle took nothing; this start is told nothing, and reading begins at the journaled time."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for place in range(4):
        producer.produce(inputs.events, b"event", partition=0, timestamp=1_700_000_000_000 + place)
    producer.flush(10)
    producer.close()
    record = JournalRecord(1, "", "plan", 1, (), (), backfill=Backfill(1_700_000_000_002, 0)).sealed()
    committing.begin({}, output(inputs.journal, [journal.encode(record)], partition=0))
    committing.producer.commit_transaction(20)

    found = finder.find(0)

    events, labels = TopicPartition(inputs.events, 0), TopicPartition(inputs.labels[0], 0)
    assert found.since == {events: 2, labels: 0}
    assert find_beginning(found, (events, labels), "plan", "earliest").starts == {events: 2, labels: 0}


def test_a_stage_without_a_journal_begins_with_the_backfill_of_the_others(
    settings: KafkaSettings, inputs: InputTopics, store: EmptyStore, topic: MakeTopic, committing: Committing
) -> None:
    """A worker was killed between the first commits of two stages, and is started again without `--from`."""
    other, told = topic("entry.journal", 2), Backfill(1_700_000_000_002, 1_700_000_000_003)
    record = JournalRecord(1, "", "plan", 1, (), (), backfill=told).sealed()
    committing.begin({}, output(other, [journal.encode(record)], partition=0))
    committing.producer.commit_transaction(20)
    looking = TaskFinder(settings, replace(inputs, other_journals=(topic("empty.journal", 2), other)), store)
    try:
        begun, not_begun = looking.find(0), looking.find(1)
    finally:
        looking.close()

    sources = TopicPartition(inputs.events, 0), TopicPartition(inputs.labels[0], 0)
    assert find_beginning(begun, sources, "plan", "latest").backfill == told
    assert begun.since == dict.fromkeys(sources, 0)
    again = Backfill(None, 7)
    assert find_beginning(begun, sources, "plan", "latest", again).backfill == again
    assert (not_begun.begun_elsewhere, not_begun.since) == (None, {})


def test_rule_17_a_pending_transaction_is_waited_for_and_the_old_offset_is_never_read(
    finder: TaskFinder, inputs: InputTopics, committing: Committing
) -> None:
    """While another's transaction holds the offsets there is no answer; then it is the new one."""
    source = TopicPartition(inputs.events, 0)
    first, position = journal_record(inputs.journal, 1)
    committing.begin({source: position}, first)
    committing.producer.commit_transaction(20)
    second, position = journal_record(inputs.journal, 2)
    committing.begin({source: position}, second)
    answers: list[TaskFound] = []
    thread = threading.Thread(target=lambda: answers.append(finder.find(0)))
    thread.start()
    thread.join(1.0)
    assert answers == []
    committing.producer.commit_transaction(20)
    thread.join(30)
    assert answers[0].committed[source].next_offset == 20
    assert len(answers[0].journal) == 2


def test_reading_a_partition_passes_over_aborted_records_and_markers(
    settings: KafkaSettings, inputs: InputTopics, committing: Committing
) -> None:
    """Offsets have holes; the end is met even if the last offset is a marker's."""
    source = TopicPartition(inputs.events, 0)
    for end in (committing.producer.commit_transaction, committing.producer.abort_transaction):
        committing.producer.begin_transaction()
        produce_batch(committing.producer, output(inputs.events, [b"a", b"b"], partition=0))
        assert committing.producer.flush(20) == 0  # an abort would drop what has not left yet
        end(20)
    with Reader(settings) as reader:
        # The answer to a commit comes before the partition has the marker (rule 21).
        wait_until(lambda: reader.watermarks(source)[1] == 6, "both markers")
        batches = list(reader.read_to_end(source, 0))
        assert [offset for batch in batches for offset in batch.offsets.tolist()] == [0, 1]
        assert reader.is_at_end
        assert list(reader.read_to_end(source, 2)) == []
