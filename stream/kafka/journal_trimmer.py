"""Deletes the part of a journal, and of what other stages sent, that no restore can need any more (rule 23)."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import structlog
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Assignment
from confluent_kafka.admin import AdminClient

from stream.config import KafkaSettings
from stream.kafka import client_config
from stream.kafka.answers import answer_to
from stream.kafka.clients import make_client
from stream.kafka.reader import Reader
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

_REQUEST_S = 15.0
# The end of the journal when a snapshot is published lies behind that snapshot's cycle and before the next one's. Two
# snapshots are kept: what lies before the older one's cycle lies before the end noted at the snapshot before it.
_ENDS_KEPT = 3


class JournalTrimmer:
    """Follows the snapshots of a worker's tasks. Blocks; belongs to the thread that publishes them.

    Args:
        settings: see KafkaSettings.
        topic: the journal.
        repartition: the topics that other stages write and the tasks read.
    """

    def __init__(self, settings: KafkaSettings, topic: str, repartition: Sequence[str] = ()) -> None:
        self._topic = topic
        self._repartition = repartition
        self._keeps_all = settings.journal_retention == "all"
        self._reader = Reader(settings)
        self._admin = make_client(AdminClient, client_config.admin_client(settings))
        # Digest of each snapshot, the journal's end before, and where the task goes on with what other stages send.
        self._ends: dict[int, deque[tuple[str, int, list[Assignment]]]] = {}

    def before_publish(self, partition: int) -> int:
        """The journal's end, to be handed to `published`.

        Raises:
            RetriableError: the brokers do not answer.
        """
        return self._reader.watermarks(TopicPartition(self._topic, partition))[1]

    def published(
        self, partition: int, digest: str, kept: Collection[str], end: int, next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """A snapshot was published, before which the journal ended at `end`: delete what is before the older one.

        One more of the same cycle, as of a task that is held back, lets nothing go: that cycle's record lies before the
        end that was noted with the first, and no restore begins without it. A refusal, or silence, is logged: the
        journal then only grows, until a later snapshot lets it go.

        Args:
            partition: the task's.
            digest: of the snapshot's cycle.
            kept: digests of all snapshots that are there now. Where they are not this one and the one before it,
                nothing is deleted: what else is there may need all of it.
            end: what `before_publish` gave.
            next_offsets: where the task goes on from this snapshot.
        """
        ends = self._ends.setdefault(partition, deque(maxlen=_ENDS_KEPT))
        if ends and ends[-1][0] == digest:
            return
        sent = [TopicPartition(topic, partition) for topic in self._repartition]
        ends.append((digest, end, [Assignment(*each, next_offsets[each]) for each in sent if each in next_offsets]))
        (_, needed_from, _), *newest = ends
        is_whole = len(ends) == _ENDS_KEPT and {each for each, *_ in newest} == set(kept)
        if not is_whole or self._keeps_all:
            return
        (_, _, handled), _ = newest
        wanted = [Assignment(self._topic, partition, needed_from), *handled]
        request = self._admin.delete_records(wanted, request_timeout=_REQUEST_S, operation_timeout=_REQUEST_S)
        for trimmed, answer in request.items():
            try:
                answer_to(answer, _REQUEST_S)
            except KafkaException as raised:
                _log.warning("journal not trimmed", topic=trimmed.topic, partition=partition, error=str(raised.args[0]))

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
