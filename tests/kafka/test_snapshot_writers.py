"""Two writers of one task's snapshots in a topic: one was paused and does not know that the task has moved on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from stream.config import KafkaSettings
from stream.errors import RetriableError
from stream.kafka import snapshots
from stream.kafka.snapshots import TopicSnapshotStore
from stream.records import RecordBatch, TopicPartition
from stream.testing.partition_log import Stored, record_batch
from tests.checkpoints import assert_same, checkpoint
from tests.paused_writers import Steps, loaded, of_before, publish_paused, snapshot

SOURCE = TopicPartition("snapshots", 0)


class Log:
    """A partition in memory, which is compacted when it is told so."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.records: list[Stored] = []
        self.gone: set[int] = set()

    def compact(self) -> None:
        """Keep the last record of each key, and no tombstone."""
        last = {record.key: offset for offset, record in enumerate(self.records)}
        kept = {offset for offset in last.values() if self.records[offset].value is not None}
        self.gone = set(range(len(self.records))) - kept


class LogReader:
    """Reads it as a Reader does."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def watermarks(self, source: TopicPartition) -> tuple[int, int]:
        """Compaction moves neither."""
        self._log.steps.step()
        return 0, len(self._log.records)

    def read_to_end(self, source: TopicPartition, offset: int) -> Iterator[RecordBatch]:
        """What is left from there on."""
        self._log.steps.step()
        rows = [row for row in enumerate(self._log.records) if row[0] >= offset and row[0] not in self._log.gone]
        if rows:
            yield record_batch(source, rows)


class LogStore(TopicSnapshotStore):
    """The store, over the log."""

    def __init__(self, log: Log) -> None:
        super().__init__(KafkaSettings("group", "id", bootstrap_servers="127.0.0.1:1"), "snapshots")
        self._log = log

    def _write(self, source: TopicPartition, records: Iterable[tuple[bytes, bytes | None]]) -> Mapping[bytes, int]:
        """Acknowledged at once."""
        self._log.steps.step()
        offsets = {}
        for key, value in records:
            offsets[key] = len(self._log.records)
            self._log.records.append(Stored(key, value, None, 0))
        return offsets


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """A log, which stores that are made read."""
    log = Log(Steps())
    monkeypatch.setattr(snapshots, "Reader", lambda *_, **__: LogReader(log))
    return log


@pytest.mark.parametrize("step", range(1, 7))
def test_a_writer_that_was_paused_leaves_its_successor_what_it_needs(log: Log, step: int) -> None:
    """At every step: it sees that others have written, and gives up, or writes one slot and what the log then tells.

    With the successor's next snapshot all is whole, an hour before compaction would take anything.
    """
    paused, successor, reader = LogStore(log), LogStore(log), LogStore(log)

    assert publish_paused(paused, successor, log.steps, step)

    assert set(loaded(reader, 70, 80)) & {70, 80}
    for cycle in (90, 95):
        successor.publish(snapshot(cycle))
        log.compact()
        assert cycle in loaded(reader, cycle)
    assert loaded(reader, 90, 95) == [90, 95]


@pytest.mark.parametrize("step", range(1, 7))
def test_the_writer_that_was_paused_may_be_the_owner(log: Log, step: int) -> None:
    """A worker that has lost the task publishes in the middle of its successor's snapshot."""
    owner, lost, reader = LogStore(log), LogStore(log), LogStore(log)

    assert publish_paused(owner, lost, log.steps, step)

    for cycle in (90, 95):
        while True:
            try:
                owner.publish(snapshot(cycle))
                break
            except RetriableError:  # the next interval tries again
                continue
    log.compact()
    assert loaded(reader, 90, 95) == [90, 95]


def test_a_writer_that_was_paused_before_its_manifest_writes_none_and_no_tombstone(log: Log) -> None:
    """What stands there is its successor's; the error says so."""
    paused, successor = LogStore(log), LogStore(log)
    for cycle in (10, 20):
        paused.publish(snapshot(cycle))

    def meanwhile() -> None:
        for cycle in (50, 60, 70):
            successor.publish(snapshot(cycle))
        written.append(len(log.records))

    written: list[int] = []
    with (
        log.steps.paused_at(2, meanwhile),  # its chunks are written behind those of the successor
        pytest.raises(RetriableError, match=r"another worker writes snapshots there.*begins with what is there"),
    ):
        paused.publish(snapshot(25))

    behind = [(record.key or b"", record.value) for record in log.records[written[0] :]]
    assert behind
    assert all(value is not None and not key.startswith(b"manifest") for key, value in behind)


def test_a_chunk_with_a_tombstone_behind_it_is_written_anew(log: Log) -> None:
    """As of a writer that looked before it was paused, and whose tombstones come when it wakes."""
    store, reader = LogStore(log), LogStore(log)
    for cycle in (50, 60):
        store.publish(snapshot(cycle))
    chunks = {record.key for record in log.records if record.key and not record.key.startswith(b"manifest")}
    LogStore(log)._write(SOURCE, [(key, None) for key in chunks])
    for cycle in (70, 80):
        store.publish(snapshot(cycle))
    log.compact()
    assert loaded(reader, 70, 80) == [70, 80]


@pytest.mark.parametrize("before", [1, 2])
def test_of_two_snapshots_of_one_cycle_the_one_written_last_is_loaded(log: Log, before: int) -> None:
    """Whichever slot it stands in, and whatever the clock said."""
    store = LogStore(log)
    for cycle in range(10 - before, 11):
        store.publish(snapshot(cycle))
    again = replace(snapshot(10), arrays={"own": np.arange(3)})
    store.publish(again)
    assert_same(LogStore(log).load(0, [(10, "digest10")]).checkpoint, again)


def test_snapshots_of_another_journal_give_way_first(log: Log) -> None:
    """A reset that was interrupted left two of higher cycles: the two newest of the task are kept all the same."""
    old, store, reader = LogStore(log), LogStore(log), LogStore(log)
    old.publish(of_before(4000, 1))
    old.publish(of_before(5000, 2))
    kept = [store.publish(checkpoint(cycle)) for cycle in (10, 20, 30, 40)]
    assert kept == [
        {"of before 5000", "digest10"},
        {"digest10", "digest20"},
        {"digest20", "digest30"},
        {"digest30", "digest40"},
    ]
    assert [reader.load(0, [(cycle, f"digest{cycle}")]).checkpoint is not None for cycle in (30, 40)] == [True, True]
