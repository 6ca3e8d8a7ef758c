"""What Kafka remembers of an app's tasks, for commands that look at them beside their workers."""

from dataclasses import replace
from typing import Self

from stream.config import InputTopics
from stream.engine import journal
from stream.engine.journal import JournalRecord
from stream.engine.plan import Plan
from stream.engine.protocol import TaskFound
from stream.engine.snapshot_store import SnapshotStore
from stream.kafka.reader import Reader
from stream.kafka.snapshots import TopicSnapshotStore
from stream.kafka.task_finder import TaskFinder
from stream.runtime.settings import Settings
from stream.runtime.worker import input_topics, snapshot_store

_KEPT = 2
# Whoever is overtaken three times reads for longer than a worker takes to its next snapshot: a fourth is no better.
_LOOKS = 3


class RememberedTasks:
    """Reads tasks as a worker finds them (rules 17 and 21), outside the group: nobody is disturbed. A context.

    Args:
        plan: the compiled app.
        settings: of its workers.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        kafka = settings.kafka(plan.app, plan.stage)
        self.topics: InputTopics = input_topics(plan, settings)
        in_folder = snapshot_store(plan.name, settings)
        self.store: SnapshotStore = in_folder() if in_folder else TopicSnapshotStore(kafka, self.topics.snapshots)
        self._reader = Reader(kafka)
        self._finder = TaskFinder(kafka, self.topics, self.store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._finder.close()
        self._reader.close()
        self.store.close()

    def partitions(self) -> tuple[int, ...]:
        """The app's tasks.

        Raises:
            ConfigError: there is no event topic.
            RetriableError: no broker answers.
        """
        return self._reader.partitions(self.topics.events)

    def find(self, partition: int) -> TaskFound:
        """What is remembered of a task, with both of its snapshots where both are readable.

        A worker may replace a snapshot while it is being read: what looks damaged, or is not there, counts as such only
        if no newer one has come meanwhile.

        Raises:
            RetriableError: positions did not become stable, or the brokers do not answer.
            ConfigError: a topic or a right is missing.
        """
        found = self._look(partition)
        for _ in range(_LOOKS - 1):
            if not found.journal or (len(found.checkpoints) == _KEPT and not found.damaged):
                break
            before, found = found, self._look(partition)
            if _newest(found) == _newest(before):
                break
        return found

    def _look(self, partition: int) -> TaskFound:
        found = self._finder.find(partition)
        if not found.checkpoints:
            return found
        newest = found.checkpoints[0]
        earlier = {(each.cycle, each.digest) for each in journal_of(found) if each.cycle < newest.cycle}
        stored = self.store.load(partition, earlier)
        older = (stored.checkpoint,) if stored.checkpoint else ()
        damaged = tuple(dict.fromkeys((*found.damaged, *stored.damaged)))
        return replace(found, checkpoints=(newest, *older), damaged=damaged)


def _newest(found: TaskFound) -> str:
    return found.checkpoints[0].digest if found.checkpoints else ""


def journal_of(found: TaskFound) -> tuple[JournalRecord, ...]:
    """The committed cycles that are still there, oldest first.

    Raises:
        TaskCorrupted: a record cannot be read.
    """
    return tuple(journal.decode(value) for value in found.journal)
