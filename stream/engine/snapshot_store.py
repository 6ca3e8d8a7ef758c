"""Where snapshots are kept: the port that the compacted topic and the folder both are."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import Manifest, ignore

_Slot = TypeVar("_Slot")


@dataclass(frozen=True, slots=True)
class StoredSnapshots:
    """What a store has of one task."""

    checkpoint: Checkpoint | None  # the newest that is readable and wanted
    damaged: tuple[str, ...]  # why newer ones were left out


@dataclass(frozen=True, slots=True)
class StoreMemory:
    """What the stores of one worker tell each other: one of them finds snapshots, another one publishes them."""

    # Keys of chunks that were gone or damaged when they were read: the next snapshot writes them anew.
    unreadable: set[str] = field(default_factory=set)
    # By partition, digests of the snapshots that are there and whose cycles stand in its journal.
    journaled: dict[int, frozenset[str]] = field(default_factory=dict)

    def found(self, partition: int, digests: Collection[str]) -> None:
        """Snapshots of these cycles are there, and the cycles stand in the journal."""
        self.journaled[partition] = self.journaled.get(partition, frozenset()) | frozenset(digests)

    def published(self, newest: Checkpoint, digests: Collection[str]) -> None:
        """Snapshots of these cycles are there now, the newest among them."""
        known = self.journaled.get(newest.partition, frozenset()) | {newest.digest}
        self.journaled[newest.partition] = known.intersection(digests)


def slot_to_write(
    slots: Sequence[_Slot], stored: Mapping[_Slot, Manifest], journaled: Collection[str], newest: Checkpoint
) -> _Slot:
    """Of a task's two slots the one whose snapshot is to give way.

    One that is free, or whose manifest is damaged. Then one of another journal (of before a reset, say): its cycles
    may be higher for ever. Then the one of the lower cycle. What is of another journal and was made later than the
    newest may be a successor's, where its own worker is the one that is outdated: it stays.

    Args:
        slots: both.
        stored: what is readable in them.
        journaled: digests of snapshots that are known to be of the task's present journal.
        newest: the snapshot to be stored.
    """

    def order(slot: _Slot) -> tuple[int, int, int]:
        if slot not in stored:
            return (-1, 0, 0)
        manifest = stored[slot]
        if manifest.digest in journaled:
            return (1, manifest.cycle, manifest.created_ms)
        return (0 if manifest.created_ms <= newest.created_ms else 2, manifest.created_ms, manifest.cycle)

    return min(slots, key=order)


class SnapshotStore(Protocol):
    """Keeps the two newest snapshots of each task (rule 23). All methods block and belong to a helper thread."""

    def publish(self, checkpoint: Checkpoint) -> Collection[str]:
        """Store a snapshot of a committed cycle in place of the older one; the newer one stays whatever happens.

        Returns:
            Digests of the snapshots that are there now: this one, and the one that was kept beside it.

        Raises:
            RetriableError: it could not be stored (no answer, disk full, another worker writes as well); try again with
                a later snapshot.
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
