"""Performs a worker's instructions on a real broker with confluent-kafka's public API, and tells what happened.

The runtime polls, gives each event to the worker, and performs what the worker answers:

    transport = Transport(settings, topics, handle=lambda event: worker.on(event, now_ms()))
    transport.start()
    while transport.stopped is None:
        for event in transport.poll(0.01):
            for instruction in worker.on(event, now_ms()):
                transport.perform(instruction)
    transport.close()

Only a revocation is handled inside `poll`: the group waits for its end, so the worker is asked by way of `handle`, and
the commit of its open transaction is awaited there (rule 16).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import structlog
from confluent_kafka import Consumer

from stream.config import InputTopics, KafkaSettings
from stream.engine.protocol import (
    Abort,
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    CommittedOffset,
    Corrupted,
    Event,
    Fetch,
    Fetched,
    FetchRows,
    FetchSchema,
    FindTask,
    Follow,
    Instruction,
    Lost,
    Pause,
    Produce,
    PublishSnapshot,
    Release,
    Resume,
    Revoked,
    SchemaFetched,
    SchemaRefused,
    Send,
    Stop,
    StopTask,
    TaskFound,
    Unfollow,
)
from stream.engine.snapshot_store import SnapshotStore, StoreMemory
from stream.errors import TaskCorrupted
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.committer import Committer
from stream.kafka.flows import Flows
from stream.kafka.follower import FollowedFound, Follower
from stream.kafka.group_member import GroupMember
from stream.kafka.group_protocol import choose_group_protocol
from stream.kafka.input_partitions import check_partition, count_partitions
from stream.kafka.input_watch import InputWatch
from stream.kafka.journal_trimmer import JournalTrimmer
from stream.kafka.mailbox import Mail, Mailbox
from stream.kafka.needs import Needs
from stream.kafka.publisher import Publisher
from stream.kafka.reader import Reader
from stream.kafka.sender import Sender
from stream.kafka.slot_look import SlotLook
from stream.kafka.snapshots import TopicSnapshotStore
from stream.kafka.stable import wait_until_stable
from stream.kafka.task_finder import Found, TaskFinder
from stream.kafka.transaction_producer import TransactionProducer
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

# How long one wait for records may be: answers of helper threads and labels are looked at in between.
_SLICE_S = 0.005
_LABELS_WITHIN_S = 0.5  # what is looked for next, tasks, waits for it where no broker answers
_START_WITHIN_S = 30.0

Handle = Callable[[Event], Sequence[Instruction]]
OpenStore = Callable[[], SnapshotStore]


class Transport:
    """See the module's text. All methods belong to one thread, the polling one.

    Args:
        settings: see KafkaSettings.
        topics: what tasks read.
        handle: gives an event to the worker during a revocation and returns its instructions.
        on_wait: called again and again while a revocation waits for its commit.
        open_store: makes a snapshot store; called once for each of the two helper threads that use one. By default
            the compacted topic `topics.snapshots`.
        prepare: does ahead, in a helper thread, what would take the worker long once a task is found.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: InputTopics,
        handle: Handle,
        open_store: OpenStore | None = None,
        on_wait: Callable[[], None] = lambda: None,
        prepare: Callable[[TaskFound], TaskFound] = lambda found: found,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._handle = handle
        self._on_wait = on_wait
        self._prepare = prepare
        memory = StoreMemory()
        self._open_store = open_store or (
            lambda: TopicSnapshotStore(settings, topics.snapshots, lambda: self._is_closing, memory)
        )
        self._mailbox = Mailbox()
        self._events: list[Event] = []
        self._requests: dict[int, object] = {}  # FindTask asked for and not answered, by partition
        self._begun: tuple[int, object] = (0, None)  # the newest transaction and the membership it began with
        self._needs = Needs(settings, topics.features, self._mailbox)
        self.watch = InputWatch(settings, topics, self._mailbox.post)
        self._follower: Follower | None = None
        self._is_closing = False
        self.health = BrokerHealth()
        self.stopped: Stop | None = None
        self.group_protocol = ""

    def start(self) -> None:
        """Take the transactional id over, then join the group (rule 6).

        Raises:
            ConfigError: a topic, a right or a setting is wrong.
            RetriableError: no broker answers.
        """
        slot_look = SlotLook(self._settings)
        self._partitions = partitions = count_partitions(self._settings, self._topics)
        self.group_protocol = choose_group_protocol(self._settings)
        producer = TransactionProducer(self._settings, self.health)
        producer.start(_START_WITHIN_S)
        self._sender = Sender(self._settings, self.health)
        self._committer = Committer(producer, self._sender, self._read_committed, self._mailbox.post)
        self._committer.start()
        self._start_helpers()
        label_config = client_config.assigned_consumer(self._settings, partitions * max(1, len(self._topics.labels)))
        self._label_consumer = make_client(Consumer, {**label_config, "error_cb": self.health.on_error})
        self._labels = Flows(self._label_consumer)
        for topic in self._topics.labels:  # an idle client hears of a topic with its look once a second
            self._finding.submit(self._label_consumer.list_topics, topic, _LABELS_WITHIN_S)
        self._member = GroupMember(
            self._settings,
            self._topics.events,
            self.group_protocol,
            partitions,
            self.health,
            on_assigned=lambda numbers: self._events.append(Assigned(numbers)),
            on_revoked=self._on_revoked,
            on_lost=self._on_lost,
        )
        if self._settings.standby_replicas:
            own = (self._open_store(), self._member.member_id, self._prepare, self._mailbox.post, self.health)
            self._follower = Follower(self._settings, self._topics, partitions, *own)
        slot_look.tell()
        self._member.join()
        self.watch.start()

    def poll(self, timeout_s: float) -> list[Event]:
        """What happened, in order; waits up to `timeout_s` for the first event. Call it at least every 100 ms
        (rule 15), with 0 while there is work at hand.

        Raises:
            StreamError: something that the worker cannot get over; the text says what to do.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            remaining_s = give_up_at - time.monotonic()
            self._collect(max(0.0, min(remaining_s, _SLICE_S)))
            if self._events or remaining_s <= 0 or self.stopped:
                events, self._events = self._events, []
                return events

    def perform(self, instruction: Instruction) -> None:
        """Do, or begin to do, what the worker asks for; never blocks for long."""
        match instruction:
            case Fetch(source, offset):
                self._fetch(source, offset)
            case Pause(source):
                self._pause(source)
            case Resume(source):
                if source in (flows := self._flows_of(source)):
                    flows.resume(source)
            case Send(outputs):
                self._sender.send(outputs)
            case Produce(transaction, outputs):
                self._membership(transaction)
                self._committer.produce(transaction, outputs)
            case Commit(transaction, offsets):
                self._committer.commit(transaction, offsets, self._membership(transaction))
            case Abort(transaction):
                self._committer.abort(transaction)
            case FindTask():
                self._find_task(instruction)
            case Follow(partition) if self._follower is not None:
                self._follower.follow(partition)
            case Unfollow(partition) if self._follower is not None:
                self._follower.unfollow(partition)
            case StopTask(partition):
                self._stop_task(partition)
            case FetchSchema(schema_id):
                self._needs.fetch_schema(schema_id)
            case FetchRows():
                self._needs.fetch_rows(instruction)
            case PublishSnapshot(checkpoint):
                self._mailbox.run(self._publishing, lambda: self._publisher.publish(checkpoint))
            case Release(partitions):
                self._release(partitions)
            case Stop():
                self.stopped = instruction

    @property
    def has_joined(self) -> bool:
        """Whether the group has answered: with partitions, or that there are none for this worker."""
        return self._member.has_joined

    def loading(self) -> dict[int, float]:
        """Share of the snapshot that is loaded, 0 to 1, of tasks that are looked for."""
        return self._finder.loading()

    def lags(self) -> dict[TopicPartition, int]:
        """Records, at most, that each input partition is behind its end, as of the last fetch."""
        return dict(chain(self._member.flows.lags(), self._labels.lags()))

    def close(self) -> None:
        """Leave the group and let go of everything; what is not committed is as if it had not happened."""
        self._is_closing = True
        self.watch.close()
        if hasattr(self, "_member"):
            self._member.leave()
            self._label_consumer.close()
        if self._follower is not None:
            self._follower.close()
        if hasattr(self, "_committer"):
            self._stop_helpers()
            self._sender.close()
            self._committer.close()

    # --- polling -------------------------------------------------------------------------------------------------

    def _collect(self, timeout_s: float) -> None:
        self._take_mail(self._mailbox.take_all())
        wait_s = 0.0 if self._events else timeout_s
        # The list is looked up anew: a revocation inside `consume` hands over what was there before it.
        batches = self._member.flows.consume(wait_s, self._settings.poll_records)
        if self._topics.labels:
            batches += self._labels.consume(0, self._settings.poll_records)
        if batches:
            self.health.on_answer()
        self._events += map(Fetched, batches)
        if self._follower is not None:
            self._events += self._follower.collect(self._settings.poll_records)
        gone = self._member.flows.take_gone() | self._labels.take_gone()
        # One of a task, should events and labels both be gone: the second would be that of a task restored already.
        self._events += (Corrupted(*each) for each in {source.partition: why for source, why in gone.items()}.items())
        self._take_mail(self._mailbox.take_all())

    def _take_mail(self, mail: Iterable[Mail]) -> None:
        for item in mail:
            if (event := self._admitted(item)) is not None:
                self._events.append(event)

    def _admitted(self, item: Mail) -> Event | None:
        """The event in a piece of mail; None if it belongs to an assignment that is over."""
        if isinstance(item, Found):
            if self._requests.get(item.found.partition) is not item.request:
                return None
            del self._requests[item.found.partition]
            if isinstance(item.found, TaskFound):
                self.watch.found(item.found)
            return item.found
        if isinstance(item, CommitReturned) and item.outcome is CommitOutcome.COMMITTED:
            self.watch.committed()
        if isinstance(item, FollowedFound):
            return self._follower.found(item) if self._follower is not None else None
        if isinstance(item, SchemaFetched | SchemaRefused):
            self._needs.answered(item)
        return item

    # --- the group -----------------------------------------------------------------------------------------------

    def _on_revoked(self, partitions: tuple[int, ...]) -> None:
        """Ask the worker, and wait here until it has committed and released (rule 16).

        However long that takes: to release while a commit may still succeed would let it come behind the next owner's
        look at the offsets. Whom another one waits for longer than max.poll.interval.ms is expelled, and refused.
        """
        if self._is_closing or self.stopped:
            self._release(partitions)
            return
        events, self._events = self._events, []
        for event in events:
            self._give(event)
        self._give(Revoked(partitions))
        while self._is_held(partitions):
            self._on_wait()
            item = self._mailbox.take(_SLICE_S)
            admitted = None if item is None else self._admitted(item)
            if admitted is not None:
                self._give(admitted)
        self._release(partitions)

    def _on_lost(self, partitions: tuple[int, ...]) -> None:
        self._release(partitions)
        if not self._is_closing:
            self._events.append(Lost(partitions))

    def _is_held(self, partitions: tuple[int, ...]) -> bool:
        held = any(TopicPartition(self._topics.events, number) in self._member.flows for number in partitions)
        return held and self.stopped is None

    def _give(self, event: Event) -> None:
        for instruction in self._handle(event):
            self.perform(instruction)

    def _release(self, partitions: tuple[int, ...]) -> None:
        self.watch.forget(partitions)
        for number in partitions:
            self._requests.pop(number, None)
        self._labels.remove(TopicPartition(topic, number) for topic in self._topics.labels for number in partitions)
        self._member.flows.remove(TopicPartition(self._topics.events, number) for number in partitions)

    # --- instructions --------------------------------------------------------------------------------------------

    def _fetch(self, source: TopicPartition, offset: int) -> None:
        flows = self._flows_of(source)
        is_own = TopicPartition(self._topics.events, source.partition) in self._member.flows
        if not is_own and source not in flows:
            return  # it was taken away after the worker decided
        if flows is self._labels:
            flows.add([source])
        flows.fetch(source, offset)

    def _flows_of(self, source: TopicPartition) -> Flows:
        if self._follower is not None and source in self._follower.flows:
            return self._follower.flows
        return self._member.flows if source.topic == self._topics.events else self._labels

    def _membership(self, transaction: int) -> object:
        """The group's metadata as of the transaction's beginning (rule 7)."""
        if self._begun[0] != transaction:
            self._begun = (transaction, self._member.metadata())
        return self._begun[1]

    def _find_task(self, wanted: FindTask) -> None:
        request = self._requests[wanted.partition] = object()
        self._mailbox.run(self._finding, lambda: Found(request, self._find(wanted)))

    def _find(self, wanted: FindTask) -> TaskFound | Corrupted:
        check_partition(wanted.partition, self._partitions, self._topics)
        try:
            return self._prepare(self._finder.find(wanted.partition, wanted.without, wanted.warm))
        except TaskCorrupted as error:
            return Corrupted(wanted.partition, str(error))

    def _stop_task(self, partition: int) -> None:
        for source in (TopicPartition(topic, partition) for topic in self._topics.sources):
            self._pause(source)

    def _pause(self, source: TopicPartition) -> None:
        if source in (flows := self._flows_of(source)):
            flows.pause(source)

    def _read_committed(self, sources: tuple[TopicPartition, ...]) -> dict[TopicPartition, CommittedOffset]:
        with Reader(self._settings) as reader:
            return wait_until_stable(lambda: reader.committed(sources), "committed offsets", lambda: self._is_closing)

    # --- start and end -------------------------------------------------------------------------------------------

    def _start_helpers(self) -> None:
        self._finder_store = self._open_store()
        self._finder = TaskFinder(self._settings, self._topics, self._finder_store, lambda: self._is_closing)
        trimmer = JournalTrimmer(self._settings, self._topics.journal, self._topics.repartition)
        self._publisher = Publisher(self._open_store(), trimmer, self.watch)
        self._finding = ThreadPoolExecutor(1, thread_name_prefix="stream-finder")
        self._publishing = ThreadPoolExecutor(1, thread_name_prefix="stream-snapshots")

    def _stop_helpers(self) -> None:
        self._needs.close()
        for threads in (self._finding, self._publishing):
            threads.shutdown(wait=True, cancel_futures=True)
        self._finder.close()
        self._finder_store.close()
        self._publisher.close()
