"""Kernels of the label store: two rings, a ring of sparse entries, and a hash index (see stream.engine.labels).

The rings are addressed by ever-growing numbers; a number modulo the ring's length is its place. Whatever a kernel
changes depends on the rows it was given and their order alone, never on how they were cut into calls.
"""

import numpy as np

from stream.kernels import kernel

# Cells of an entry of the ids ring.
ID, TIME, STATE, ROW, TARGET = 0, 1, 2, 3, 4
ENTRY_CELLS = 5

# States of an entry: its row waits for a label; a label was learned; a label waits for its event.
WAITING, LABELLED, EARLY = 1, 2, 3

# First cells of a row; raw features, what target means need and scores follow. ROW_OFFSET is -1 in a row whose sparse
# entries alone exceed the budget: it holds its place, and no more.
ROW_STREAM_TIME, ROW_OFFSET, ROW_TIME, ROW_SPARSE_START, ROW_SPARSE_END = 0, 1, 2, 3, 4
ROW_HEAD_CELLS = 5

# Cells of `marks`: the live part of each ring (tail to head), the stream's time, limits, counters.
ENTRY_TAIL, ENTRY_HEAD, ROW_TAIL, ROW_HEAD, SPARSE_TAIL, SPARSE_HEAD, STREAM_TIME, HORIZON = 0, 1, 2, 3, 4, 5, 6, 7
MAX_ENTRIES, MAX_ROWS, MAX_SPARSE = 8, 9, 10
NEXT_ROW = 11  # number of the next row that an entry will name; rows are copied a moment later
JOINED, EARLY_KEPT, EARLY_JOINED, DUPLICATE, TOO_LATE, UNKNOWN, ROWS_EVICTED = 12, 13, 14, 15, 16, 17, 18
MARKS = 19

EMPTY = -1


@kernel
def place_of(index: np.ndarray, entries: np.ndarray, event_id: int) -> int:
    """Slot in `index` of the entry with this id, or the free slot where it belongs."""
    mask = len(index) - 1
    slot = (event_id ^ (event_id >> 29)) & mask
    while index[slot] != EMPTY and entries[index[slot] % len(entries), ID] != event_id:
        slot = (slot + 1) & mask
    return slot


@kernel
def free_slot(index: np.ndarray, entries: np.ndarray, slot: int) -> None:
    """Empty a slot and shift later ones of its run back, so that no tombstones gather (Knuth 6.4, algorithm R)."""
    mask = len(index) - 1
    hole = slot
    probe = (slot + 1) & mask
    while index[probe] != EMPTY:
        event_id = entries[index[probe] % len(entries), ID]
        home = (event_id ^ (event_id >> 29)) & mask
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            index[hole] = index[probe]
            hole = probe
        probe = (probe + 1) & mask
    index[hole] = EMPTY


@kernel
def drop_entry(index: np.ndarray, entries: np.ndarray, marks: np.ndarray) -> None:
    """Forget the oldest entry; a label that never met its event is counted as unknown."""
    number = marks[ENTRY_TAIL]
    place = number % len(entries)
    slot = place_of(index, entries, entries[place, ID])
    if index[slot] == number:
        free_slot(index, entries, slot)
        if entries[place, STATE] == EARLY:
            marks[UNKNOWN] += 1
    marks[ENTRY_TAIL] = number + 1


@kernel
def drop_row(rows: np.ndarray, marks: np.ndarray) -> None:
    """Forget the oldest row with its sparse entries."""
    marks[SPARSE_TAIL] = rows[marks[ROW_TAIL] % len(rows), ROW_SPARSE_END]
    marks[ROW_TAIL] += 1


@kernel
def expire_entries(index: np.ndarray, entries: np.ndarray, marks: np.ndarray) -> None:
    """Drop ids older than two horizons, by the stream's time."""
    while marks[ENTRY_TAIL] < marks[ENTRY_HEAD]:
        if entries[marks[ENTRY_TAIL] % len(entries), TIME] + 2 * marks[HORIZON] >= marks[STREAM_TIME]:
            break
        drop_entry(index, entries, marks)


@kernel
def expire_rows(rows: np.ndarray, marks: np.ndarray, stream_time_ms: int) -> None:
    """Drop rows older than the horizon."""
    while marks[ROW_TAIL] < marks[ROW_HEAD]:
        if rows[marks[ROW_TAIL] % len(rows), ROW_TIME] + marks[HORIZON] >= stream_time_ms:
            break
        drop_row(rows, marks)


@kernel
def has_entry_room(index: np.ndarray, entries: np.ndarray, marks: np.ndarray) -> bool:
    """True if one more entry fits; at the budget the oldest makes room, below it the caller must grow the ring."""
    if marks[ENTRY_HEAD] - marks[ENTRY_TAIL] < len(entries):
        return True
    if len(entries) < marks[MAX_ENTRIES]:
        return False
    drop_entry(index, entries, marks)
    return True


@kernel
def has_row_room(rows: np.ndarray, sparse: np.ndarray, marks: np.ndarray, wanted: int) -> bool:
    """True if one more row with `wanted` sparse entries fits; at the budget the oldest rows make room."""
    while marks[ROW_HEAD] - marks[ROW_TAIL] >= len(rows):
        if len(rows) < marks[MAX_ROWS]:
            return False
        marks[ROWS_EVICTED] += 1
        drop_row(rows, marks)
    while marks[SPARSE_HEAD] - marks[SPARSE_TAIL] + wanted > len(sparse):
        if len(sparse) < marks[MAX_SPARSE]:
            return False
        marks[ROWS_EVICTED] += 1
        drop_row(rows, marks)
    return True


@kernel
def date_entries(entries: np.ndarray, marks: np.ndarray, time_ms: int) -> None:
    """Give labels that came before the first event its time: stream time had not begun when they came."""
    for number in range(marks[ENTRY_TAIL], marks[ENTRY_HEAD]):
        entries[number % len(entries), TIME] = time_ms


@kernel
def add_entry(
    index: np.ndarray, entries: np.ndarray, marks: np.ndarray, event_id: int, time_ms: int, state: int, row: int
) -> int:
    """Enter an id, in the place of an older entry of the same id if there is one; returns its number."""
    number = marks[ENTRY_HEAD]
    place = number % len(entries)
    index[place_of(index, entries, event_id)] = number
    entries[place, ID] = event_id
    entries[place, TIME] = time_ms
    entries[place, STATE] = state
    entries[place, ROW] = row
    marks[ENTRY_HEAD] = number + 1
    return int(number)


@kernel
def copy_row(
    rows: np.ndarray, sparse: np.ndarray, marks: np.ndarray, incoming: np.ndarray, entries: np.ndarray
) -> None:
    """Append one incoming row with its sparse entries."""
    place = marks[ROW_HEAD] % len(rows)
    for cell in range(len(incoming)):
        rows[place, cell] = incoming[cell]
    start, head = incoming[ROW_SPARSE_START], marks[SPARSE_HEAD]
    wanted = incoming[ROW_SPARSE_END] - start
    if wanted > marks[MAX_SPARSE]:
        rows[place, ROW_OFFSET] = -1
        marks[ROWS_EVICTED] += 1
        wanted = 0
    for entry in range(wanted):
        sparse[(head + entry) % len(sparse), 0] = entries[start + entry, 0]
        sparse[(head + entry) % len(sparse), 1] = entries[start + entry, 1]
    rows[place, ROW_SPARSE_START] = head
    rows[place, ROW_SPARSE_END] = head + wanted
    marks[SPARSE_HEAD] = head + wanted
    marks[ROW_HEAD] += 1


@kernel
def register(
    index: np.ndarray,
    entries: np.ndarray,
    marks: np.ndarray,
    ids: np.ndarray,
    times_ms: np.ndarray,
    targets: np.ndarray,
    numbers: np.ndarray,
    first: int,
) -> int:
    """Enter events, from `first` on: those whose label waits for them get it as target, the others a row number.

    `targets[i]` becomes the early label (bits of a float64) and `numbers[i]` -1, or `numbers[i]` the number of the row
    that is to be copied next by `keep`. `times_ms` becomes the stream's time at each event. Returns how many events
    are done; fewer than given means that the ids ring must grow first.
    """
    for i in range(first, len(ids)):
        if marks[STREAM_TIME] == 0:
            date_entries(entries, marks, times_ms[i])
        marks[STREAM_TIME] = max(marks[STREAM_TIME], times_ms[i])
        expire_entries(index, entries, marks)
        if not has_entry_room(index, entries, marks):
            return i
        known = index[place_of(index, entries, ids[i])]
        if known != EMPTY and entries[known % len(entries), STATE] == EARLY:
            targets[i] = entries[known % len(entries), TARGET]
            entries[known % len(entries), STATE] = LABELLED
            marks[EARLY_JOINED] += 1
            numbers[i] = -1
        else:
            add_entry(index, entries, marks, ids[i], times_ms[i], WAITING, marks[NEXT_ROW])
            numbers[i] = marks[NEXT_ROW]
            marks[NEXT_ROW] += 1
        times_ms[i] = marks[STREAM_TIME]
    return len(ids)


@kernel
def keep(
    rows: np.ndarray,
    sparse: np.ndarray,
    marks: np.ndarray,
    incoming: np.ndarray,
    incoming_sparse: np.ndarray,
    first: int,
) -> int:
    """Copy the rows of registered events, from `first` on; fewer done than given means that a ring must grow first."""
    for i in range(first, len(incoming)):
        wanted = incoming[i, ROW_SPARSE_END] - incoming[i, ROW_SPARSE_START]
        expire_rows(rows, marks, incoming[i, ROW_STREAM_TIME])
        if not has_row_room(rows, sparse, marks, wanted if wanted <= marks[MAX_SPARSE] else 0):
            return i
        copy_row(rows, sparse, marks, incoming[i], incoming_sparse)
    return len(incoming)


@kernel
def join(
    index: np.ndarray,
    entries: np.ndarray,
    rows: np.ndarray,
    marks: np.ndarray,
    ids: np.ndarray,
    targets: np.ndarray,
    numbers: np.ndarray,
    first: int,
) -> int:
    """Join labels to rows, from `first` on; `targets` holds bits of float64.

    `numbers[i]` becomes the row's number, or -1 where there is nothing to learn now (early, duplicate, too late).
    Returns how many labels are done; fewer than given means that the ids ring must grow first.
    """
    for i in range(first, len(numbers)):
        numbers[i] = -1
        known = index[place_of(index, entries, ids[i])]
        if known == EMPTY:
            if not has_entry_room(index, entries, marks):
                return i
            number = add_entry(index, entries, marks, ids[i], marks[STREAM_TIME], EARLY, -1)
            entries[number % len(entries), TARGET] = targets[i]
            marks[EARLY_KEPT] += 1
            continue
        place = known % len(entries)
        row = entries[place, ROW]
        if entries[place, STATE] != WAITING:
            marks[DUPLICATE] += 1
        elif row < marks[ROW_TAIL] or rows[row % len(rows), ROW_OFFSET] < 0:
            marks[TOO_LATE] += 1
        else:
            marks[JOINED] += 1
            entries[place, STATE] = LABELLED
            numbers[i] = row
    return len(numbers)


@kernel
def rebuild_index(index: np.ndarray, entries: np.ndarray, marks: np.ndarray) -> None:
    """Enter all live entries into an empty index, oldest first, so that of two of one id the newer one stands."""
    for number in range(marks[ENTRY_TAIL], marks[ENTRY_HEAD]):
        index[place_of(index, entries, entries[number % len(entries), ID])] = number
