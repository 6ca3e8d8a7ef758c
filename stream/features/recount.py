"""What windows, chains and distinct counts say of the events in a ring, computed from the ring alone."""

import numpy as np

from stream.features.distinct import latest_occurrence, occurrence_key, set_occurrence
from stream.features.reservoir import GENERATION_SHIFT, OWNER, ROW_MASK, VALUE, link_entry
from stream.features.state_layout import GENERATION
from stream.features.summation import compensated_add, compensated_add_square
from stream.kernels import kernel
from stream.records import Bytes, Ints


@kernel
def fill_occurrences(ring: Ints, first: int, head: int, distinct: Ints, pages: Bytes) -> None:
    """Enter positions first to head - 1 into an empty table of latest occurrences."""
    for position in range(first, head):
        entry = position & (ring.shape[0] - 1)
        set_occurrence(distinct, pages, occurrence_key(ring[entry, OWNER], ring[entry, VALUE]), position)


@kernel
def link_chain(ring: Ints, pages: Bytes, span: tuple[int, int], rows: Ints, places: tuple[int, int, float]) -> None:
    """Link a span of positions into their keys' empty chains; places: field of the row, of the entry, sign."""
    first, head = span
    newest, link, sign = places
    for position in range(first, head):
        owner = ring[position & (ring.shape[0] - 1), OWNER]
        row = owner & ROW_MASK
        if rows[row, GENERATION] == owner >> GENERATION_SHIFT:
            rows[row, newest] = link_entry(ring, pages, first, position, rows[row, newest], link, sign)


@kernel
def count_window(ring: Ints, tail: int, head: int, rows: Ints, fields: Ints, distinct: Ints) -> None:
    """Count positions tail to head - 1 in their keys' rows.

    `fields` are those of count, sum, squares and distinct, -1 where there is none; they must be 0 before.
    """
    values, sums = ring.view(np.float64), rows.view(np.float64)
    for position in range(tail, head):
        entry = position & (ring.shape[0] - 1)
        owner = ring[entry, OWNER]
        row = owner & ROW_MASK
        if rows[row, GENERATION] == owner >> GENERATION_SHIFT:
            if fields[0] >= 0:
                rows[row, fields[0]] += 1
            x = values[entry, VALUE]
            field = fields[1]
            if field >= 0:
                sums[row, field], sums[row, field + 1] = compensated_add(sums[row, field], sums[row, field + 1], x)
            field = fields[2]
            if field >= 0:
                total, rest = sums[row, field], sums[row, field + 1]
                sums[row, field], sums[row, field + 1] = compensated_add_square(total, rest, x, 1.0)
            if fields[3] >= 0:
                key = occurrence_key(owner, ring[entry, VALUE])
                rows[row, fields[3]] += latest_occurrence(distinct, key) == position
