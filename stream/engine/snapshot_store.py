"""Where snapshots are kept: the port that the compacted topic and the folder both are."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import ignore


@dataclass(frozen=True, slots=True)
class StoredSnapshots:
    """What a store has of one task."""

    checkpoint: Checkpoint | None  # the newest that is readable and wanted
    damaged: tuple[str, ...]  # why newer ones were left out


class SnapshotStore(Protocol):
    """Keeps the two newest snapshots of each task (rule 23). All methods block and belong to a helper thread."""

    def publish(self, checkpoint: Checkpoint) -> None:
        """Store a snapshot of a committed cycle in place of the older one; the newer one stays whatever happens.

        Raises:
            RetriableError: it could not be stored (no answer, disk full); try again with a later snapshot.
        """
        ...

    def load(
        self, partition: int, wanted: Collection[tuple[int, str]], on_progress: Callable[[float], None] = ignore
    ) -> StoredSnapshots:
        """Read the newest intact snapshot of a task whose cycle and digest are wanted (rule 21).

        Args:
            partition: the task's.
            wanted: cycle and digest of the cycles that stand in the committed journal.
            on_progress: hears the share that is read, 0 to 1, from any thread.

        Raises:
            RetriableError: the store does not answer.
            ConfigError: the store is not there or may not be read.
        """
        ...

    def forget(self, partition: int) -> None:
        """Delete all snapshots of a task that nobody runs: it is to start anew.

        Raises:
            RetriableError: not all are deleted; call again.
            ConfigError: the store is not there or may not be written.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
