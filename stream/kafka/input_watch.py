"""Looks at a worker's inputs every minute, in a thread of its own: they belong to others, and may change (rule 20)."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog

from stream.config import InputTopics, KafkaSettings
from stream.engine.input_topics import topics_of
from stream.engine.protocol import Event, InputsWatched, TaskFound, TopicIdentity
from stream.engine.snapshot import Checkpoint
from stream.errors import ConfigError, StreamError
from stream.kafka.admin import Admin
from stream.kafka.broker_checks import CLOCKS_DIFFER_MS, clock_differs
from stream.kafka.input_margins import InputReport, Look, Standing, look_at, margins_of
from stream.kafka.log_context import with_log_context
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

_EVERY_S = 60.0
# While a partition is held back, it waits for nothing but the next look.
_AGAIN_S = 2.0
_ANSWER_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 2.0  # a stop that no broker answers must not take long


class InputWatch:
    """Follows the tasks of a worker. Its methods may be called from any thread, and do not block.

    Args:
        settings: see KafkaSettings.
        topics: what tasks read.
        post: takes the events for the worker, and an error that ends it.
    """

    def __init__(self, settings: KafkaSettings, topics: InputTopics, post: Callable[[Event | Exception], None]) -> None:
        self._settings = settings
        self._topics = topics
        self._post = post
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._tasks: dict[int, deque[Standing]] = {}
        self._known: dict[str, TopicIdentity] = {}  # of snapshots, or as first seen
        self._told: dict[int, str] = {}
        self._committed_ms = 0
        self.report = InputReport()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=with_log_context(self._run), name="stream-inputs", daemon=True)
        self._thread.start()

    def found(self, found: TaskFound) -> None:
        """A task begins with these snapshots."""
        with self._lock:
            self._tasks[found.partition] = deque(maxlen=2)
            self._told.pop(found.partition, None)
            for checkpoint in reversed(found.checkpoints):
                self._tasks[found.partition].append(self._standing(checkpoint))
                self._known = {**found.topics, **self._known, **topics_of(checkpoint)}

    def published(self, checkpoint: Checkpoint) -> None:
        """A snapshot is stored, in place of the older one."""
        with self._lock:
            if checkpoint.partition in self._tasks:
                self._tasks[checkpoint.partition].append(self._standing(checkpoint))
                self._known |= topics_of(checkpoint)

    def _standing(self, checkpoint: Checkpoint) -> Standing:
        """What comes from other stages is trimmed up to the older snapshot by the workers themselves (rule 23)."""
        positions = checkpoint.next_offsets.items()
        return Standing({source: at for source, at in positions if source.topic not in self._topics.repartition})

    def forget(self, partitions: Iterable[int]) -> None:
        """These tasks are others' now."""
        with self._lock:
            for partition in partitions:
                self._tasks.pop(partition, None)
                self._told.pop(partition, None)

    def committed(self) -> None:
        """A transaction was committed just now."""
        self._committed_ms = _now_ms()

    def close(self) -> None:
        """Look no more. A look that waits for an answer is waited for, unless nobody answers: see BrokerProbe.close."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        admin, is_silent = Admin(self._settings, _ANSWER_WITHIN_S), False
        while not self._closing.wait(_AGAIN_S if self.report.dangers else _EVERY_S):
            try:
                self._look(admin)
                is_silent = False
            except StreamError as error:
                if not is_silent:
                    _log.warning("inputs cannot be looked at", error=str(error))
                is_silent = True
            except Exception as error:  # noqa: BLE001 - a helper thread has no one above it: the polling thread raises it
                self._post(error)
                return

    def _look(self, admin: Admin) -> None:
        identities = admin.identities(self._topics.sources)
        there = [name for name, identity in identities.items() if identity is not None]
        self._check_label_partitions(identities)
        danger, warnings = self._look_at_topics(identities, admin.topic_settings(there))
        with self._lock:
            sources = [TopicPartition(name, partition) for name in there for partition in self._tasks]
        sources = [each for each in sources if each.partition < (identities[each.topic] or _NONE).partitions]
        looks = self._look_at_tasks(admin.log_starts(sources), admin.ends(sources))
        warnings += self._look_at_clock(admin)
        dangers = {partition: danger or look.danger for partition, look in looks.items() if danger or look.danger}
        self.report = InputReport(
            (*warnings, *(text for look in looks.values() for text in look.warnings)),
            dangers,
            {source: margin for look in looks.values() for source, margin in look.margins.items()},
        )
        self._tell(looks, dangers)

    def _check_label_partitions(self, identities: Mapping[str, TopicIdentity | None]) -> None:
        """Rule 13: labels in partitions that no task reads would never be learned, and nobody would know."""
        events = identities[self._topics.events] or _NONE
        for name in self._topics.labels if events.partitions else ():
            if (now := identities[name] or _NONE).partitions > events.partitions:
                text = (
                    f"topic {name} was given more partitions while this worker ran: it has {now.partitions} now, and "
                    f"topic {self._topics.events} has {events.partitions}. Labels behind those are read by nobody, and "
                    "others lie where their event is not (rule 13). Stop the workers, and give the other topics as "
                    "many, or the labels a new topic; `stream check` shows what is missing"
                )
                self._post(ConfigError(text))

    def _look_at_topics(
        self, identities: Mapping[str, TopicIdentity | None], settings: Mapping[str, Mapping[str, str]]
    ) -> tuple[str, list[str]]:
        """What holds every task back, and what is to be said."""
        dangers, warnings = [], []
        for name, now in identities.items():
            known = self._known.setdefault(name, now) if now is not None else None
            if now is None:
                dangers.append(f"topic {name} is gone (rule 20)")
            elif known is not None and now.topic_id != known.topic_id:
                dangers.append(
                    f"topic {name} was deleted and made again (rule 20): its offsets are of other records. Stop the "
                    'workers and reset the app (docs/guarantees.md, "Starting a task anew")'
                )
            elif known is not None and now.partitions != known.partitions:
                warnings.append(
                    f"topic {name} has {now.partitions} partitions, {known.partitions} when the last snapshot was "
                    "taken (rule 20): keys have moved, and begin anew where they are now; labels, journal and "
                    "snapshots need as many partitions (rule 13)"
                )
            policy = settings.get(name, {}).get("cleanup.policy", "")
            if "compact" in policy:
                warnings.append(
                    f"topic {name} is compacted now (cleanup.policy={policy}): records that a restore needs may go at "
                    "any time. Set cleanup.policy=delete (rule 20)"
                )
        return "; ".join(dangers), warnings

    def _look_at_tasks(
        self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> dict[int, Look]:
        with self._lock:
            for standing in self._tasks.values():
                for place, each in enumerate(standing):
                    if not each.margins:
                        standing[place] = replace(each, margins=margins_of(each.positions, starts))
            return {partition: look_at(standing, starts, ends) for partition, standing in self._tasks.items()}

    def _look_at_clock(self, admin: Admin) -> list[str]:
        """Compare the time of the newest commit here with that which the brokers wrote beside it."""
        committed_ms = self._committed_ms
        journal = admin.identities([self._topics.journal])[self._topics.journal]
        if not committed_ms or journal is None:
            return []
        partitions = [TopicPartition(self._topics.journal, number) for number in range(journal.partitions)]
        newest_ms = max(admin.newest_times_ms(partitions).values(), default=-1)
        # Behind: a commit that has returned is stamped later than the brokers say anything was. Ahead: the brokers
        # have stamped what is to come.
        ahead_ms = max(0, newest_ms - _now_ms()) or min(0, newest_ms - committed_ms)
        if newest_ms < 0 or abs(ahead_ms) <= CLOCKS_DIFFER_MS:
            return []
        return [clock_differs("the brokers' clock is", ahead_ms)]

    def _tell(self, looks: Mapping[int, Look], dangers: Mapping[int, str]) -> None:
        with self._lock:
            for partition in looks.keys() & self._tasks.keys():
                danger = dangers.get(partition, "")
                if danger or self._told.get(partition):
                    self._post(InputsWatched(partition, danger))
                self._told[partition] = danger


_NONE = TopicIdentity("", 0)


def _now_ms() -> int:
    return int(time.time() * 1000)
