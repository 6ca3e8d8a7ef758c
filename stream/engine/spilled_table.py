"""Kernels of the ids whose rows lie in segments outside of memory: a ring of ids, their hash index, one of segments.

An id takes 16 bytes: 8 of the ring, and some 8 of an index of 32-bit places, whose load lies between 3/8 and 3/4. The
rings are addressed by ever-growing numbers; a number modulo the ring's length is its place.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.engine.label_table import NO_ROW, NOT_HERE, home_of
from stream.kernels import kernel
from stream.kernels.pages import before_write
from stream.records import Bools, Bytes, Ints

# Cells of a segment: number of its first id; the offset of the event of its first row, which is its name; the time from
# which on, a horizon later, all its rows are too old; digest of its content; whether its content is lost.
FIRST, NAME, LAST_TIME, DIGEST, IS_LOST = 0, 1, 2, 3, 4
SEGMENT_CELLS = 5

# Cells of the marks: the live part of both rings, limits, the stream's time at the last row that was kept, the largest
# event time of the rows that left memory, and counters.
ID_TAIL, ID_HEAD, SEGMENT_TAIL, SEGMENT_HEAD, HORIZON, MAX_IDS, KEPT_TIME, LARGEST_TIME = 0, 1, 2, 3, 4, 5, 6, 7
JOINED, DUPLICATE, TOO_LATE, EVICTED = 8, 9, 10, 11
SPILLED_MARKS = 12

# Ids that share a word of the bits that say whether their label was learned, or went to a later event of the same id.
WORD = 64

EMPTY = -1


class SpilledIds(NamedTuple):
    """The rings as kernels take them: one argument."""

    slots: NDArray[np.int32]  # of the index, a power of two of them: place in `ids`, or EMPTY; follows from the rest
    ids: Ints  # (places,)
    id_pages: Bytes
    learned: Ints  # (places / WORD,): a bit an id
    learned_pages: Bytes
    segments: Ints  # (places, SEGMENT_CELLS)
    segment_pages: Bytes
    marks: Ints  # (SPILLED_MARKS,)


@kernel
def slot_of(spilled: SpilledIds, event_id: int) -> int:
    """Slot in the index of the newest entry with this id, or the free slot where it belongs."""
    slots, ids = spilled.slots, spilled.ids
    mask = len(slots) - 1
    slot = home_of(mask, event_id)
    while slots[slot] != EMPTY and ids[slots[slot]] != event_id:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def empty_slot(spilled: SpilledIds, slot: int) -> None:
    """Empty a slot and shift later ones of its run back (Knuth 6.4, algorithm R)."""
    slots, ids = spilled.slots, spilled.ids
    mask = len(slots) - 1
    hole = slot
    probe = (slot + 1) & mask
    while slots[probe] != EMPTY:
        home = home_of(mask, ids[slots[probe]])
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            slots[hole] = slots[probe]
            hole = probe
        probe = (probe + 1) & mask
    slots[hole] = EMPTY


@kernel
def number_at(spilled: SpilledIds, place: int) -> int:
    """The live number whose place this is."""
    tail, places = spilled.marks[ID_TAIL], len(spilled.ids)
    return int(tail + (place - tail) % places)


@kernel
def is_learned(spilled: SpilledIds, number: int) -> bool:
    """Whether a label of this id was learned, or the next one is that of a later event with it."""
    word = (number // WORD) % len(spilled.learned)
    return bool((spilled.learned[word] >> (number % WORD)) & 1)


@kernel
def set_learned(spilled: SpilledIds, number: int, bit: int) -> None:
    """Note whether a label of this id was learned."""
    word = (number // WORD) % len(spilled.learned)
    before_write(spilled.learned_pages, word)
    one = np.int64(1) << np.int64(number % WORD)
    if bit == 1:
        spilled.learned[word] |= one
    else:
        spilled.learned[word] &= ~one


@kernel
def segment_with(spilled: SpilledIds, number: int) -> int:
    """Place of the segment in which the row of this id lies: the last one whose first number is not above it."""
    segments, low, high = spilled.segments, spilled.marks[SEGMENT_TAIL], spilled.marks[SEGMENT_HEAD]
    while high - low > 1:
        middle = (low + high) // 2
        if segments[middle % len(segments), FIRST] <= number:
            low = middle
        else:
            high = middle
    return int(low % len(segments))


@kernel
def drop_segment(spilled: SpilledIds) -> None:
    """Forget the oldest segment and its ids; those that still waited are counted, unless beyond the horizon."""
    marks, segments = spilled.marks, spilled.segments
    oldest = marks[SEGMENT_TAIL]
    place, end = oldest % len(segments), marks[ID_HEAD]
    if oldest + 1 < marks[SEGMENT_HEAD]:
        end = segments[(oldest + 1) % len(segments), FIRST]
    is_waiting = segments[place, IS_LOST] == 0 and segments[place, LAST_TIME] + marks[HORIZON] >= marks[KEPT_TIME]
    for number in range(marks[ID_TAIL], end):
        at = number % len(spilled.ids)
        slot = slot_of(spilled, spilled.ids[at])
        if spilled.slots[slot] == at:
            empty_slot(spilled, slot)
        if is_waiting and not is_learned(spilled, number):
            marks[EVICTED] += 1
    marks[ID_TAIL] = end
    marks[SEGMENT_TAIL] = oldest + 1


@kernel
def expire_segments(spilled: SpilledIds) -> None:
    """Drop segments all of whose rows are older than two horizons."""
    marks, segments = spilled.marks, spilled.segments
    while marks[SEGMENT_TAIL] < marks[SEGMENT_HEAD]:
        place = marks[SEGMENT_TAIL] % len(segments)
        if segments[place, LAST_TIME] + 2 * marks[HORIZON] >= marks[KEPT_TIME]:
            break
        drop_segment(spilled)


@kernel
def add_ids(spilled: SpilledIds, new: Ints) -> None:
    """Append the ids of a segment that has its place already; there is room for them."""
    marks = spilled.marks
    for i in range(len(new)):
        number = marks[ID_HEAD]
        place = number % len(spilled.ids)
        before_write(spilled.id_pages, place)
        slot = slot_of(spilled, new[i])
        spilled.ids[place] = new[i]
        spilled.slots[slot] = place
        set_learned(spilled, number, 0)
        marks[ID_HEAD] = number + 1


@kernel
def replace_ids(spilled: SpilledIds, ids: Ints) -> None:
    """Events with these ids are kept anew: the next label is theirs, so that those that were spilled wait no more."""
    for i in range(len(ids)):
        at = spilled.slots[slot_of(spilled, ids[i])]
        if at != EMPTY:
            set_learned(spilled, number_at(spilled, at), 1)


@kernel
def look(spilled: SpilledIds, ids: Ints, numbers: Ints, places: Ints) -> None:
    """Of ids that are not in memory, the number and the place of the segment that is to be read.

    Args:
        spilled: where they may be.
        ids: (n,) of labels.
        numbers: (n,): becomes the spilled number, NO_ROW where there is none.
        places: (n,): becomes the segment's place, NO_ROW where nothing is to be read: no such id, learned already, too
            late or lost.
    """
    marks, segments = spilled.marks, spilled.segments
    for i in range(len(ids)):
        places[i] = NO_ROW
        numbers[i] = NO_ROW
        at = spilled.slots[slot_of(spilled, ids[i])]
        if at == EMPTY:
            continue
        numbers[i] = number_at(spilled, at)
        place = segment_with(spilled, numbers[i])
        is_over = segments[place, LAST_TIME] + marks[HORIZON] < marks[KEPT_TIME]
        if segments[place, IS_LOST] == 0 and not is_over and not is_learned(spilled, numbers[i]):
            places[i] = place


@kernel
def take(spilled: SpilledIds, found: Ints, is_over: Bools, numbers: Ints) -> None:
    """Learn labels, in order, whose rows are at hand.

    Args:
        spilled: where they may be.
        found: (n,) spilled numbers, as `look` gave them; becomes NO_ROW where nothing is learned.
        is_over: (n,) whether the row is lost or beyond the horizon.
        numbers: (n,) of labels what `label_table.join` said; NO_ROW for those that are dealt with here.
    """
    marks = spilled.marks
    for i in range(len(found)):
        if numbers[i] >= NO_ROW:
            found[i] = NO_ROW
            continue
        if found[i] == NO_ROW:
            if numbers[i] == NOT_HERE:
                numbers[i] = NO_ROW
                marks[TOO_LATE] += 1
            continue
        numbers[i] = NO_ROW
        if is_learned(spilled, found[i]):
            marks[DUPLICATE] += 1
            found[i] = NO_ROW
        elif is_over[i]:
            marks[TOO_LATE] += 1
            found[i] = NO_ROW
        else:
            marks[JOINED] += 1
            set_learned(spilled, found[i], 1)


@kernel
def index_all(spilled: SpilledIds) -> None:
    """Enter all live ids into an empty index, oldest first, so that of two of one id the newer one stands."""
    for number in range(spilled.marks[ID_TAIL], spilled.marks[ID_HEAD]):
        place = number % len(spilled.ids)
        spilled.slots[slot_of(spilled, spilled.ids[place])] = place
