"""Rings that grow where they are: to copy a gigabyte would stop the task for a second."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream.kernels.reserved import reserved


class RingSpace:
    """Address space for a ring of rows, for as many as it may ever have.

    The rows have ever-growing numbers; a number modulo the ring's length is its place. In a ring that grows before it
    was ever filled to its end, as those do that fill up from nothing, every row has its place already. Later, those
    that a longer ring has elsewhere are moved there: half of them, where it doubles.

    Args:
        most_places: of the ring.
        row_shape: what each place has; () for one number.
    """

    def __init__(self, most_places: int, row_shape: tuple[int, ...]) -> None:
        self._most_places = most_places
        self._row_shape = row_shape
        self._space = reserved((most_places, *row_shape))

    def empty(self, places: int) -> NDArray[np.int64]:
        """A ring of zeros. It takes the place of those that were given out before."""
        self._space = reserved((max(places, self._most_places), *self._row_shape))
        return self._space[:places]

    def loaded(self, ring: NDArray[np.generic]) -> NDArray[np.int64]:
        """A ring as it was saved. It takes the place of those that were given out before."""
        new = self.empty(len(ring))
        new[...] = ring
        return new

    def grown(self, ring: NDArray[np.int64], tail: int, head: int, places: int) -> NDArray[np.int64]:
        """The ring that was given out last, longer: with the numbers from tail to head at their places.

        Args:
            ring: to be used no more.
            tail: the first number that is held.
            head: behind the last.
            places: of the new ring.
        """
        before = len(ring)
        ends = sorted({tail, head, *_multiples(before, tail, head), *_multiples(places, tail, head)})
        moving = [
            (first % places, ring[first % before : first % before + end - first].copy())
            for first, end in pairwise(ends)
            if first % places != first % before
        ]
        for place, rows in moving:
            self._space[place : place + len(rows)] = rows
        return self._space[:places]


def _multiples(step: int, tail: int, head: int) -> range:
    """Of a ring's length: there the numbers go on at its beginning."""
    return range(-(-tail // step) * step, head, step)
