"""The journal is deleted up to the older of the two snapshots, and no further (rule 23)."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import Producer

from stream.config import InputTopics, KafkaSettings
from stream.kafka import answers, journal_trimmer
from stream.kafka.journal_trimmer import JournalTrimmer
from stream.kafka.reader import Reader
from stream.records import TopicPartition


def test_rule_23_the_journal_keeps_what_the_older_snapshot_needs(settings: KafkaSettings, inputs: InputTopics) -> None:
    """Snapshots of cycles 4, 8 and 12: at the third, 8 and 12 are kept, and cycle 8's record is still there.

    Two more of cycle 12 follow, as of a task that is held back: its record stays, or nothing could begin at them.
    """
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    trimmer = JournalTrimmer(settings, inputs.journal)
    journal = TopicPartition(inputs.journal, 0)
    beginnings = []

    for snapshot in range(3):
        for cycle in range(4):
            producer.produce(inputs.journal, f"cycle {cycle}", partition=0)
        producer.flush(10)
        trimmer.published(0, f"digest {snapshot}", kept(snapshot), trimmer.before_publish(0), {})
        beginnings.append(beginning(settings, journal))
    for _ in range(2):
        trimmer.published(0, "digest 2", kept(2), trimmer.before_publish(0), {})
        beginnings.append(beginning(settings, journal))
    trimmer.close()

    assert beginnings == [0, 0, 4, 4, 4]  # offset 4 is cycle 5: cycle 8, at offset 7, is still there


class SilentAdmin:
    """A client whose request is never answered, not even by itself; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def delete_records(self, positions: list[Any], **timeouts: float) -> dict[Any, Future[None]]:
        """No answer."""
        self.asked += [position.offset for position in positions]
        return {position: Future() for position in positions}


def silent_trimmer(monkeypatch: pytest.MonkeyPatch, *repartition: str) -> tuple[JournalTrimmer, SilentAdmin]:
    """A trimmer whose brokers never answer, and what it asks them."""
    admin = SilentAdmin()
    monkeypatch.setattr(journal_trimmer, "make_client", lambda *_: admin)
    monkeypatch.setattr(journal_trimmer, "_REQUEST_S", 0.01)
    monkeypatch.setattr(answers, "_LATER_S", 0.01)
    trimmer = JournalTrimmer(KafkaSettings("group", "id", bootstrap_servers="127.0.0.1:1"), "app.journal", repartition)
    return trimmer, admin


def test_brokers_that_are_silent_while_the_journal_is_trimmed_cost_nothing_but_its_length(
    monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    """It is logged, and no error of the worker: the next snapshot asks again, for more."""
    trimmer, admin = silent_trimmer(monkeypatch)

    for snapshot in range(4):
        trimmer.published(0, f"digest {snapshot}", kept(snapshot), 10 * snapshot, {})
    trimmer.close()

    assert admin.asked == [0, 10]
    told = [line for line in logged if line["event"] == "journal not trimmed"]
    assert [(line["topic"], line["partition"]) for line in told] == [("app.journal", 0)] * 2
    assert "no answer in" in told[0]["error"]


def test_rule_23_what_stages_sent_is_kept_from_the_older_snapshot_on(
    monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    """Snapshots that stand at offsets 0, 100, 200 and 300: what is before the older one goes."""
    trimmer, admin = silent_trimmer(monkeypatch, "app.repartition")

    for snapshot in range(4):
        at = {TopicPartition("app.repartition", 0): 100 * snapshot, TopicPartition("labels", 0): 7}
        trimmer.published(0, f"digest {snapshot}", kept(snapshot), 10 * snapshot, at)
    trimmer.close()

    assert admin.asked == [0, 100, 10, 200]  # of journal and repartition topic in turn
    told = [line["topic"] for line in logged if line["event"] == "journal not trimmed"]
    assert told == ["app.journal", "app.repartition"] * 2


def test_a_journal_is_not_trimmed_where_other_snapshots_are_kept_than_the_last_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of before a reset is never replaced, the one before this was: nothing may go that a restore needs."""
    trimmer, admin = silent_trimmer(monkeypatch)

    for snapshot in range(4):
        trimmer.published(0, f"digest {snapshot}", {"of before", f"digest {snapshot}"}, 10 * snapshot, {})
    trimmer.published(0, "digest 4", kept(4), 40, {})
    trimmer.close()

    assert admin.asked == [20]  # snapshot 3 lies behind it


def kept(newest: int) -> set[str]:
    """Digests of the two snapshots that are there."""
    return {f"digest {snapshot}" for snapshot in (newest - 1, newest) if snapshot >= 0}


def beginning(settings: KafkaSettings, source: TopicPartition) -> int:
    """The first offset that is still there."""
    with Reader(settings) as reader:
        return reader.watermarks(source)[0]
