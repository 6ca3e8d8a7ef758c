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

# Live ids are fewer: 32 bits of their numbers tell them apart.
MOST_IDS = 2**31 - 1


class SpilledIds(NamedTuple):
    """The rings as kernels take them: one argument."""

    slots: NDArray[np.int32]  # of the index, a power of two of them: `tag_of` a number, 0 where free; from the rest
    next_slots: NDArray[np.int32]  # more of them, which are to replace those once all ids are in; else one
    moved: Ints  # (1,): ids below this number were entered there; 0 where nothing is to be replaced
    ids: Ints  # (places,)
    id_pages: Bytes
    learned: Ints  # (places / WORD,): a bit an id
    learned_pages: Bytes
    segments: Ints  # (places, SEGMENT_CELLS)
    segment_pages: Bytes
    marks: Ints  # (SPILLED_MARKS,)


@kernel
def tag_of(number: int) -> np.int32:
    """What the index has of a number: 32 bits, of which the tail gives the rest; never 0."""
    return np.int32(number % MOST_IDS + 1)


@kernel
def number_at(spilled: SpilledIds, tag: int) -> int:
    """The live number of this tag."""
    tail = spilled.marks[ID_TAIL]
    return int(tail + (np.int64(tag) - 1 - tail) % MOST_IDS)


@kernel
def slot_of(slots: NDArray[np.int32], spilled: SpilledIds, event_id: int) -> int:
    """Slot in an index of the newest entry with this id, or the free slot where it belongs."""
    ids = spilled.ids
    mask = len(slots) - 1
    slot = home_of(mask, event_id)
    while slots[slot] != 0 and ids[number_at(spilled, slots[slot]) % len(ids)] != event_id:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def empty_slot(slots: NDArray[np.int32], spilled: SpilledIds, slot: int) -> None:
    """Empty a slot and shift later ones of its run back (Knuth 6.4, algorithm R)."""
    ids = spilled.ids
    mask = len(slots) - 1
    hole = slot
    probe = (slot + 1) & mask
    while slots[probe] != 0:
        home = home_of(mask, ids[number_at(spilled, slots[probe]) % len(ids)])
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            slots[hole] = slots[probe]
            hole = probe
        probe = (probe + 1) & mask
    slots[hole] = 0


@kernel
def number_of(spilled: SpilledIds, event_id: int) -> int:
    """Number of the newest entry with this id; EMPTY where there is none."""
    tag = spilled.slots[slot_of(spilled.slots, spilled, event_id)]
    return EMPTY if tag == 0 else number_at(spilled, tag)


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
        event_id, tag = spilled.ids[number % len(spilled.ids)], tag_of(number)
        slot = slot_of(spilled.slots, spilled, event_id)
        if spilled.slots[slot] == tag:
            empty_slot(spilled.slots, spilled, slot)
        if number < spilled.moved[0]:
            slot = slot_of(spilled.next_slots, spilled, event_id)
            if spilled.next_slots[slot] == tag:
                empty_slot(spilled.next_slots, spilled, slot)
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
        slot = slot_of(spilled.slots, spilled, new[i])
        spilled.ids[place] = new[i]
        spilled.slots[slot] = tag_of(number)
        set_learned(spilled, number, 0)
        marks[ID_HEAD] = number + 1


@kernel
def replace_ids(spilled: SpilledIds, ids: Ints) -> None:
    """Events with these ids are kept anew: the next label is theirs, so that those that were spilled wait no more."""
    for i in range(len(ids)):
        number = number_of(spilled, ids[i])
        if number != EMPTY:
            set_learned(spilled, number, 1)


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
        numbers[i] = number_of(spilled, ids[i])
        if numbers[i] == EMPTY:
            continue
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
def move_ids(spilled: SpilledIds, most: int) -> bool:
    """Enter so many more live ids into `next_slots`; whether all are in.

    Oldest first, so that of two of one id the newer one stands.
    """
    first = max(spilled.moved[0], spilled.marks[ID_TAIL])
    end = min(first + most, spilled.marks[ID_HEAD])
    for number in range(first, end):
        event_id = spilled.ids[number % len(spilled.ids)]
        spilled.next_slots[slot_of(spilled.next_slots, spilled, event_id)] = tag_of(number)
    spilled.moved[0] = end
    return end == spilled.marks[ID_HEAD]  # type: ignore[no-any-return]
