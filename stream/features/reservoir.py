"""The ring that all windows over one expression share: entries (owner, time, value[, links]) in order of time.

A position counts all entries ever appended; the entry lies at position modulo the ring's size, a power of two. A window
is the position of its oldest entry. An entry's owner is a key's row with the row's generation above bit 32.

Minima and maxima are chains through the ring: each entry links to the nearest older one of its key with a larger value
(a smaller one, for minima), and the key's row points to the newest. From there the last link that is still inside a
window is the window's extreme, whatever its length.
"""

import math

import numpy as np

from stream.features.distinct import latest_occurrence, occurrence_key, set_occurrence
from stream.kernels import kernel
from stream.kernels.pages import before_write
from stream.records import Bytes, Ints

OWNER = 0
TIME = 1
VALUE = 2

ROW_MASK = 0xFFFFFFFF
GENERATION_SHIFT = 32


@kernel
def open_gap(ring: Ints, pages: Bytes, oldest: int, head: int, time_ms: int) -> int:
    """Move entries later than `time_ms` up by one position, and return the position that became free."""
    mask = ring.shape[0] - 1
    position = head
    while position > oldest and ring[(position - 1) & mask, TIME] > time_ms:
        target = position & mask
        source = (position - 1) & mask
        before_write(pages, target)
        for field in range(ring.shape[1]):
            ring[target, field] = ring[source, field]
        position -= 1
    return position


@kernel
def mend_chain(ring: Ints, gap: int, head: int, rows: Ints, newest: int, link: int) -> None:
    """After `open_gap`: let links, and rows' pointers to the newest, follow the entries that moved.

    Row marks: the ring's pages were marked by `open_gap`; the caller marks the rows with `mark_owners`.
    """
    mask = ring.shape[0] - 1
    for position in range(head, gap, -1):
        entry = position & mask
        if ring[entry, link] >= gap:
            ring[entry, link] += 1
        row = ring[entry, OWNER] & ROW_MASK
        if rows[row, newest] == position - 1:
            rows[row, newest] = position


@kernel
def mark_owners(ring: Ints, gap: int, head: int, row_pages: Bytes) -> None:
    """Mark the rows of the entries that `open_gap` moved."""
    mask = ring.shape[0] - 1
    for position in range(gap + 1, head + 1):
        before_write(row_pages, ring[position & mask, OWNER] & ROW_MASK)


@kernel
def mend_occurrences(ring: Ints, gap: int, head: int, table: Ints, table_pages: Bytes) -> None:
    """After `open_gap`: let the distinct counts' table follow the entries that moved."""
    mask = ring.shape[0] - 1
    for position in range(head, gap, -1):
        entry = position & mask
        key = occurrence_key(ring[entry, OWNER], ring[entry, VALUE])
        if latest_occurrence(table, key) == position - 1:
            set_occurrence(table, table_pages, key, position)


@kernel
def link_entry(ring: Ints, pages: Bytes, oldest: int, position: int, newest: int, link: int, sign: float) -> int:
    """Put the entry at `position` into its key's chain and return the key's newest entry in the chain.

    `sign` is 1 for maxima, -1 for minima. `newest` is the chain's newest entry so far, -1 where there is none.
    """
    mask = ring.shape[0] - 1
    values = ring.view(np.float64)
    value = sign * values[position & mask, VALUE]
    later = -1
    older = newest
    while older > position:
        later = older
        older = ring[older & mask, link]
    if later >= 0 and sign * values[later & mask, VALUE] >= value:
        ring[position & mask, link] = -1  # a later and larger one hides it for as long as it stays
        return newest
    while older >= oldest and sign * values[older & mask, VALUE] <= value:
        older = ring[older & mask, link]
    ring[position & mask, link] = older
    if later < 0:
        return position
    before_write(pages, later & mask)
    ring[later & mask, link] = position
    return newest


@kernel
def extreme(ring: Ints, tail: int, newest: int, link: int) -> float:
    """The extreme of the chain's entries from position `tail` on; NaN where there are none."""
    mask = ring.shape[0] - 1
    values = ring.view(np.float64)
    found = math.nan
    position = newest
    while position >= tail:
        found = values[position & mask, VALUE]
        position = ring[position & mask, link]
    return found
