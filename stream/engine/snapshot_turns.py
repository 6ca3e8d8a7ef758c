"""Which snapshots of a worker's tasks are due, are being written, and are the last ones of a stop."""

from collections import Counter
from collections.abc import Mapping, Sequence

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import Instruction, PublishSnapshot
from stream.engine.slot import Slot
from stream.engine.snapshot import Checkpoint


class SnapshotTurns:
    """The snapshots of one worker.

    Args:
        slots: its tasks by partition; they come and go.
        interval_ms: between two of a task.
        copied_bytes: most that are copied at once, of all tasks together.
    """

    def __init__(self, slots: Mapping[int, Slot], interval_ms: int, copied_bytes: int) -> None:
        self._slots = slots
        self._interval_ms = interval_ms
        self._copied_bytes = copied_bytes
        self._writing: Counter[int] = Counter()  # how many are being written, by partition
        self._has_last: set[int] = set()  # partitions whose last snapshot was asked for
        self._turn = 0

    def is_due(self, slot: Slot, now_ms: int) -> bool:
        """Whether a task wants a snapshot: a clock that was set back must not put it off until it is there again."""
        is_soon = 0 <= now_ms - slot.snapshot_ms < self._interval_ms
        return not is_soon and not self.is_writing(slot.task.partition)

    def checkpoint(self, slot: Slot, now_ms: int) -> Checkpoint | None:
        """Of a task whose last cycle has just ended; None where more is left to copy than may be at once."""
        return slot.checkpoint_if_near(now_ms, self._copied_bytes // len(self._slots))

    def is_writing(self, partition: int) -> bool:
        """Whether a snapshot of this task is not answered yet."""
        return self._writing[partition] > 0

    @property
    def is_any_written(self) -> bool:
        """Whether a snapshot of any task is not answered yet."""
        return any(self._writing.values())

    def publish(self, checkpoints: Sequence[Checkpoint]) -> list[Instruction]:
        """Rule 22: a snapshot leaves only after its cycle's commit has returned."""
        self._writing.update(checkpoint.partition for checkpoint in checkpoints)
        return [PublishSnapshot(checkpoint) for checkpoint in checkpoints]

    def answered(self, partition: int) -> None:
        """A snapshot is stored, or was not."""
        self._writing[partition] -= 1

    def publish_of_idle(self, now_ms: int) -> list[Instruction]:
        """While no commit is under way: what is due of tasks to which nothing came since their last cycle."""
        idle = [
            slot
            for slot in self._slots.values()
            if slot.state is TaskState.RUNNING and self.is_due(slot, now_ms) and slot.is_ahead_of_snapshot
        ]
        near = [self.checkpoint(slot, now_ms) for slot in idle]
        return self.publish([checkpoint for checkpoint in near if checkpoint is not None])

    def publish_last(self, now_ms: int) -> list[Instruction]:
        """Once at a stop: of each task whose last cycle has none, so that the next start replays nothing."""
        last = {
            number: slot
            for number, slot in self._slots.items()
            if slot.is_ahead_of_snapshot and number not in self._has_last
        }
        self._has_last |= last.keys()
        return self.publish([slot.checkpoint(now_ms) for slot in last.values()])

    def copy_ahead(self, most_bytes: int) -> int:
        """Copy about so many bytes of the tasks one after the other; another one begins each time."""
        slots = tuple(self._slots.values())
        copied = 0
        self._turn += 1
        for turn in range(len(slots)):
            copied += slots[(self._turn + turn) % len(slots)].copy_ahead(most_bytes - copied)
            if copied >= most_bytes:
                break
        return copied
