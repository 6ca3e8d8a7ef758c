"""Brings every task to the end of its journal and leaves a snapshot there, as a clean stop would have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream.cli.state.naming import stage_field, task_name
from stream.cli.state.opening import OpenedStage
from stream.runtime.rebuilding import Rebuilder
from stream.runtime.worker import now_ms

_WHAT = "`stream state catch-up`"


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was done about one task."""

    partition: int
    cycle: int  # the last of its journal; 0: it has not begun
    is_written: bool  # False: its newest snapshot was of that cycle already
    stage: str = ""  # "" where the app has one alone


def catch_up(stages: Sequence[OpenedStage], on_progress: Callable[[str], None]) -> list[CaughtUp]:
    """Do it, for each task whose newest snapshot is behind its journal. Nothing new is consumed.

    Args:
        stages: of the app, of the version that wrote the journals.
        on_progress: hears what is happening.

    Raises:
        ConfigError: a worker runs, or the journal was written by another version of the app.
        TaskCorrupted: a state cannot be rebuilt from what is there.
    """
    for stage in stages:
        stage.refuse_while_running(_WHAT)
    on_progress("compiling kernels (none if the cache is warm)")
    return [done for stage in stages for done in _catch_up_stage(stage, on_progress)]


def as_object(done: CaughtUp) -> dict[str, Any]:
    """For programs."""
    return {
        **stage_field(done.stage),
        "partition": done.partition,
        "cycle": done.cycle,
        "written": done.is_written,
    }


def _catch_up_stage(stage: OpenedStage, on_progress: Callable[[str], None]) -> list[CaughtUp]:
    rebuilder = Rebuilder(stage.plan, stage.settings)
    done = []
    with stage.tasks() as tasks:
        for partition in tasks.partitions():
            on_progress(f"{task_name(stage.name, partition)}: replaying its journal")
            slot = rebuilder.rebuild(tasks.find(partition))
            is_behind = slot.is_ahead_of_snapshot
            if is_behind:
                # A worker that has started meanwhile may have gone on: its own snapshots are the newer ones.
                stage.refuse_while_running(_WHAT)
                tasks.store.publish(slot.checkpoint(now_ms()))
            done.append(CaughtUp(partition, slot.task.cycle, is_behind, stage.name))
    return done
