"""Pages of large mutable state: who writes a row says so first, so that snapshots can be taken without a pause.

A table whose rows change in place keeps one uint8 per page of rows. `before_write` marks the page of a row; a snapshot
copies only what was marked since the one before. A snapshot that runs beside the task will copy a page before its first
write: that belongs into `before_write` too (a second value of the mark, and a place for the copy), and no caller
changes.
"""

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel

# 256 rows a page: a row of ten weighted statistics has about 200 bytes, so that a page is about 50 KB. Copying one
# takes about 5 µs, which a batch does not feel; a million keys are 4,000 marks, which fit the innermost cache.
PAGE_ROWS_SHIFT = 8
PAGE_ROWS = 1 << PAGE_ROWS_SHIFT


def new_pages(rows: int) -> NDArray[np.uint8]:
    """Marks for a table of `rows` rows, none set; always at least one."""
    return np.zeros(max((rows + PAGE_ROWS - 1) >> PAGE_ROWS_SHIFT, 1), dtype=np.uint8)


@kernel
def before_write(pages: NDArray[np.uint8], row: int) -> None:
    """To be called before row `row` of the table that `pages` belongs to is written."""
    pages[row >> PAGE_ROWS_SHIFT] = 1


def grown_pages(pages: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """Marks for a table that grew to `rows` rows: the old ones stay, new pages are unmarked until written."""
    grown = new_pages(rows)
    grown[: len(pages)] = pages
    return grown
