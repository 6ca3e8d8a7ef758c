"""Standbys: other workers' tasks that this one follows, so that it could take them over at once (rule 25)."""

from collections.abc import Callable, Collection

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import (
    Fetch,
    Follow,
    Following,
    Instruction,
    JournalGrew,
    RowsFetched,
    StandbyFound,
    TaskFound,
    Unfollow,
)
from stream.engine.slot import Slot
from stream.engine.task import Task
from stream.errors import StreamError
from stream.records import RecordBatch


class Standbys:
    """The followed tasks by partition. What goes wrong with one costs its warmth and nothing else.

    Args:
        build_task: makes the empty task of a partition: (partition, epoch) -> Task.
    """

    def __init__(self, build_task: Callable[[int, int], Task]) -> None:
        self._build_task = build_task
        self._slots: dict[int, Slot] = {}

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        return tuple(self._slots.values())

    def on(
        self, event: Following | StandbyFound | JournalGrew, owned: Collection[int], now_ms: int
    ) -> list[Instruction]:
        """Take what happened to followed tasks; `owned`: the worker's own."""
        match event:
            case Following(partitions):
                return self.follow(set(partitions) - set(owned))
            case StandbyFound(found):
                return self._begin(found, now_ms)
            case JournalGrew():
                return self._grow(event)

    def follow(self, partitions: Collection[int]) -> list[Instruction]:
        """Follow these tasks and no others."""
        instructions: list[Instruction] = []
        for gone in sorted(self._slots.keys() - set(partitions)):
            instructions += self.drop(gone)
        for partition in sorted(set(partitions) - self._slots.keys()):
            self._slots[partition] = Slot(self._build_task(partition, 0), ready_after=0)
            instructions.append(Follow(partition))
        return instructions

    def enqueue(self, batch: RecordBatch, now_ms: int) -> list[Instruction]:
        """Take fetched records."""
        slot = self._slots.get(batch.partition)
        try:
            return slot.enqueue(batch, now_ms) if slot else []
        except StreamError as error:
            return self.drop(batch.partition, str(error))

    def answer_rows(self, answer: RowsFetched) -> list[Instruction]:
        """Take feature rows that a followed task wanted."""
        slot = self._slots.get(answer.partition)
        try:
            if slot:
                slot.answer_rows(answer)
        except StreamError as error:
            return self.drop(answer.partition, str(error))
        return []

    def has_work(self, now_ms: int) -> bool:
        """True if `work` would replay records."""
        return any(slot.has_work(now_ms) for slot in self._slots.values())

    def work(self, now_ms: int, records: int) -> tuple[int, list[Instruction]]:
        """Replay at most `records` records of one task; returns how many it were."""
        slot = next((slot for slot in self._slots.values() if slot.has_work(now_ms)), None)
        if slot is None:
            return 0, []
        try:
            _, instructions = slot.handle(now_ms, records)
        except StreamError as error:
            return 0, self.drop(slot.task.partition, str(error))
        return slot.taken, instructions

    def claim(self, partition: int) -> tuple[Slot | None, list[Instruction]]:
        """The task was assigned to this worker: its slot, if it is warm. It is followed no more, warm or not."""
        slot = self._slots.get(partition)
        if slot is None or slot.state is not TaskState.STANDBY:
            return None, self.drop(partition)
        del self._slots[partition]
        return slot, [Unfollow(partition)]

    def drop(self, partition: int, reason: str = "") -> list[Instruction]:
        """Forget a task; `reason`: what is wrong with it."""
        if slot := self._slots.pop(partition, None):
            slot.close()
            return [Unfollow(partition, reason)]
        return []

    def _begin(self, found: TaskFound, now_ms: int) -> list[Instruction]:
        """Load what is remembered of a task, and replay what its owner has committed since."""
        slot = self._slots.get(found.partition)
        if slot is None or slot.state is not TaskState.CREATED:
            return []
        if not found.journal:  # nothing to learn from yet: it is tried again
            return self.drop(found.partition)
        try:
            starts = slot.follow(found, now_ms)
        except StreamError as error:
            return self.drop(found.partition, str(error))
        return [Fetch(source, offset) for source, offset in starts.items()]

    def _grow(self, grown: JournalGrew) -> list[Instruction]:
        """The owner of a task has committed cycles."""
        slot = self._slots.get(grown.partition)
        if slot is None or slot.state is not TaskState.STANDBY:
            return []
        try:
            slot.extend_replay(grown.records)
        except StreamError as error:
            return self.drop(grown.partition, str(error))
        return []
