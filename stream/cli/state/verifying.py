"""Rebuilds a task beside the live one, and compares it bit for bit with its newest snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream.cli.state.comparing import Difference, differences
from stream.cli.state.naming import stage_field, task_name
from stream.cli.state.opening import OpenedStage, chosen_partitions
from stream.engine.journal import JournalRecord
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.errors import StreamError
from stream.runtime.rebuilding import Rebuilder
from stream.runtime.remembered import journal_of

BEGINNING, SNAPSHOT = "beginning", "snapshot"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one task."""

    partition: int
    rebuilt_from: str  # BEGINNING, SNAPSHOT; "" where nothing was rebuilt
    first: int  # the cycles that were replayed
    last: int
    records: int  # events and labels in them
    differences: tuple[Difference, ...]
    problem: str = ""  # why there is nothing to compare, or why the rebuilding failed
    stage: str = ""  # "" where the app has one alone
    damaged: tuple[str, ...] = ()  # what is wrong with newer snapshots, which cannot be compared

    @property
    def is_identical(self) -> bool:
        """Rebuilt, and the same in every bit."""
        return not self.problem and not self.differences


def verify(
    stages: Sequence[OpenedStage], partitions: list[int] | None, wanted: str, on_progress: Callable[[str], None]
) -> list[Verified]:
    """Verify tasks, whether workers run or not: what is read is read outside the group.

    Args:
        stages: of the app, of the version that wrote the journals.
        partitions: whose tasks; None: all.
        wanted: BEGINNING or SNAPSHOT, where to rebuild from; "": from the beginning where that is still there.
        on_progress: hears what is happening.

    Raises:
        ConfigError: there is no such partition.
        RetriableError: no broker answers.
    """
    on_progress("compiling kernels (none if the cache is warm)")
    return [found for stage in stages for found in _verify_stage(stage, partitions, wanted, on_progress)]


def _verify_stage(
    stage: OpenedStage, partitions: list[int] | None, wanted: str, on_progress: Callable[[str], None]
) -> list[Verified]:
    rebuilder = Rebuilder(stage.plan, stage.settings)
    with stage.tasks() as tasks:
        found = []
        for partition in chosen_partitions(tasks.partitions(), partitions):
            on_progress(f"{task_name(stage.name, partition)}: rebuilding")
            task = tasks.find(partition)
            verified = verify_task(task, stage.plan.digest, wanted, rebuilder)
            damaged = task.damaged if task.checkpoints else ()  # told as the problem, where there is no other
            found.append(replace(verified, stage=stage.name, damaged=damaged))
        return found


def verify_task(found: TaskFound, plan_digest: str, wanted: str, rebuilder: Rebuilder) -> Verified:
    """Rebuild one task up to the very cycle of its newest snapshot, and compare."""
    if not found.checkpoints:
        why = "; ".join(found.damaged) or ("no snapshot yet" if found.journal else "it has not begun")
        return _nothing(found.partition, f"there is nothing to compare with: {why}")
    target = found.checkpoints[0]
    if target.plan_digest != plan_digest:
        return _nothing(
            found.partition,
            "its newest snapshot was written by another version of the app or its libraries: verify with that one",
        )
    records = tuple(record for record in journal_of(found) if record.cycle <= target.cycle)
    older = found.checkpoints[1] if len(found.checkpoints) > 1 else None
    no_beginning, no_snapshot = _why_not_from_beginning(found, records, plan_digest), _why_not_from_snapshot(older)
    if wanted != SNAPSHOT and not no_beginning:
        return _rebuild(found, target, None, records, rebuilder)
    if wanted != BEGINNING and not no_snapshot:
        return _rebuild(found, target, older, records, rebuilder)
    reasons = [reason for kind, reason in ((BEGINNING, no_beginning), (SNAPSHOT, no_snapshot)) if wanted in ("", kind)]
    return _nothing(found.partition, "; ".join(reasons))


def as_object(found: Verified) -> dict[str, Any]:
    """For programs."""
    return {
        **stage_field(found.stage),
        "partition": found.partition,
        "identical": found.is_identical,
        "rebuilt_from": found.rebuilt_from or None,
        "first_cycle": found.first,
        "last_cycle": found.last,
        "records": found.records,
        "problem": found.problem or None,
        "damaged_snapshots": list(found.damaged),
        "differences": [{"array": each.array, "row": each.row, "text": each.text} for each in found.differences],
    }


def lines(found: Verified) -> list[str]:
    """For people."""
    task = task_name(found.stage, found.partition)
    return [*(f"{task}: damaged: {text}" for text in found.damaged), *_result_lines(found, task)]


def _result_lines(found: Verified, task: str) -> list[str]:
    if not found.rebuilt_from:
        return [f"{task}: not verified: {found.problem}"]
    begun = "the beginning" if found.rebuilt_from == BEGINNING else f"the snapshot of cycle {found.first - 1:,}"
    what = f"rebuilt from {begun}, cycles {found.first:,} to {found.last:,} ({found.records:,} records)"
    if found.problem:
        return [f"{task}: could not be {what}: {found.problem}"]
    if not found.differences:
        return [f"{task}: identical: {what}"]
    told = [f"  {each.array} {each.text}" for each in found.differences]
    return [f"{task}: DIFFERENT: {what}; {len(told)} arrays differ", *told]


def _why_not_from_beginning(found: TaskFound, records: tuple[JournalRecord, ...], plan_digest: str) -> str:
    if records[0].cycle != 1:
        return (
            f"the journal begins at cycle {records[0].cycle:,} (it is kept from the older snapshot on; "
            'journal_retention = "all" keeps it whole)'
        )
    if any(record.plan_digest != plan_digest for record in records):
        return "its first cycles were written by another version of the app or its libraries"
    for item in (item for record in records for item in record.ranges):
        if item.first < found.beginnings[item.source]:
            return (
                f"{item.topic} begins at offset {found.beginnings[item.source]:,}, and the journal at {item.first:,}: "
                "retention has removed records"
            )
    return ""


def _why_not_from_snapshot(older: Checkpoint | None) -> str:
    return "" if older is not None else "there is no usable snapshot before the newest one"


def _rebuild(
    found: TaskFound,
    target: Checkpoint,
    base: Checkpoint | None,
    records: tuple[JournalRecord, ...],
    rebuilder: Rebuilder,
) -> Verified:
    """Replay up to the target's cycle: the task as it was then, so to speak, is found once more."""
    replayed = [record for record in records if base is None or record.cycle > base.cycle]
    verified = Verified(
        partition=found.partition,
        rebuilt_from=BEGINNING if base is None else SNAPSHOT,
        first=replayed[0].cycle,
        last=target.cycle,
        records=sum(item.count for record in replayed for item in record.ranges),
        differences=(),
    )
    journal = found.journal[: len(records)]
    as_it_was = replace(found, committed={}, journal=journal, checkpoints=() if base is None else (base,))
    try:
        rebuilt = rebuilder.rebuild(as_it_was).checkpoint(target.created_ms)
    except StreamError as error:
        return replace(verified, problem=str(error))
    return replace(verified, differences=_all_differences(target, rebuilt))


def _all_differences(target: Checkpoint, rebuilt: Checkpoint) -> tuple[Difference, ...]:
    """Arrays, and the writers' schemas that are known."""
    found = differences(target.arrays, rebuilt.arrays)
    if target.facts["schemas"] != rebuilt.facts["schemas"]:
        found += (Difference("schemas", None, "of writers known are others in the snapshot than rebuilt"),)
    return found


def _nothing(partition: int, why: str) -> Verified:
    return Verified(partition, "", 0, 0, 0, (), why)
