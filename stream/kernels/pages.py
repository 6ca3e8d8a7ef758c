"""Pages of large mutable state: who writes a row says so first, so that snapshots can be taken without a pause.

A table whose rows change in place keeps one uint8 per page of rows. `before_write` marks the page of a row. Whoever
copies the table while it changes (stream.engine.image) sets all marks, clears that of each page it copies, and in the
end has to copy only what was marked again meanwhile.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel

# 32 rows a page: a row of ten weighted statistics has about 200 bytes, so that a page is about 6 KB. A slice of 4,000
# events of as many keys then changes 25 MB of pages, which are copied in some 10 ms; with pages of 256 rows it would be
# 200 MB. A million keys are 31,000 marks, which fit a core's cache.
PAGE_ROWS_SHIFT = 5
PAGE_ROWS = 1 << PAGE_ROWS_SHIFT


class Paged(NamedTuple):
    """A large array that changes in place, with its marks."""

    array: NDArray[np.generic]  # live, C-contiguous, of 8-byte cells; its first axis is rows
    marks: NDArray[np.uint8]  # a page each; arrays with the same rows may share them; another array once the table grew
    rows: int  # how many were ever used: what lies behind them need not be copied


def new_pages(rows: int) -> NDArray[np.uint8]:
    """Marks for a table of `rows` rows, none set; always at least one."""
    return np.zeros(max(pages_of(rows), 1), dtype=np.uint8)


def pages_of(rows: int) -> int:
    """How many pages so many rows have."""
    return (rows + PAGE_ROWS - 1) >> PAGE_ROWS_SHIFT


@kernel
def before_write(pages: NDArray[np.uint8], row: int) -> None:
    """To be called before row `row` of the table that `pages` belongs to is written."""
    pages[row >> PAGE_ROWS_SHIFT] = 1


@kernel
def copy_marked(
    live: NDArray[np.int64], copy: NDArray[np.int64], marks: NDArray[np.uint8], cells: int, first: int, end: int
) -> None:
    """Copy the marked pages from page `first` to `end` of a table whose pages have so many cells."""
    for page in range(first, end):
        if marks[page] != 0:
            for cell in range(page * cells, min((page + 1) * cells, len(live))):
                copy[cell] = live[cell]
