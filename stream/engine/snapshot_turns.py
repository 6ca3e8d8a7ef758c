"""Which snapshots of a worker's tasks are due, are being written, and are the last ones of a stop."""

from collections import Counter
from collections.abc import Mapping, Sequence

from stream.engine.protocol import Instruction, PublishSnapshot
from stream.engine.slot import Slot
from stream.engine.snapshot import Checkpoint


class SnapshotTurns:
    """The snapshots of one worker.

    Args:
        interval_ms: between two of a task.
    """

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._writing: Counter[int] = Counter()  # how many are being written, by partition
        self._has_last: set[int] = set()  # partitions whose last snapshot was asked for
        self._turn = 0

    def is_due(self, slot: Slot, now_ms: int) -> bool:
        """Whether a task wants a snapshot: a clock that was set back must not put it off until it is there again."""
        is_soon = 0 <= now_ms - slot.snapshot_ms < self._interval_ms
        return not is_soon and not self.is_writing(slot.task.partition)

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

    def publish_last(self, slots: Mapping[int, Slot], now_ms: int) -> list[Instruction]:
        """Once at a stop: of each task whose last cycle has none, so that the next start replays nothing."""
        last = {
            number: slot for number, slot in slots.items() if slot.is_ahead_of_snapshot and number not in self._has_last
        }
        self._has_last |= last.keys()
        return self.publish([slot.checkpoint(now_ms) for slot in last.values()])

    def copy_ahead(self, slots: Sequence[Slot], most_bytes: int) -> int:
        """Copy about so many bytes of the tasks one after the other; another one begins each time."""
        copied = 0
        self._turn += 1
        for turn in range(len(slots)):
            copied += slots[(self._turn + turn) % len(slots)].copy_ahead(most_bytes - copied)
            if copied >= most_bytes:
                break
        return copied
