"""A ring of ids with a hash index, which doubles until it holds what its budget allows, and then drops the oldest."""

import numpy as np

from stream.engine import label_table as table
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
        self.marks = np.zeros(table.MARKS, np.int64)
        self.marks[table.HORIZON] = horizon_ms
        self.marks[table.MAX_ENTRIES] = max_entries
        self.entries = np.zeros((entries, table.ENTRY_CELLS), np.int64)
        self.index = self._indexed()

    def grow(self) -> None:
        """Make room for twice as many."""
        self._move(min(2 * len(self.entries), int(self.marks[table.MAX_ENTRIES])))

    def take_over(self, index: Ints, entries: Ints, marks: Ints) -> None:
        """Take over another ring's content, which may be of another size; where it is too much, the oldest go."""
        limits = slice(table.HORIZON, table.MAX_SPARSE + 1)
        marks[limits] = self.marks[limits]
        while marks[table.ENTRY_HEAD] - marks[table.ENTRY_TAIL] > marks[table.MAX_ENTRIES]:
            table.drop_entry(index, entries, marks)
        self.marks, self.entries = marks, entries
        self._move(min(len(entries), int(marks[table.MAX_ENTRIES])))

    def _move(self, places: int) -> None:
        marks = self.marks
        self.entries = moved(self.entries, marks[table.ENTRY_TAIL], marks[table.ENTRY_HEAD], places)
        self.index = self._indexed()

    def _indexed(self) -> Ints:
        """A new index of the live entries; made this way from the start, so that growing compiles nothing."""
        size = 1 << (_INDEX_PER_ENTRY * len(self.entries) - 1).bit_length()
        index = np.full(size, table.EMPTY, np.int64)
        table.rebuild_index(index, self.entries, self.marks)
        return index


def moved(ring: Ints, tail: int, head: int, places: int) -> Ints:
    """A ring of so many places, with the live numbers, from tail to head, at theirs."""
    new = np.zeros((places, *ring.shape[1:]), np.int64)
    numbers = np.arange(tail, head)
    new[numbers % places] = ring[numbers % len(ring)]
    return new
