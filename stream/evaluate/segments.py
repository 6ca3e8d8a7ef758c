"""Rows of state by segment: row 0 holds all events, the last one those whose segment came too late for a row."""

import numpy as np

from stream.kernels import kernel
from stream.records import Ints

NO_SEGMENTS: Ints = np.zeros(0, np.int64)


@kernel
def row_of_segment(keys: Ints, tallies: Ints, key: int) -> int:
    """The row of a segment; a new one takes the next free row, and shares the last row where none is free.

    `keys` holds the segments that have rows 1, 2, ...; tallies[0] is their number. Searched one after the other: a
    metric with so many segments that this matters could not be read.
    """
    used: int = tallies[0]
    for place in range(used):
        if keys[place] == key:
            return place + 1
    if used == len(keys):
        return used + 1
    keys[used] = key
    tallies[0] = used + 1
    return used + 1
