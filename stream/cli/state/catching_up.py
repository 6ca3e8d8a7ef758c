"""Brings every task to the end of its journal and leaves a snapshot there, as a clean stop would have."""

from collections.abc import Callable
from dataclasses import dataclass

from stream.cli.state.opening import OpenedApp
from stream.runtime.rebuilding import Rebuilder
from stream.runtime.worker import now_ms


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was done about one task."""

    partition: int
    cycle: int  # the last of its journal; 0: it has not begun
    is_written: bool  # False: its newest snapshot was of that cycle already


def catch_up(opened: OpenedApp, on_progress: Callable[[str], None]) -> list[CaughtUp]:
    """Do it, for each task whose newest snapshot is behind its journal. Nothing new is consumed.

    Args:
        opened: the app, of the version that wrote the journal.
        on_progress: hears what is happening.

    Raises:
        ConfigError: a worker runs, or the journal was written by another version of the app.
        TaskCorrupted: a state cannot be rebuilt from what is there.
    """
    what = "`stream state catch-up`"
    opened.refuse_while_running(what)
    on_progress("compiling kernels (none if the cache is warm)")
    rebuilder = Rebuilder(opened.plan, opened.settings)
    done = []
    with opened.tasks() as tasks:
        for partition in tasks.partitions():
            on_progress(f"partition {partition}: replaying its journal")
            slot = rebuilder.rebuild(tasks.find(partition))
            is_behind = slot.is_ahead_of_snapshot
            if is_behind:
                # A worker that has started meanwhile may have gone on: its own snapshots are the newer ones.
                opened.refuse_while_running(what)
                tasks.store.publish(slot.checkpoint(now_ms()))
            done.append(CaughtUp(partition, slot.task.cycle, is_behind))
    return done
