"""Reads what Kafka remembers of a task, at stable positions (rules 17 and 21)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from stream.config import InputTopics, KafkaSettings
from stream.engine import journal
from stream.engine.protocol import CommittedOffset, TaskFound
from stream.engine.restore import metadata_of
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import TaskCorrupted
from stream.kafka.reader import Reader
from stream.kafka.stable import AGAIN_AFTER_S, wait_until_stable
from stream.records import RecordBatch, TopicPartition

# Committed offsets are stable once they are read: what is missing then is a marker on its way, unless the journal was
# deleted.
_JOURNAL_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with the request it belongs to: one that outlived the assignment it was made for is dropped."""

    request: object
    found: TaskFound


class TaskFinder:
    """Answers FindTask. Blocks; belongs to a helper thread, one task at a time."""

    def __init__(
        self,
        settings: KafkaSettings,
        topics: InputTopics,
        store: SnapshotStore,
        is_closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = Reader(settings)
        self._topics = topics
        self._store = store
        self._is_closing = is_closing
        self._wait = partial(wait_until_stable, is_closing=is_closing)

    def find(self, partition: int) -> TaskFound:
        """Read offsets, journal and the newest wanted snapshot of a task.

        Raises:
            RetriableError: positions did not become stable, or the brokers do not answer.
            ConfigError: a topic or a right is missing.
        """
        sources = tuple(TopicPartition(topic, partition) for topic in self._topics.sources)
        committed = self._wait(partial(self._reader.committed, sources), "committed offsets")
        records = self._journal_up_to(TopicPartition(self._topics.journal, partition), committed)
        wanted = {cycle for cycle in map(_cycle_of, records) if cycle is not None}
        stored = self._wait(partial(self._store.load, partition, wanted), "snapshots") if wanted else None
        edges = {source: self._wait(partial(self._reader.watermarks, source), "offsets") for source in sources}
        return TaskFound(
            partition=partition,
            committed=committed,
            journal=tuple(records),
            checkpoints=(stored.checkpoint,) if stored and stored.checkpoint else (),
            damaged=stored.damaged if stored else (),
            beginnings={source: low for source, (low, _) in edges.items()},
            ends={source: high for source, (_, high) in edges.items()},
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def _journal_up_to(
        self, source: TopicPartition, committed: Mapping[TopicPartition, CommittedOffset]
    ) -> list[bytes]:
        """The journal up to the committed cycle.

        Its marker may become visible later on the journal's broker than the offset did on the group's (rule 21).
        """
        wanted = {offset.metadata for offset in committed.values() if offset.metadata}
        records: list[bytes] = []
        begin, _ = self._wait(partial(self._reader.watermarks, source), "offsets of the journal")
        if not wanted:
            return records
        give_up_at = time.monotonic() + _JOURNAL_WITHIN_S
        while True:
            for batch in self._reader.read_to_end(source, begin):
                records += _values(batch)
                begin = int(batch.offsets[-1]) + 1
            last = _last_wanted(records, wanted)
            if last is not None:
                return records[: last + 1]
            if time.monotonic() > give_up_at or self._is_closing():
                return records  # the engine says what it means that the committed cycle is not there
            time.sleep(AGAIN_AFTER_S)


def _values(batch: RecordBatch) -> list[bytes]:
    data = batch.data.tobytes()
    return [data[start:end] for start, end in batch.values.tolist() if start >= 0]


def _cycle_of(value: bytes) -> tuple[int, str] | None:
    """Cycle and digest of a journal record; None if it cannot be read, which is the engine's to report."""
    try:
        record = journal.decode(value)
    except TaskCorrupted:
        return None
    return record.cycle, record.digest


def _last_wanted(records: list[bytes], wanted: set[str]) -> int | None:
    """Where the committed cycle's record is: the last one, but for cycles committed while this was read."""
    for place in range(len(records) - 1, -1, -1):
        cycle = _cycle_of(records[place])
        if cycle is not None and metadata_of(*cycle) in wanted:
            return place
    return None
