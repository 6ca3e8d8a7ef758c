"""A writer of snapshots that is paused at some step, while another one writes the same task's; for both stores."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import RetriableError
from tests.checkpoints import checkpoint

_COMES_BACK = np.random.default_rng(9).random(10_000)


class Steps:
    """Counts what a store does, call by call to the log or the files; before one of them another one has its turn."""

    def __init__(self) -> None:
        self.taken = 0
        self._pause_at = -1
        self._meanwhile: Callable[[], None] = lambda: None

    def step(self) -> None:
        """Before each call."""
        self.taken += 1
        if self.taken == self._pause_at:
            self._pause_at = -1
            self._meanwhile()

    @contextmanager
    def paused_at(self, step: int, meanwhile: Callable[[], None]) -> Iterator[None]:
        """Have the other one act before this step of what is done inside."""
        self.taken, self._pause_at, self._meanwhile = 0, step, meanwhile
        yield
        self._pause_at = -1


def snapshot(cycle: int, *, comes_back: bool = True) -> Checkpoint:
    """A snapshot of some chunks; one of them is in none of before the pause but the first, and in all behind it."""
    own = np.random.default_rng(cycle).random(10_000)
    other = _COMES_BACK if comes_back else np.random.default_rng(1000 + cycle).random(10_000)
    return checkpoint(cycle, {"own": own, "other": other})


def publish_paused(
    paused: SnapshotStore, other: SnapshotStore, steps: Steps, at: int, later: Callable[[], None] = lambda: None
) -> bool:
    """Publish 10 and 20, then 25 with a pause at a step, in which the other one stores 50, 60, 70 and 80.

    `later` is what happens between the other's last one and the end of the pause. Returns whether the pause came, that
    is, whether there are so many steps.
    """
    paused.publish(snapshot(10))
    paused.publish(snapshot(20, comes_back=False))
    others: list[int] = []

    def meanwhile() -> None:
        for cycle in (50, 60, 70, 80):
            other.publish(snapshot(cycle))
            others.append(cycle)
        later()

    with steps.paused_at(at, meanwhile), suppress(RetriableError):
        paused.publish(snapshot(25, comes_back=False))
    return bool(others)


def loaded(store: SnapshotStore, *cycles: int) -> list[int]:
    """Of these cycles those whose snapshot can be loaded, bit for bit."""
    found = []
    for cycle in cycles:
        stored = store.load(0, [(cycle, f"digest{cycle}")]).checkpoint
        if stored is not None and all(
            stored.arrays[name].tobytes() == array.tobytes() for name, array in snapshot(cycle).arrays.items()
        ):
            found.append(cycle)
    return found


def of_before(cycle: int, made_ms: int) -> Checkpoint:
    """A snapshot of another journal."""
    return replace(checkpoint(cycle), digest=f"of before {cycle}", created_ms=made_ms)
