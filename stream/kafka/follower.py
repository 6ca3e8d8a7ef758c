"""Follows other workers' tasks from outside the group: their journals and inputs, read committed (rule 25)."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer

from stream.config import InputTopics, KafkaSettings
from stream.engine.protocol import Corrupted, Event, Fetched, Following, JournalGrew, StandbyFound, TaskFound
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import StreamError
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.flows import Flows
from stream.kafka.group_process import GroupProcess
from stream.kafka.reader import Reader
from stream.kafka.standby_plan import members_of, to_follow
from stream.kafka.task_finder import TaskFinder
from stream.records import RecordBatch, TopicPartition

_log = structlog.get_logger("stream.kafka")

# How often the group is asked who has what. A task that moved is followed anew from a snapshot, which takes longer.
_LOOK_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class FollowedFound:
    """What was found of a task, and where its journal begins; dropped if the task is not followed any more."""

    request: object
    partition: int
    found: TaskFound | StreamError
    journal_begin: int


class Follower:
    """All methods belong to the polling thread; two threads of its own look at the group and for tasks.

    Args:
        settings: see KafkaSettings.
        topics: what tasks read.
        partitions: of each of them: the budget of fetched bytes is shared among them, once more beside the worker's.
        store: of snapshots, for its own thread.
        member_id: this worker's in the group, as it is now.
        prepare: loads the state of what was found, in the thread that found it.
        post: takes answers from its threads.
        health: told of the client's errors.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: InputTopics,
        partitions: int,
        store: SnapshotStore,
        member_id: Callable[[], str],
        prepare: Callable[[TaskFound], TaskFound],
        post: Callable[[Event | FollowedFound], None],
        health: BrokerHealth,
    ) -> None:
        self._settings, self._topics, self._prepare, self._post = settings, topics, prepare, post
        self._partitions = partitions
        self._member_id = member_id
        config = client_config.assigned_consumer(settings, partitions * (2 + len(topics.labels)))
        self._consumer: Any = make_client(Consumer, {**config, "error_cb": health.on_error})
        self.flows = Flows(self._consumer)
        self._requests: dict[int, object] = {}  # of every followed task
        self._is_over = threading.Event()
        self._store = store
        self._finder = TaskFinder(settings, topics, store, self._is_over.is_set)
        self._finding = ThreadPoolExecutor(1, thread_name_prefix="stream-standby-finder")
        self._group = GroupProcess(settings)
        self._looking = threading.Thread(target=self._look, name="stream-standbys", daemon=True)
        self._looking.start()

    def follow(self, partition: int) -> None:
        """Look for a task, and go on to read its journal."""
        request = self._requests[partition] = object()
        self._finding.submit(self._find, partition, request)

    def unfollow(self, partition: int) -> None:
        """Read nothing more of it."""
        self._requests.pop(partition, None)
        self.flows.remove(self._sources(partition))

    def found(self, item: FollowedFound) -> Event | None:
        """The event that an answer of the finding thread is; None if it is outdated."""
        if self._requests.get(item.partition) is not item.request:
            return None
        if isinstance(item.found, StreamError):
            return Corrupted(item.partition, str(item.found))
        self.flows.add(self._sources(item.partition))
        self.flows.fetch(TopicPartition(self._topics.journal, item.partition), item.journal_begin)
        return StandbyFound(item.found)

    def collect(self, records: int) -> list[Event]:
        """What came since, at most so many records, without waiting."""
        events: list[Event] = [self._event(batch) for batch in self.flows.consume(0, records)]
        return [*events, *(Corrupted(source.partition, why) for source, why in self.flows.take_gone().items())]

    def close(self) -> None:
        """End the threads and let go of the connections."""
        self._is_over.set()
        self._group.close()
        self._finding.shutdown(wait=True, cancel_futures=True)
        self._looking.join()
        self._finder.close()
        self._store.close()
        self._consumer.close()

    def _sources(self, partition: int) -> Iterable[TopicPartition]:
        return [TopicPartition(topic, partition) for topic in (*self._topics.sources, self._topics.journal)]

    def _event(self, batch: RecordBatch) -> Event:
        if batch.topic != self._topics.journal:
            return Fetched(batch)
        data = batch.data.tobytes()
        return JournalGrew(batch.partition, tuple(data[start:end] for start, end in batch.values.tolist()))

    def _find(self, partition: int, request: object) -> None:
        begin = 0
        try:
            with Reader(self._settings) as reader:
                begin, _ = reader.watermarks(TopicPartition(self._topics.journal, partition))
            found: TaskFound | StreamError = self._prepare(self._finder.find(partition))
        except StreamError as error:
            found = error
        self._post(FollowedFound(request, partition, found, begin))

    def _look(self) -> None:
        """Ask the group again and again, and tell what is to be followed."""
        followed: tuple[int, ...] = ()
        while not self._is_over.wait(_LOOK_EVERY_S):
            try:
                group = self._group.group()
            except StreamError as error:
                _log.debug("the group could not be described", error=str(error))
                continue
            members = members_of(group, self._topics.events)
            replicas = self._settings.standby_replicas
            followed = to_follow(members, self._member_id(), replicas, followed, self._partitions)
            self._post(Following(followed))
