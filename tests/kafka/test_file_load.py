"""A file's rows into a topic on a real Kafka: each once, by one process at a time, and not among others' records."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from stream.config import KafkaSettings
from stream.engine.journal import Backfill, JournalRecord, encode
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin
from stream.kafka.file_load import FileLoad, LoadProgress, holds_records
from stream.kafka.reader import Reader
from stream.kafka.transaction_producer import Fenced, Refused
from stream.records import TopicPartition
from tests.conftest import MakeTopic
from tests.kafka.scripted import committed_values, output, wait_for

DIGEST = "0123456789abcdef"
ROWS = [b"row %d" % number for number in range(8)]


@pytest.fixture
def events(topic: MakeTopic) -> str:
    """A topic of two partitions."""
    return topic("events", 2)


@pytest.fixture
def own(settings: KafkaSettings, events: str) -> KafkaSettings:
    """Group and id of the loads into this topic."""
    return replace(settings, group_id=f"{events}.backfill", transactional_id=f"{events}-backfill")


@pytest.fixture
def load(own: KafkaSettings, events: str) -> Iterator[Callable[[], FileLoad]]:
    """Makes processes, as it were, that load a file into the topic."""
    made: list[FileLoad] = []

    def make() -> FileLoad:
        made.append(FileLoad(own, events))
        return made[-1]

    yield make
    for each in made:
        each.close()


def send(load: FileLoad, topic: str, first: int, end: int, *, is_last: bool = False) -> LoadProgress:
    """Send rows `first` to `end` - 1 as a chunk."""
    progress = LoadProgress(DIGEST, end, 1_700_000_000_000 + end, is_last)
    keys = [b"key %d" % number for number in range(first, end)]
    load.send(output(topic, ROWS[first:end], keys), progress)
    return progress


def sent(settings: KafkaSettings, topic: str) -> list[bytes | None]:
    """All that is committed, in no order, once the marks of the transactions' ends are there."""
    with Reader(settings) as reader:
        sources, admin = [TopicPartition(topic, number) for number in (0, 1)], Admin(settings)
        wait_for(lambda: all(reader.watermarks(source)[1] == admin.end(source) for source in sources))
    return sorted((value for number in (0, 1) for value in committed_values(settings, topic, number)), key=str)


def test_what_is_sent_and_how_far_commit_together(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three chunks, the last without a row, each sent once; nothing is known of a file before the first."""
    at_work = load()
    assert at_work.progress() is None

    at_work.take_over()
    aborted: list[bool] = []
    assert at_work._producer is not None
    monkeypatch.setattr(at_work._producer, "abort", partial(aborted.append, True))
    first = send(at_work, events, 0, 5)
    assert load().progress() == first
    send(at_work, events, 5, 8)
    assert aborted == []
    monkeypatch.undo()
    whole = send(at_work, events, 8, 8, is_last=True)

    assert load().progress() == whole
    assert whole.is_whole
    assert sent(own, events) == ROWS


def test_a_load_that_dies_in_a_chunk_goes_on_behind_the_one_before(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records of the open transaction are aborted by the next one, and sent again."""
    dying = load()
    dying.take_over()
    done = send(dying, events, 0, 3)
    monkeypatch.setattr(dying, "_reader", None)  # dies where the offsets would be sent
    with pytest.raises(AttributeError):
        send(dying, events, 3, 6)
    monkeypatch.undo()

    next_one = load()
    next_one.take_over()
    assert next_one.progress() == done
    send(next_one, events, 3, 8, is_last=True)

    assert sent(own, events) == ROWS


def test_whoever_comes_later_takes_the_load_over(own: KafkaSettings, events: str, load: Callable[[], FileLoad]) -> None:
    """The one that was there is refused, and what it sent is in no committed chunk."""
    first, second = load(), load()
    first.take_over()
    send(first, events, 0, 3)
    second.take_over()

    with pytest.raises(Fenced):
        send(first, events, 3, 6)

    send(second, events, 3, 8, is_last=True)
    assert sent(own, events) == ROWS


def test_records_of_others_among_those_of_the_file_are_refused(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad], produce: Any
) -> None:
    """Noticed before the next chunk commits, and by whoever takes over, which changes nothing about it."""
    at_work = load()
    at_work.take_over()
    done = send(at_work, events, 0, 3)
    produce(events, b"live", partition=1)

    with pytest.raises(ConfigError, match=r"others have written from offset .* while a file is being loaded"):
        send(at_work, events, 3, 6)
    with pytest.raises(ConfigError, match="others have written"):
        load().take_over()

    assert load().progress() == done
    assert sent(own, events) == [b"live", *ROWS[:3]]


def test_a_record_of_others_between_a_chunk_and_the_mark_of_its_end_is_noticed(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad], produce: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark comes a moment after the records, and stands behind what others wrote in between."""
    at_work = load()
    at_work.take_over()
    metadata = at_work._reader.group_metadata

    def write_and_go_on() -> Any:
        produce(events, b"live", partition=1)
        return metadata()

    monkeypatch.setattr(at_work._reader, "group_metadata", write_and_go_on)
    done = send(at_work, events, 0, 3)
    monkeypatch.undo()

    with pytest.raises(ConfigError, match="others have written"):
        send(at_work, events, 3, 6)
    with pytest.raises(ConfigError, match="others have written"):
        load().take_over()
    assert at_work.progress() == done
    assert sent(own, events) == [b"live", *ROWS[:3]]


def test_ends_that_move_otherwise_without_records_of_others_are_told(
    events: str, load: Callable[[], FileLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where partitions were added: nothing is committed that was not seen to be there."""
    at_work = load()
    at_work.take_over()
    monkeypatch.setattr(at_work._admin, "ends", lambda sources: dict.fromkeys(sources, 0))
    with pytest.raises(RetriableError, match="its ends do not move by the 3 records that are sent"):
        send(at_work, events, 0, 3)
    assert at_work.progress() is None


def test_a_record_that_the_topic_does_not_take_is_told_at_once(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad]
) -> None:
    """The chunk is aborted for good."""
    at_work = load()
    at_work.take_over()
    with pytest.raises(Refused, match="larger than max_message_bytes") as refused:
        at_work.send(output(events, [b"x" * (own.max_message_bytes + 1)]), LoadProgress(DIGEST, 1, 1))
    assert refused.value.failure.is_final
    assert at_work.progress() is None


def test_a_topic_that_is_made_anew_takes_a_file_anew(
    admin: AdminClient, own: KafkaSettings, events: str, load: Callable[[], FileLoad]
) -> None:
    """With the topic the brokers forget how far a file was sent to it."""
    before = load()
    before.take_over()
    send(before, events, 0, 8, is_last=True)
    admin.delete_topics([events])[events].result()
    wait_for(lambda: events not in admin.list_topics().topics)
    admin.create_topics([NewTopic(events, 2, 1)])[events].result()
    wait_for(lambda: events in admin.list_topics().topics)

    after = load()
    wait_for(lambda: after.progress() is None)
    after.take_over()
    send(after, events, 0, 8, is_last=True)
    assert sent(own, events) == ROWS


def test_a_topic_holds_records_once_one_is_committed(
    own: KafkaSettings, events: str, load: Callable[[], FileLoad], produce: Any
) -> None:
    """Those of an aborted transaction are none."""
    assert not holds_records(own, events)
    aborting = load()
    aborting.take_over()
    assert aborting._producer is not None
    aborting._producer.begin()
    aborting._producer.produce(output(events, ROWS))
    aborting._producer.flush()
    aborting._producer.abort()
    assert not holds_records(own, events)
    produce(events, b"live", partition=1)
    assert holds_records(own, events)


def test_a_cycle_of_any_task_says_how_the_app_began(
    topic: MakeTopic, load: Callable[[], FileLoad], produce: Any
) -> None:
    """Of the first partition with a journal."""
    journal, at_work = topic("journal", 2), load()
    assert at_work.first_cycle(journal) is None
    cycle = JournalRecord(1, "", "plan", 1, (), (), backfill=Backfill(None, 7)).sealed()
    produce(journal, encode(cycle), partition=1)
    assert at_work.first_cycle(journal) == cycle


@pytest.mark.parametrize("text", ["", "7:digest", "digest:x:1:part", "digest:1:1:half"])
def test_metadata_of_others_is_no_progress(text: str) -> None:
    """Nothing is made of what a load did not write."""
    assert LoadProgress.of_metadata(text) is None
