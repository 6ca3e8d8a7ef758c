"""Rows of a file into the event topic, each exactly once: a transaction a chunk, which says how far the file is sent.

How far stands in a group of its own (`<group>.backfill`): on each partition of the topic the end that the chunk left,
and on partition 0 beside it which file it is, its rows and its last time. So a load that was killed goes on where its
last committed chunk ended, one that is over is seen to be, and records of others among the file's are noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from stream.config import KafkaSettings
from stream.engine import journal
from stream.engine.effects import OutputBatch
from stream.engine.journal import JournalRecord
from stream.engine.protocol import OffsetAndMetadata
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.reader import Reader
from stream.kafka.stable import wait_until_stable
from stream.kafka.topic_plan import Acl
from stream.kafka.transaction_producer import TransactionProducer
from stream.records import TopicPartition

# How long the brokers may take to end a predecessor's transaction (its timeout of 10 s, and their scan of 10 s) and to
# answer.
_TAKE_OVER_S = 40.0
# A chunk is sent once more where its partitions ended elsewhere than was known, as behind an aborted transaction.
_ATTEMPTS = 3
_WHOLE, _PART = "whole", "part"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a file is sent."""

    digest: str  # of the file's bytes
    rows: int  # of the file, from its first, that are sent or do not fit
    latest_ms: int  # the largest timestamp among them
    is_whole: bool = False

    def as_metadata(self) -> str:
        """What is committed beside an offset."""
        return f"{self.digest}:{self.rows}:{self.latest_ms}:{_WHOLE if self.is_whole else _PART}"

    @classmethod
    def of_metadata(cls, text: str) -> "LoadProgress | None":
        """What `as_metadata` wrote; None for anything else."""
        parts = text.split(":")
        if len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal() and parts[3] in (_WHOLE, _PART)):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3] == _WHOLE)


class FileLoad:
    """What of a file is in the event topic, and more of it. Every method blocks; belongs to one thread.

    Args:
        settings: of a worker, but for group and transactional id, which are those of the app's loads.
        topic: the events'.

    Raises, in every method:
        ConfigError: a right or a topic is missing.
        RetriableError: no broker answers.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._reader = Reader(self._settings)
        self._admin = Admin(self._settings)
        self._admin.group(settings.group_id)  # a missing right: asked for its offsets, the client would wait instead
        self._sources = tuple(TopicPartition(topic, number) for number in self._reader.partitions(topic))
        self._producer: TransactionProducer | None = None
        self._sent: dict[TopicPartition, int] = {}  # where each partition's next record is not the load's any more
        self._ends: dict[TopicPartition, int] = {}  # where each ends, if nobody else has written

    @property
    def group_id(self) -> str:
        """The group that says how far a file is sent."""
        return self._settings.group_id

    def progress(self) -> LoadProgress | None:
        """How far a file is sent; None if nothing of one is, or the group has forgotten it.

        It forgets offsets that were not committed anew for `offsets.retention.minutes`, a week by default, and those of
        a topic that is deleted.
        """
        first = self._committed().get(self._sources[0])
        return None if first is None else LoadProgress.of_metadata(first[1])

    def first_cycle(self, journal_topic: str) -> JournalRecord | None:
        """A cycle of any task of the app, the first that is still there; None if no task has begun."""
        for source in [TopicPartition(journal_topic, each.partition) for each in self._sources]:
            begin, end = self._reader.watermarks(source)
            for batch in self._reader.read_to_end(source, begin) if begin < end else ():
                first, behind = batch.values[0].tolist()
                return journal.decode(batch.data.tobytes()[first:behind])
        return None

    def take_over(self) -> None:
        """Make the id this process's: what another one sends from here on is refused, what it had open is aborted.

        Raises:
            ConfigError: records of others stand behind those of the file.
        """
        self.let_go()
        self._producer = TransactionProducer(self._settings, BrokerHealth())
        self._producer.start(_TAKE_OVER_S)
        committed = self._committed()
        starts = self._admin.log_starts(self._sources)
        self._sent = {source: max(start, committed.get(source, (0, ""))[0]) for source, start in starts.items()}
        self._ends = self._ends_without_others()

    def send(self, records: OutputBatch, progress: LoadProgress) -> None:
        """Send records and, in the same transaction, how far the file is sent with them.

        Raises:
            Refused: it was aborted; `is_final` where sending it again may not help.
            ProducerOver: the outcome is unknown: take over, and look at the progress.
            Fenced: another process took over.
            ConfigError: others have written to the topic meanwhile; nothing of this chunk is in it.
        """
        producer = self._producer
        assert producer is not None, "take_over comes first"
        for _ in range(_ATTEMPTS):
            producer.begin()
            producer.produce(records)
            producer.flush()
            ends = self._admin.ends(self._sources)
            if sum(ends.values()) - sum(self._ends.values()) == len(records):
                break
            producer.abort()
            self._ends = self._ends_without_others()
        else:
            raise RetriableError(
                f"{self._topic}: its ends do not move by the {len(records):,} records that are sent, and no others are "
                "there. Were its partitions changed, or does another transactional producer write to it?"
            )
        told = {source: OffsetAndMetadata(end, "") for source, end in ends.items()}
        told[self._sources[0]] = OffsetAndMetadata(ends[self._sources[0]], progress.as_metadata())
        producer.commit(told, self._reader.group_metadata())
        # Behind its records each partition gets the mark of the transaction's end, which takes an offset of its own.
        # Before that mark somebody else's record may still come.
        self._sent, self._ends = ends, {source: end + (end > self._ends[source]) for source, end in ends.items()}

    def let_go(self) -> None:
        """Give the producer up; what it has open is left to its timeout, or to whoever takes over."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def close(self) -> None:
        """Let go of the connections."""
        self.let_go()
        self._reader.close()

    def _committed(self) -> Mapping[TopicPartition, tuple[int, str]]:
        read = partial(self._reader.committed, self._sources)
        found = wait_until_stable(read, "how far the file is sent", lambda: False)
        return {source: (offset.next_offset, offset.metadata) for source, offset in found.items()}

    def _ends_without_others(self) -> dict[TopicPartition, int]:
        """Where the partitions end, if nothing stands there behind what was sent but what was aborted."""
        ends = {
            source: wait_until_stable(partial(self._end, source), source.topic, lambda: False)
            for source in self._sources
        }
        for source, since in self._sent.items():
            if ends[source] > since and _has_records(self._reader, source, since):
                raise ConfigError(
                    f"{source.topic}[{source.partition}]: others have written from offset {since} on, while a file is "
                    "being loaded: what is behind them would be learned as if it were later, and as late. To learn "
                    "from what is there, `--from beginning --emit-from TIME`. To load the file: stop the producers, "
                    f"make the topic {source.topic} anew, and run this again"
                )
        return ends

    def _end(self, source: TopicPartition) -> int:
        """The end of a partition without an open transaction: the mark of the last one is behind its records then."""
        end = self._admin.end(source)
        _, stable = self._reader.watermarks(source)
        if stable < end:
            raise RetriableError(f"{source.topic}[{source.partition}]: a transaction from offset {stable} on is open")
        return stable


def holds_records(settings: KafkaSettings, topic: str) -> bool:
    """Whether a topic has records that a worker would read; raises as FileLoad does."""
    with Reader(settings) as reader:
        sources = [TopicPartition(topic, number) for number in reader.partitions(topic)]
        edges = {source: reader.watermarks(source) for source in sources}
        return any(begin < end and _has_records(reader, source, begin) for source, (begin, end) in edges.items())


def rights_of_load(settings: KafkaSettings, topic: str) -> tuple[Acl, ...]:
    """What a worker's principal needs beside its own rights to load a file; `settings` as for FileLoad."""
    return (
        Acl("topic", topic, "Write"),
        Acl("group", settings.group_id, "Read"),
        Acl("group", settings.group_id, "Describe"),
        Acl("transactional-id", settings.transactional_id, "Write"),
        Acl("transactional-id", settings.transactional_id, "Describe"),
    )


def _has_records(reader: Reader, source: TopicPartition, since: int) -> bool:
    return any(len(batch) for batch in reader.read_to_end(source, since))
