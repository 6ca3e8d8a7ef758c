"""A ring of ids with a hash index, which doubles until it holds what its budget allows, and then drops the oldest."""

import numpy as np

from stream.engine import label_table as table
from stream.kernels.pages import Paged, new_pages
from stream.records import Ints

# The index has a load of 1/2 at most.
_INDEX_PER_ENTRY = 2

# Cells that an id takes, index included: its size is rounded up to a power of two.
ID_CELLS = table.ENTRY_CELLS + 2 * _INDEX_PER_ENTRY


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
        self.load(np.zeros((entries, table.ENTRY_CELLS), np.int64), marks)

    @property
    def paged(self) -> Paged:
        """The entries with their marks."""
        return Paged(self.live.entries, self.live.pages, len(self.live.entries))

    def load(self, entries: Ints, marks: Ints) -> None:
        """Go on with these arrays; the index is made of them, as always, so that growing compiles nothing."""
        size = 1 << (_INDEX_PER_ENTRY * len(entries) - 1).bit_length()
        index = np.full(size, table.EMPTY, np.int64)
        self.live = table.Ids(index, entries, marks, new_pages(len(entries)))
        table.rebuild_index(self.live)

    def grow(self) -> None:
        """Make room for twice as many."""
        self._move(min(2 * len(self.live.entries), int(self.live.marks[table.MAX_ENTRIES])))

    def take_over(self, entries: Ints, marks: Ints) -> None:
        """Take over another ring's content, which may be of another size; where it is too much, the oldest go."""
        limits = slice(table.HORIZON, table.MAX_SPARSE + 1)
        marks[limits] = self.live.marks[limits]
        self.load(entries, marks)
        while marks[table.ENTRY_HEAD] - marks[table.ENTRY_TAIL] > marks[table.MAX_ENTRIES]:
            table.drop_entry(self.live)
        self._move(min(len(entries), int(marks[table.MAX_ENTRIES])))

    def _move(self, places: int) -> None:
        entries, marks = self.live.entries, self.live.marks
        self.load(moved(entries, marks[table.ENTRY_TAIL], marks[table.ENTRY_HEAD], places), marks)


def moved(ring: Ints, tail: int, head: int, places: int) -> Ints:
    """A ring of so many places, with the live numbers, from tail to head, at theirs."""
    new = np.zeros((places, *ring.shape[1:]), np.int64)
    numbers = np.arange(tail, head)
    new[numbers % places] = ring[numbers % len(ring)]
    return new
