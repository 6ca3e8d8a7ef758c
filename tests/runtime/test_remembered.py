"""Commands look at tasks while their workers publish: what was replaced under their eyes is not damaged."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from stream.engine import journal
from stream.engine.journal import JournalRecord
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import ignore
from stream.engine.snapshot_store import StoredSnapshots
from stream.runtime import remembered
from stream.runtime.remembered import RememberedTasks
from stream.runtime.settings import Settings
from tests.engine.build import T0, plan_with_labels

PLAN = plan_with_labels()


class BusyStore:
    """A worker publishes, `publications` times, while the older snapshot is being read."""

    def __init__(self, publications: int, is_damaged: bool = False) -> None:
        self.cycle = 2  # the newest, and the one before is kept
        self.looks = 0
        self._publications = publications
        self._is_damaged = is_damaged

    def load(
        self, partition: int, wanted: Collection[tuple[int, str]], on_progress: Callable[[float], None] = ignore
    ) -> StoredSnapshots:
        """The newest that is wanted; the older one is gone if it is replaced just now."""
        cycles = {cycle for cycle, _ in wanted}
        if self.cycle in cycles:
            return StoredSnapshots(snapshot_of(self.cycle), ())
        self.looks += 1
        if self._publications:
            self._publications -= 1
            self.cycle += 1
            return StoredSnapshots(None, ("a chunk is gone",))
        if self._is_damaged:
            return StoredSnapshots(None, ("a chunk is damaged",))
        return StoredSnapshots(snapshot_of(self.cycle - 1), ())

    def close(self) -> None:
        """Nothing to do."""


def records() -> list[JournalRecord]:
    """A journal of ten cycles."""
    made: list[JournalRecord] = []
    for cycle in range(1, 11):
        previous = made[-1].digest if made else ""
        made.append(JournalRecord(cycle, previous, "plan", 1, (), ()).sealed())
    return made


RECORDS = records()


def snapshot_of(cycle: int) -> Checkpoint:
    """Without state."""
    return Checkpoint(0, cycle, RECORDS[cycle - 1].digest, "plan", {}, T0, {}, {})


class Finder:
    """Finds the journal up to the cycle of the newest snapshot, and that."""

    def __init__(self, store: BusyStore) -> None:
        self._store = store

    def find(self, partition: int) -> TaskFound:
        """As a worker does."""
        known = RECORDS[: self._store.cycle]
        stored = self._store.load(partition, {(each.cycle, each.digest) for each in known})
        assert stored.checkpoint is not None
        values = tuple(journal.encode(record) for record in known)
        return TaskFound(partition, {}, values, (stored.checkpoint,), stored.damaged, {}, {})

    def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("publications", "is_damaged", "looks", "cycles", "damaged"),
    [
        (0, False, 1, [2, 1], ()),
        (1, False, 2, [3, 2], ()),
        (2, False, 3, [4, 3], ()),
        (0, True, 2, [2], ("a chunk is damaged",)),
        (1, True, 3, [3], ("a chunk is damaged",)),
        (9, False, 3, [4], ("a chunk is gone",)),
    ],
)
def test_a_snapshot_that_was_replaced_while_it_was_read_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
    publications: int,
    is_damaged: bool,
    looks: int,
    cycles: list[int],
    damaged: tuple[str, ...],
) -> None:
    """Damaged is what is damaged at two looks without a publication in between; there are three at most."""
    store: Any = BusyStore(publications, is_damaged)
    monkeypatch.setattr(remembered, "snapshot_store", lambda *_: lambda: store)
    monkeypatch.setattr(remembered, "TaskFinder", lambda *_: Finder(store))
    with RememberedTasks(PLAN, Settings(snapshots="file:///nowhere")) as tasks:
        found = tasks.find(0)
    assert (store.looks, [each.cycle for each in found.checkpoints], found.damaged) == (looks, cycles, damaged)
