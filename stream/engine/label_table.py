"""Kernels of the label store: rings of ids with a hash index each, a ring of rows, and one of sparse entries.

There are two rings of ids (see stream.engine.labels): of events, an entry for each row and of the same number, and of
labels that came before their event. The rings are addressed by ever-growing numbers; a number modulo the ring's length
is its place. Whatever a kernel changes depends on the rows it was given and their order alone, never on how they were
cut into calls.
"""

from typing import NamedTuple

import numpy as np

from stream.kernels import kernel
from stream.kernels.hashing import mix64
from stream.kernels.pages import before_write
from stream.records import Bytes, Ints

# Cells of an entry of a ring of ids; a target is kept with a label that waits.
ID, TIME, STATE, TARGET = 0, 1, 2, 3
ENTRY_CELLS = 4

# States of an entry: its row waits for a label; a label was learned; a label waits for its event.
WAITING, LABELLED, EARLY = 1, 2, 3

# First cells of a row; raw features, what target means need and scores follow. ROW_OFFSET is -1 in a row whose sparse
# entries alone exceed the budget: it holds its place, and no more; where rows spill, also once its label was learned,
# or will be that of a later event.
ROW_STREAM_TIME, ROW_OFFSET, ROW_TIME, ROW_SPARSE_START, ROW_SPARSE_END = 0, 1, 2, 3, 4
ROW_HEAD_CELLS = 5

# Cells of `marks`: the live part of each ring (tail to head), the stream's time, limits, counters. Each ring of ids has
# marks of its own; those of rows and sparse entries stand with the events'.
ENTRY_TAIL, ENTRY_HEAD, ROW_TAIL, ROW_HEAD, SPARSE_TAIL, SPARSE_HEAD, STREAM_TIME, HORIZON = 0, 1, 2, 3, 4, 5, 6, 7
MAX_ENTRIES, MAX_ROWS, MAX_SPARSE = 8, 9, 10
HAS_BEGUN = 11  # whether there was an event: the stream's time is no time before
JOINED, EARLY_KEPT, EARLY_JOINED, DUPLICATE, TOO_LATE, UNKNOWN, ROWS_EVICTED = 12, 13, 14, 15, 16, 17, 18
MARKS = 19

EMPTY = -1

# In place of a row's number: there is none; the label's event is not known; its row is not in memory any more.
NO_ROW, NO_EVENT, NOT_HERE = -1, -2, -3


class Ids(NamedTuple):
    """A ring of ids as kernels take it: one argument."""

    slots: Ints  # of the index, a power of two of them: number of an entry + 1, 0 where free; follows from the entries
    next_slots: Ints  # more of them, which are to replace those once all entries are in; else one
    moved: Ints  # (1,): entries below this number were entered there; 0 where nothing is to be replaced
    entries: Ints  # (places, ENTRY_CELLS)
    marks: Ints  # (MARKS,)
    pages: Bytes  # marks of the entries' pages


class RowRings(NamedTuple):
    """Rows and their sparse entries as kernels take them."""

    rows: Ints  # (places, cells)
    row_pages: Bytes
    sparse: Ints  # (places, 2): index, and the value's bits
    sparse_pages: Bytes


@kernel
def home_of(mask: int, event_id: int) -> np.int64:
    """The slot where the search for an id begins. Ids may be plain integers: their low bits alone say too little."""
    return np.int64(mix64(np.uint64(event_id))) & np.int64(mask)


@kernel
def place_of(index: Ints, entries: Ints, event_id: int) -> int:
    """Slot in the index of the entry with this id, or the free slot where it belongs."""
    mask = len(index) - 1
    slot = home_of(mask, event_id)
    while index[slot] != 0 and entries[(index[slot] - 1) % len(entries), ID] != event_id:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def number_of(ids: Ids, event_id: int) -> int:
    """Number of the entry with this id; EMPTY where there is none."""
    return int(ids.slots[place_of(ids.slots, ids.entries, event_id)] - 1)


@kernel
def free_slot(index: Ints, entries: Ints, slot: int) -> None:
    """Empty a slot and shift later ones of its run back, so that no tombstones gather (Knuth 6.4, algorithm R)."""
    mask = len(index) - 1
    hole = slot
    probe = (slot + 1) & mask
    while index[probe] != 0:
        home = home_of(mask, entries[(index[probe] - 1) % len(entries), ID])
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            index[hole] = index[probe]
            hole = probe
        probe = (probe + 1) & mask
    index[hole] = 0


@kernel
def drop_entry(ids: Ids) -> None:
    """Forget the oldest entry; a label that never met its event is counted as unknown."""
    number = ids.marks[ENTRY_TAIL]
    place = number % len(ids.entries)
    if number < ids.moved[0]:
        slot = place_of(ids.next_slots, ids.entries, ids.entries[place, ID])
        if ids.next_slots[slot] == number + 1:
            free_slot(ids.next_slots, ids.entries, slot)
    slot = place_of(ids.slots, ids.entries, ids.entries[place, ID])
    if ids.slots[slot] == number + 1:
        free_slot(ids.slots, ids.entries, slot)
        if ids.entries[place, STATE] == EARLY:
            ids.marks[UNKNOWN] += 1
    ids.marks[ENTRY_TAIL] = number + 1


@kernel
def drop_row(rows: Ints, marks: Ints) -> None:
    """Forget the oldest row with its sparse entries."""
    marks[SPARSE_TAIL] = rows[marks[ROW_TAIL] % len(rows), ROW_SPARSE_END]
    marks[ROW_TAIL] += 1


@kernel
def expire_entries(ids: Ids) -> None:
    """Drop ids older than two horizons, by the stream's time."""
    entries, marks = ids.entries, ids.marks
    while marks[ENTRY_TAIL] < marks[ENTRY_HEAD]:
        if entries[marks[ENTRY_TAIL] % len(entries), TIME] + 2 * marks[HORIZON] >= marks[STREAM_TIME]:
            break
        drop_entry(ids)


@kernel
def expire_rows(rows: Ints, marks: Ints, stream_time_ms: int) -> None:
    """Drop rows older than the horizon."""
    while marks[ROW_TAIL] < marks[ROW_HEAD]:
        if rows[marks[ROW_TAIL] % len(rows), ROW_TIME] + marks[HORIZON] >= stream_time_ms:
            break
        drop_row(rows, marks)


@kernel
def has_entry_room(ids: Ids) -> bool:
    """True if one more entry fits; at the budget the oldest makes room, below it the caller must grow the ring."""
    if ids.marks[ENTRY_HEAD] - ids.marks[ENTRY_TAIL] < len(ids.entries):
        return True
    if len(ids.entries) < ids.marks[MAX_ENTRIES]:
        return False
    drop_entry(ids)
    return True


@kernel
def has_row_room(rings: RowRings, marks: Ints, wanted: int, drops: bool) -> bool:
    """True if one more row with `wanted` sparse entries fits; at the budget the oldest rows make room if it `drops`."""
    while marks[ROW_HEAD] - marks[ROW_TAIL] >= len(rings.rows):
        if len(rings.rows) < marks[MAX_ROWS] or not drops:
            return False
        marks[ROWS_EVICTED] += 1
        drop_row(rings.rows, marks)
    while marks[SPARSE_HEAD] - marks[SPARSE_TAIL] + wanted > len(rings.sparse):
        if len(rings.sparse) < marks[MAX_SPARSE] or not drops:
            return False
        marks[ROWS_EVICTED] += 1
        drop_row(rings.rows, marks)
    return True


@kernel
def advance(ids: Ids, time_ms: int) -> None:
    """Move the stream's time on, if this event is later, and drop the ids that are then too old."""
    entries, marks = ids.entries, ids.marks
    if marks[HAS_BEGUN] == 0:
        marks[HAS_BEGUN] = 1
        marks[STREAM_TIME] = time_ms
        # Labels that came before the first event get its time.
        for number in range(marks[ENTRY_TAIL], marks[ENTRY_HEAD]):
            before_write(ids.pages, number % len(entries))
            entries[number % len(entries), TIME] = time_ms
    marks[STREAM_TIME] = max(marks[STREAM_TIME], time_ms)
    expire_entries(ids)


@kernel
def add_entry(ids: Ids, event_id: int, time_ms: int, state: int) -> tuple[int, int]:
    """Enter an id; returns its number, and that of the older entry of the same id whose place it takes, or EMPTY."""
    entries = ids.entries
    number = ids.marks[ENTRY_HEAD]
    place = number % len(entries)
    before_write(ids.pages, place)
    slot = place_of(ids.slots, entries, event_id)
    replaced = ids.slots[slot] - 1
    ids.slots[slot] = number + 1
    entries[place, ID] = event_id
    entries[place, TIME] = time_ms
    entries[place, STATE] = state
    ids.marks[ENTRY_HEAD] = number + 1
    return int(number), int(replaced)


@kernel
def copy_row(rings: RowRings, marks: Ints, incoming: Ints, entries: Ints) -> None:
    """Append one incoming row with its sparse entries."""
    rows, sparse = rings.rows, rings.sparse
    place = marks[ROW_HEAD] % len(rows)
    before_write(rings.row_pages, place)
    for cell in range(len(incoming)):
        rows[place, cell] = incoming[cell]
    start, head = incoming[ROW_SPARSE_START], marks[SPARSE_HEAD]
    wanted = incoming[ROW_SPARSE_END] - start
    if wanted > marks[MAX_SPARSE]:
        rows[place, ROW_OFFSET] = -1
        marks[ROWS_EVICTED] += 1
        wanted = 0
    for entry in range(wanted):
        at = (head + entry) % len(sparse)
        before_write(rings.sparse_pages, at)
        sparse[at, 0] = entries[start + entry, 0]
        sparse[at, 1] = entries[start + entry, 1]
    rows[place, ROW_SPARSE_START] = head
    rows[place, ROW_SPARSE_END] = head + wanted
    marks[SPARSE_HEAD] = head + wanted
    marks[ROW_HEAD] += 1


@kernel
def meet_early(early: Ids, ids: Ints, times_ms: Ints, targets: Ints, numbers: Ints) -> None:
    """Give events the labels that wait for them in the ring of early labels.

    `targets[i]` becomes the label (bits of a float64), and `numbers[i]` NO_ROW: there is nothing to keep. Events whose
    `numbers[i]` is NO_ROW already have no id.
    """
    entries = early.entries
    for i in range(len(ids)):
        advance(early, times_ms[i])
        if numbers[i] == NO_ROW:
            continue
        known = number_of(early, ids[i])
        if known != EMPTY and entries[known % len(entries), STATE] == EARLY:
            targets[i] = entries[known % len(entries), TARGET]
            before_write(early.pages, known % len(entries))
            entries[known % len(entries), STATE] = LABELLED
            early.marks[EARLY_JOINED] += 1
            numbers[i] = NO_ROW


@kernel
def register(events: Ids, ids: Ints, times_ms: Ints, numbers: Ints, replaced: Ints, first: int) -> int:
    """Enter events into the ring of events, from `first` on, but those whose `numbers[i]` is NO_ROW.

    `numbers[i]` becomes the number of the row that is to be copied next by `keep`, `replaced[i]` that of the last event
    with the same id, `times_ms[i]` the stream's time at the event. Returns how many events are done; fewer than given
    means that the ring must grow first.
    """
    for i in range(first, len(ids)):
        advance(events, times_ms[i])
        if numbers[i] != NO_ROW:
            if not has_entry_room(events):
                return i
            numbers[i], replaced[i] = add_entry(events, ids[i], times_ms[i], WAITING)
        times_ms[i] = events.marks[STREAM_TIME]
    return len(ids)


@kernel
def keep(
    rings: RowRings, marks: Ints, incoming: Ints, incoming_sparse: Ints, replaced: Ints, first: int, drops: bool
) -> int:
    """Copy the rows of registered events, from `first` on; at the budget the oldest are dropped for them if it `drops`.

    Where it does not, a row that is `replaced` waits no more. Fewer done than given means that a ring must grow first,
    or that rows must leave it.
    """
    for i in range(first, len(incoming)):
        wanted = incoming[i, ROW_SPARSE_END] - incoming[i, ROW_SPARSE_START]
        expire_rows(rings.rows, marks, incoming[i, ROW_STREAM_TIME])
        if not has_row_room(rings, marks, wanted if wanted <= marks[MAX_SPARSE] else 0, drops):
            return i
        copy_row(rings, marks, incoming[i], incoming_sparse)
        if not drops and replaced[i] >= marks[ROW_TAIL]:
            before_write(rings.row_pages, replaced[i] % len(rings.rows))
            rings.rows[replaced[i] % len(rings.rows), ROW_OFFSET] = -1
    return len(incoming)


@kernel
def join(events: Ids, rows: Ints, ids: Ints, numbers: Ints, drops: bool) -> None:
    """Join labels to the rows of events.

    `numbers[i]` becomes the row's number, NO_ROW where there is nothing to learn (duplicate, too late), NO_EVENT, or
    NOT_HERE where rows do not drop but spill.
    """
    entries, marks = events.entries, events.marks
    for i in range(len(ids)):
        known = number_of(events, ids[i])
        if known == EMPTY:
            numbers[i] = NO_EVENT
            continue
        numbers[i] = NO_ROW
        if entries[known % len(entries), STATE] != WAITING:
            marks[DUPLICATE] += 1
        elif known < marks[ROW_TAIL] and not drops:
            numbers[i] = NOT_HERE
        elif known < marks[ROW_TAIL] or rows[known % len(rows), ROW_OFFSET] < 0:
            marks[TOO_LATE] += 1
        else:
            marks[JOINED] += 1
            before_write(events.pages, known % len(entries))
            entries[known % len(entries), STATE] = LABELLED
            numbers[i] = known


@kernel
def keep_early(early: Ids, ids: Ints, targets: Ints, numbers: Ints, first: int) -> int:
    """Keep the labels whose `numbers[i]` is NO_EVENT until their event comes; `targets` holds bits of float64.

    Returns how many labels are done; fewer than given means that the ring must grow first.
    """
    entries, marks = early.entries, early.marks
    for i in range(first, len(ids)):
        if numbers[i] != NO_EVENT:
            continue
        if number_of(early, ids[i]) != EMPTY:
            marks[DUPLICATE] += 1
            continue
        if not has_entry_room(early):
            return i
        number, _ = add_entry(early, ids[i], marks[STREAM_TIME], EARLY)
        entries[number % len(entries), TARGET] = targets[i]
        marks[EARLY_KEPT] += 1
    return len(ids)


@kernel
def move_entries(ids: Ids, most: int) -> bool:
    """Enter so many more live entries into `next_slots`; whether all are in.

    Oldest first, so that of two of one id the newer one stands.
    """
    first = max(ids.moved[0], ids.marks[ENTRY_TAIL])
    end = min(first + most, ids.marks[ENTRY_HEAD])
    for number in range(first, end):
        event_id = ids.entries[number % len(ids.entries), ID]
        ids.next_slots[place_of(ids.next_slots, ids.entries, event_id)] = number + 1
    ids.moved[0] = end
    return end == ids.marks[ENTRY_HEAD]  # type: ignore[no-any-return]
