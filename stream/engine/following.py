"""What a followed journal says: where its owner is, and whether a state at hand is one of its (rule 25)."""

from collections.abc import Collection, Sequence

import numpy as np

from stream.engine import journal
from stream.engine.input_topics import facts_of_topics
from stream.engine.journal import Backfill, JournalRecord
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.engine.task import Task
from stream.errors import TaskCorrupted
from stream.records import RecordBatch


def found_backfill(found: TaskFound) -> Backfill | None:
    """How the task was begun, as its journal says."""
    return journal.decode(found.journal[-1]).backfill if found.journal else None


def newest_cycle(found: TaskFound) -> tuple[int, str]:
    """Cycle and digest of the last record of a journal."""
    record = journal.decode(found.journal[-1])
    return record.cycle, record.digest


def stands_in(found: TaskFound, cycles: Collection[tuple[int, str]]) -> bool:
    """Whether these cycles are among those that are committed."""
    return {(record.cycle, record.digest) for record in map(journal.decode, found.journal)} >= set(cycles)


def next_cycles(
    values: Sequence[bytes], known: tuple[int, str], plan_digest: str, partition: int
) -> list[JournalRecord]:
    """The cycles behind the known one.

    Raises:
        TaskCorrupted: they are not a chain that goes on from it, or another plan's.
    """
    records = [record for record in map(journal.decode, values) if record.cycle > known[0]]
    journal.check_chain(records)
    if records and (records[0].cycle, records[0].previous) != (known[0] + 1, known[1]):
        raise TaskCorrupted(
            f"partition {partition}: the journal goes on with cycle {records[0].cycle} behind {records[0].previous}, "
            f"not behind cycle {known[0]} ({known[1]}), which is the last that was followed"
        )
    if any(record.plan_digest != plan_digest for record in records):
        raise TaskCorrupted(f"partition {partition}: its owner runs another version of the app")
    return records


def standing_at(cycle: tuple[int, str], task: Task) -> Checkpoint:
    """A checkpoint without state, which stands for the state of a task at its last closed cycle."""
    return Checkpoint(
        partition=task.partition,
        cycle=cycle[0],
        digest=cycle[1],
        plan_digest=task.plan_digest,
        next_offsets=task.next_offsets,
        created_ms=0,
        arrays={},
        facts=facts_of_topics(task.topics),
    )


def past_or_not(batch: RecordBatch, backfill: Backfill | None) -> tuple[RecordBatch, bool]:
    """The first records of the batch that are all from before a backfill's outputs begin, or none of them is."""
    if backfill is None:
        return batch, False
    is_past = batch.timestamps_ms < backfill.emit_from_ms
    others = np.flatnonzero(is_past != is_past[0])
    return batch.part(0, int(others[0]) if len(others) else len(batch)), bool(is_past[0])
