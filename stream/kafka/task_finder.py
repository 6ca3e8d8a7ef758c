"""Reads what Kafka remembers of a task, at stable positions (rules 17 and 21)."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import structlog

from stream.config import InputTopics, KafkaSettings
from stream.engine import journal
from stream.engine.journal import Backfill, JournalRecord
from stream.engine.protocol import CommittedOffset, Corrupted, TaskFound
from stream.engine.restore import committed_cycles
from stream.engine.snapshot_store import SnapshotStore, StoredSnapshots
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka.admin import Admin
from stream.kafka.reader import Reader
from stream.kafka.stable import AGAIN_AFTER_S, wait_until_stable
from stream.records import RecordBatch, TopicPartition

_log = structlog.get_logger("stream.kafka")

# Committed offsets are stable once they are read: what is missing then is a marker on its way, unless the journal was
# deleted.
_JOURNAL_WITHIN_S = 20.0
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with the request it belongs to: one that outlived the assignment it was made for is dropped."""

    request: object
    found: TaskFound | Corrupted


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
        self._admin = Admin(settings)
        self._topics = topics
        self._store = store
        self._is_closing = is_closing
        self._loading: tuple[tuple[int, float], ...] = ()
        self._wait = partial(wait_until_stable, is_closing=is_closing)

    def find(
        self, partition: int, without: Mapping[str, str] = _NONE, warm: Collection[tuple[int, str]] = ()
    ) -> TaskFound:
        """Read offsets, journal and the newest wanted snapshot of a task.

        Args:
            partition: the task's.
            without: digests of snapshots that are no good, and why.
            warm: where all of these cycles are committed, no snapshot is needed.

        Raises:
            RetriableError: positions did not become stable, or the brokers do not answer.
            ConfigError: a topic or a right is missing.
            TaskCorrupted: a part of the journal was deleted while it was being read.
        """
        began_at = time.monotonic()
        sources = tuple(TopicPartition(topic, partition) for topic in self._topics.sources)
        committed, records = self._remembered(TopicPartition(self._topics.journal, partition), sources)
        known = {cycle for cycle in map(_cycle_of, records) if cycle is not None}
        is_warm = bool(warm) and known >= set(warm)
        wanted = set() if is_warm else {cycle for cycle in known if cycle[1] not in without}
        journal_at = time.monotonic()
        stored = self._wait(partial(self._load, partition, wanted), "snapshots") if wanted else None
        snapshot_at = time.monotonic()
        edges = {source: self._wait(partial(self._reader.watermarks, source), "offsets") for source in sources}
        elsewhere = None if records else self._begun_elsewhere(partition)
        topics = self._wait(partial(self._admin.identities, self._topics.sources), "topics")
        _log.info(
            "what is remembered of a task is read",
            partition=partition,
            cycles=len(records),
            journal_s=round(journal_at - began_at, 3),
            snapshot_s=round(snapshot_at - journal_at, 3),
        )
        return TaskFound(
            partition=partition,
            committed=committed,
            journal=tuple(records),
            checkpoints=(stored.checkpoint,) if stored and stored.checkpoint else (),
            damaged=(*without.values(), *(stored.damaged if stored else ())),
            beginnings={source: low for source, (low, _) in edges.items()},
            ends={source: high for source, (_, high) in edges.items()},
            since=self._since(sources, records, elsewhere),
            topics={name: topic for name, topic in topics.items() if topic is not None},
            begun_elsewhere=elsewhere,
        )

    def _load(self, partition: int, wanted: Collection[tuple[int, str]]) -> StoredSnapshots:
        def on_progress(share: float) -> None:
            self._loading = ((partition, share),)

        try:
            return self._store.load(partition, wanted, on_progress)
        finally:
            self._loading = ()

    def _begun_elsewhere(self, partition: int) -> Backfill | None:
        """A backfill that another stage's task of this partition was begun with: it stands in every cycle."""
        for name in self._topics.other_journals:
            source = TopicPartition(name, partition)
            begin, _ = self._wait(partial(self._reader.watermarks, source), "offsets of the journal")
            batch = next(iter(self._reader.read_to_end(source, begin)), None)
            record = _record(_values(batch)[0]) if batch is not None else None
            if record is not None and record.backfill is not None:
                return record.backfill
        return None

    def _since(
        self, sources: tuple[TopicPartition, ...], records: list[bytes], elsewhere: Backfill | None
    ) -> Mapping[TopicPartition, int]:
        """A task that has begun goes by what it was told then, whatever this start was told."""
        begin_ms = _begun_ms(records[-1]) if records else self._topics.begin_ms
        if begin_ms is None and elsewhere is not None:
            begin_ms = elsewhere.begin_ms
        if begin_ms is None:
            return {}
        return {source: self._wait(partial(self._reader.since, source, begin_ms), "offsets") for source in sources}

    def loading(self) -> dict[int, float]:
        """Share of the snapshot that is loaded, 0 to 1, of the task that is looked for; may be called by any thread."""
        return dict(self._loading)

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def _remembered(
        self, source: TopicPartition, inputs: tuple[TopicPartition, ...]
    ) -> tuple[Mapping[TopicPartition, CommittedOffset], list[bytes]]:
        """The group's offsets, and the journal up to the same commit.

        Its marker may become visible on the journal's broker later, or earlier, than on the group's (rule 21). A group
        that remembers no cycle leaves nothing to compare with: the journal is read to its end then, once it is certain
        that nobody's transaction hides a part of it.
        """
        records: list[bytes] = []
        begin, _ = self._wait(partial(self._reader.watermarks, source), "offsets of the journal")
        give_up_at = time.monotonic() + _JOURNAL_WITHIN_S
        while True:
            committed = self._committed(inputs)
            if not (cycles := committed_cycles(committed)):
                self._wait(partial(self._check_nothing_pending, source), "the journal")
                committed = self._committed(inputs)
                cycles = committed_cycles(committed)
            for batch in self._reader.read_to_end(source, begin):
                records += _values(batch)
                begin = int(batch.offsets[-1]) + 1
            if not cycles or (records and _cycle_of(records[-1]) in cycles):
                return committed, records
            if time.monotonic() > give_up_at or self._is_closing():
                return committed, records  # the engine says what it means that they differ
            time.sleep(AGAIN_AFTER_S)

    def _committed(self, inputs: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, CommittedOffset]:
        return self._wait(partial(self._reader.committed, inputs), "committed offsets")

    def _check_nothing_pending(self, source: TopicPartition) -> None:
        _, stable = self._reader.watermarks(source)
        if (end := self._admin.end(source)) > stable:
            raise RetriableError(
                f"{source.topic}[{source.partition}]: a transaction from offset {stable} to {end} at most is not over"
            )


def _values(batch: RecordBatch) -> list[bytes]:
    data = batch.data.tobytes()
    return [data[start:end] for start, end in batch.values.tolist() if start >= 0]


def _cycle_of(value: bytes) -> tuple[int, str] | None:
    """Cycle and digest of a journal record; None if it cannot be read, which is the engine's to report."""
    record = _record(value)
    return None if record is None else (record.cycle, record.digest)


def _begun_ms(value: bytes) -> int | None:
    """From when the backfill of this cycle's task reads; None if there is none, or it reads from the beginning."""
    record = _record(value)
    return None if record is None or record.backfill is None else record.backfill.begin_ms


def _record(value: bytes) -> JournalRecord | None:
    try:
        return journal.decode(value)
    except TaskCorrupted:
        return None
