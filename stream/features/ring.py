"""The arrays of one reservoir: they begin small, double when they are full, and stop at their limit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream.errors import TaskCorrupted
from stream.features.distinct import copy_occurrences
from stream.features.state_layout import Reservoir
from stream.kernels.pages import Paged, new_pages
from stream.kernels.ring_space import RingSpace
from stream.records import Ints

_FIRST_EVENTS = 64
_INT64 = np.dtype(np.int64)


def first_events(most_events: int) -> int:
    """How many events a ring has room for at first."""
    return min(_FIRST_EVENTS, most_events)


class Ring:
    """Entries of a reservoir and, with distinct counts, the table of latest occurrences, twice as long."""

    def __init__(self, reservoir: Reservoir, most_events: int) -> None:
        self._reservoir = reservoir
        self.most_events = most_events
        self._space = RingSpace(most_events, (reservoir.entry_width,))
        first = first_events(most_events)
        self._set(self._space.empty(first), self._no_occurrences(first))

    def kernel_arrays(self) -> tuple[object, ...]:
        """Entries, their page marks, latest occurrences, their page marks."""
        return self._entries, self._entry_pages, self._distinct, self._distinct_pages

    def grow_if_full(self, control: Ints) -> bool:
        """Double the ring if it has no place left for one more event and is not at its limit."""
        oldest, head = int(control[self._reservoir.longest.tail_slot]), int(control[self._reservoir.head_slot])
        size = len(self._entries)
        if head - oldest < size or size >= self.most_events:
            return False
        before = self._distinct
        self._set(self._space.grown(self._entries, oldest, head, 2 * size), self._no_occurrences(2 * size))
        if self._reservoir.has_distinct:
            copy_occurrences(before, self._distinct, self._distinct_pages)
        return True

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The live arrays."""
        return {"entries": self._entries, "distinct": self._distinct}

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages: all."""
        return {
            "entries": Paged(self._entries, self._entry_pages, len(self._entries)),
            "distinct": Paged(self._distinct, self._distinct_pages, len(self._distinct)),
        }

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over saved arrays, whatever size they had grown to.

        Raises:
            TaskCorrupted: where they are not those of such a reservoir.
        """
        entries, distinct = arrays["entries"], arrays["distinct"]
        size = len(entries)
        is_size = 0 < size <= self.most_events and size & (size - 1) == 0
        shapes = (size, self._reservoir.entry_width), self._no_occurrences(size if is_size else 1).shape
        if not is_size or (entries.shape, distinct.shape) != shapes or {entries.dtype, distinct.dtype} != {_INT64}:
            raise TaskCorrupted(
                f"features: a window's arrays are {entries.dtype}{entries.shape} and {distinct.dtype}{distinct.shape}: "
                f"not those of a reservoir of up to {self.most_events} events"
            )
        self._set(self._space.loaded(entries), np.array(distinct, np.int64, order="C"))

    def _no_occurrences(self, events: int) -> Ints:
        return np.zeros((2 * events if self._reservoir.has_distinct else 1, 2), dtype=np.int64)

    def _set(self, entries: Ints, distinct: Ints) -> None:
        self._entries, self._distinct = entries, distinct
        self._entry_pages, self._distinct_pages = new_pages(len(entries)), new_pages(len(distinct))
