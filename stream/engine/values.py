"""Single columns as the engine needs them: event ids and targets."""

import numpy as np

from stream.engine.plan import TargetPlan
from stream.kernels import kernel
from stream.kernels.hashing import hash_bytes
from stream.models import Task, TaskKind
from stream.records import Bools, Bytes, Column, ColumnBatch, Floats, Ints, Kind

# Seed of the hashes of event ids, apart from those of features: any constant does.
_ID_SEED = 0x1D


def event_ids(column: Column, columns: ColumnBatch) -> tuple[Ints, Bools]:
    """64-bit ids (n,) of an id column, hashes of texts and bytes, integers as they are; and which are none (null)."""
    has_id = columns.present[:, column.index]
    if column.kind not in (Kind.STRING, Kind.BYTES):
        return columns.cells[:, column.slot].copy(), has_id
    ids = np.empty(len(columns), np.int64)
    hash_texts(columns.cells, column.slot, columns.data, ids)
    return ids, has_id


def targets(plan: TargetPlan, problem: Task, columns: ColumnBatch) -> Floats:
    """Targets (n,) as models learn them: 0 or 1, a class's number, or a number; NaN where null or of no known class."""
    column = plan.column
    cells = columns.cells[:, column.slot]
    if column.kind is Kind.STRING:
        classes = np.array([_hash_of(name) for name in plan.classes], np.int64)
        values = np.empty(len(columns))
        match_texts(columns.cells, column.slot, columns.data, classes, values)
    else:
        values = cells.copy().view(np.float64) if column.kind is Kind.DOUBLE else cells.astype(np.float64)
    values[~columns.present[:, column.index]] = np.nan
    if problem.kind in (TaskKind.BINARY, TaskKind.MULTICLASS):
        values[~np.isin(values, np.arange(max(problem.scores, 2)))] = np.nan
    return values


def unusable(plan: TargetPlan, columns: ColumnBatch, values: Floats) -> int:
    """How many targets there are that say nothing usable: of no known class, or NaN."""
    return int(np.count_nonzero(columns.present[:, plan.column.index] & np.isnan(values)))


@kernel
def hash_texts(cells: Ints, slot: int, data: Bytes, hashes: Ints) -> None:
    """Hash the text or bytes at `slot` of every row."""
    for row in range(len(hashes)):
        hashes[row] = np.int64(hash_bytes(data, cells[row, slot], cells[row, slot + 1], np.uint64(_ID_SEED)))


@kernel
def match_texts(cells: Ints, slot: int, data: Bytes, classes: Ints, values: Floats) -> None:
    """Number of the class whose hash the text at `slot` has; NaN where none has it."""
    for row in range(len(values)):
        found = np.int64(hash_bytes(data, cells[row, slot], cells[row, slot + 1], np.uint64(_ID_SEED)))
        values[row] = np.nan
        for place in range(len(classes)):
            if classes[place] == found:
                values[row] = place
                break


def _hash_of(text: str) -> int:
    data = np.frombuffer(text.encode(), np.uint8)
    cells, hashes = np.array([[0, len(data)]], np.int64), np.empty(1, np.int64)
    hash_texts(cells, 0, data, hashes)
    return int(hashes[0])
