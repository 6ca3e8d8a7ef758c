"""What a worker remembers of its tasks that turned out corrupt: whether one more restore may help."""

from stream.engine.protocol import FindTask, Instruction


class Failures:
    """By partition, as long as the worker has it."""

    def __init__(self) -> None:
        self._cycles: dict[int, int] = {}
        self._snapshots: dict[int, dict[str, str]] = {}
        self._waiting: dict[int, FindTask] = {}

    def is_new(self, partition: int, cycle: int) -> bool:
        """Note that a task is corrupt behind this cycle; False if it was before, and has come no further since."""
        is_new = cycle > self._cycles.get(partition, -1)
        self._cycles[partition] = cycle
        return is_new

    def leave_out(self, partition: int, digest: str, reason: str) -> None:
        """Note a snapshot that cannot be loaded."""
        self._snapshots.setdefault(partition, {})[digest] = reason

    def find_later(self, partition: int, because: str) -> None:
        """Look for a task once nothing of it is in flight."""
        self._waiting[partition] = FindTask(partition, dict(self._snapshots.get(partition, {})), because)

    def take_waiting(self) -> list[Instruction]:
        """Nothing is in flight: look for the tasks that wait for that, once."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def forget(self, partition: int) -> None:
        """The partition was given back or lost."""
        self._cycles.pop(partition, None)
        self._snapshots.pop(partition, None)
        self._waiting.pop(partition, None)
