"""A ring of ids with a hash index, which doubles until it holds what its budget allows, and then drops the oldest."""

import numpy as np

from stream.engine import label_table as table
from stream.kernels.pages import Paged, new_pages
from stream.kernels.ring_space import RingSpace
from stream.records import Ints

# The index has a load of 1/2 at most.
_INDEX_PER_ENTRY = 2

# Cells that an id takes, index included: its size is rounded up to a power of two.
ID_CELLS = table.ENTRY_CELLS + 2 * _INDEX_PER_ENTRY


# Once the ring has grown, its index, which is then half full, is replaced by a larger one while entries are entered
# there, so many for each id that may come: all are in when it is five eighths full.
_MOVED_AN_ID = 4


class IdRing:
    """Ids of events, or of labels that came before theirs.

    Args:
        entries: places to begin with.
        max_entries: most places.
        horizon_ms: ids are forgotten after two of them, by the stream's time.
    """

    def __init__(self, entries: int, max_entries: int, horizon_ms: int) -> None:
        marks = np.zeros(table.MARKS, np.int64)
        marks[table.HORIZON] = horizon_ms
        marks[table.MAX_ENTRIES] = max_entries
        self._space = RingSpace(max_entries, (table.ENTRY_CELLS,))
        self.load(np.zeros((entries, table.ENTRY_CELLS), np.int64), marks)

    @property
    def paged(self) -> Paged:
        """The entries with their marks."""
        return Paged(self.live.entries, self.live.pages, len(self.live.entries))

    @property
    def held(self) -> int:
        """How many there are."""
        return int(self.live.marks[table.ENTRY_HEAD] - self.live.marks[table.ENTRY_TAIL])

    def load(self, entries: Ints, marks: Ints) -> None:
        """Go on with copies of these entries, and these marks."""
        self._set(np.zeros(1, np.int64), self._space.loaded(entries), marks)
        self._replace_index(self.held)

    def reserve(self, coming: int) -> None:
        """To be called before so many ids are entered: the index that is to come is filled step by step."""
        if len(self.live.next_slots) > 1:
            is_urgent = 4 * (self.held + coming) > 3 * len(self.live.slots)
            self._replace_index(self.held if is_urgent else _MOVED_AN_ID * coming)

    def grow(self, coming: int) -> None:
        """Make room for twice as many, when so many ids are being entered."""
        live = self.live
        if len(live.next_slots) > 1:
            self._replace_index(self.held)
        places = min(2 * len(live.entries), int(live.marks[table.MAX_ENTRIES]))
        tail, head = int(live.marks[table.ENTRY_TAIL]), int(live.marks[table.ENTRY_HEAD])
        self._set(self.live.slots, self._space.grown(live.entries, tail, head, places), live.marks)
        self._replace_index(self.held if 2 * coming > self.held else 0)

    def take_over(self, entries: Ints, marks: Ints) -> None:
        """Take over another ring's content, which may be of another size; where it is too much, the oldest go."""
        limits = slice(table.HORIZON, table.MAX_SPARSE + 1)
        marks[limits] = self.live.marks[limits]
        self.load(entries, marks)
        while marks[table.ENTRY_HEAD] - marks[table.ENTRY_TAIL] > marks[table.MAX_ENTRIES]:
            table.drop_entry(self.live)
        places = min(len(entries), int(marks[table.MAX_ENTRIES]))
        self.load(moved(entries, marks[table.ENTRY_TAIL], marks[table.ENTRY_HEAD], places), marks)

    def _set(self, slots: Ints, entries: Ints, marks: Ints) -> None:
        """Entries with the index of before, and a larger one that is to replace it."""
        size = 1 << (_INDEX_PER_ENTRY * len(entries) - 1).bit_length()
        next_slots = np.zeros(size if size > len(slots) else 1, np.int64)
        self.live = table.Ids(slots, next_slots, np.zeros(1, np.int64), entries, marks, new_pages(len(entries)))

    def _replace_index(self, entries: int) -> None:
        """Enter so many more entries in the index that is to come; it replaces the other one once all are in."""
        live = self.live
        if len(live.next_slots) > 1 and table.move_entries(live, entries):
            none = np.zeros(1, np.int64)
            self.live = live._replace(slots=live.next_slots, next_slots=none, moved=none.copy())


def moved(ring: Ints, tail: int, head: int, places: int) -> Ints:
    """A ring of so many places, with the live numbers, from tail to head, at theirs."""
    new = np.zeros((places, *ring.shape[1:]), np.int64)
    numbers = np.arange(tail, head)
    new[numbers % places] = ring[numbers % len(ring)]
    return new
