"""A copy of a task's state that is made in pieces while the task goes on, so that a snapshot stops it for some ms only.

Live migration of virtual machines calls it pre-copy: pages are copied between two slices of work, those that were
written meanwhile are copied again, and once few are left the rest is copied at the end of a cycle, with all small
state: the image is then that of exactly this cycle.
"""

from collections.abc import Sequence

import numpy as np

from stream.engine.state import LearnedState
from stream.kernels.pages import PAGE_ROWS, Paged, copy_marked, pages_of
from stream.kernels.reserved import reserved
from stream.records import Array, Bytes, Ints

# While an image is being made, a slice has at most so many records: what they change must be less than what is copied
# behind each slice, or there would be no end. A record changes a page or two of each table, of 6 KB say: 1,024 records
# are 6 to 12 MB, which are copied in 3 ms. Where it is more all the same, slices become smaller.
_FIRST_RECORDS = 1024

# Marks are looked at in windows of about so many bytes of pages, so that a copy can end in the middle of a table.
_WINDOW_BYTES = 1 << 20


class StateImage:
    """An image of a state; see the module's text.

    Args:
        state: what is to be copied; it may change between calls.
    """

    def __init__(self, state: LearnedState) -> None:
        self._state = state
        self._groups: list[_PageGroup] = []
        self._turn = 0
        self.slice_records = _FIRST_RECORDS  # most records that a slice may have while this image is being made

    @property
    def remaining_bytes(self) -> int:
        """Bytes of pages that are not in the image as they are now."""
        self._follow()
        return sum(group.remaining_bytes for group in self._groups)

    def copy(self, most_bytes: int) -> int:
        """Copy at most about so many bytes of pages, beginning where the last call ended; returns how many it were."""
        self._follow()
        left = most_bytes
        for _ in range(len(self._groups) + 1):  # the one that it begins with twice: its beginning comes last
            if not self._groups or left <= 0:
                break
            group = self._groups[self._turn % len(self._groups)]
            left -= group.copy(left)
            if group.is_at_end:
                self._turn += 1
        if all(group.was_at_end for group in self._groups) and self.remaining_bytes > most_bytes:
            self.slice_records = max(1, self.slice_records // 2)
        return most_bytes - left

    def finish(self) -> dict[str, Array]:
        """Copy the rest; returns copies of all arrays, as they are now. The image is not to be used afterwards."""
        self._follow()
        copies: dict[str, Array] = {}
        for group in self._groups:
            group.copy_rest()
            copies |= group.copies
        return {
            name: copies[name][: len(array)] if name in copies else array.copy()
            for name, array in self._state.arrays().items()
        }

    def _follow(self) -> None:
        """Begin anew with tables that have grown: they are other arrays now."""
        shared: dict[int, dict[str, Paged]] = {}
        for name, paged in self._state.paged().items():
            shared.setdefault(id(paged.marks), {})[name] = paged
        known = {id(group.marks): group for group in self._groups}
        self._groups = [
            known[place].used(next(iter(paged.values())).rows) if place in known else _PageGroup(paged)
            for place, paged in shared.items()
        ]


class _PageGroup:
    """Tables that share their marks.

    Args:
        paged: the tables by name.
    """

    def __init__(self, paged: dict[str, Paged]) -> None:
        (first, *_) = paged.values()
        self.marks: Bytes = first.marks
        self.marks[:] = 1
        self.copies: dict[str, Array] = {
            name: reserved(each.array.shape).view(each.array.dtype) for name, each in paged.items()
        }
        self._tables = [
            (_cells(each.array), _cells(self.copies[name]), PAGE_ROWS * (each.array.size // max(len(each.array), 1)))
            for name, each in paged.items()
        ]
        self._page_bytes = max(1, 8 * sum(cells for _, _, cells in self._tables))
        self._window = max(1, _WINDOW_BYTES // self._page_bytes)
        self._pages = pages_of(first.rows)
        self._at = 0
        self.was_at_end = False

    def used(self, rows: int) -> "_PageGroup":
        """Note how many rows are in use now."""
        self._pages = pages_of(rows)
        return self

    @property
    def is_at_end(self) -> bool:
        """Whether the last copy reached the end of the tables."""
        return self._at == 0

    @property
    def remaining_bytes(self) -> int:
        return int(np.count_nonzero(self.marks[: self._pages])) * self._page_bytes

    def copy(self, most_bytes: int) -> int:
        """Copy marked pages up to the end of the tables, or until it was enough; returns how many bytes."""
        copied = 0
        while self._at < self._pages and copied < most_bytes:
            end = min(self._at + self._window, self._pages)
            copied += self._copy(self._at, end)
            self._at = end
        if self._at >= self._pages:
            self._at, self.was_at_end = 0, True
        return copied

    def copy_rest(self) -> None:
        """Copy all marked pages."""
        self._copy(0, self._pages)

    def _copy(self, first: int, end: int) -> int:
        marked = int(np.count_nonzero(self.marks[first:end]))
        if marked:
            for live, copy, cells in self._tables:
                copy_marked(live, copy, self.marks, cells, first, end)
            self.marks[first:end] = 0
        return marked * self._page_bytes


def _cells(array: Array) -> Ints:
    """The array as one row of 8-byte cells, not copied."""
    flat: Sequence[int] = (-1,)
    cells = array.reshape(flat).view(np.int64)
    assert cells.base is not None
    return cells
