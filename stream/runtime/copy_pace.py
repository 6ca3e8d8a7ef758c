"""How much state is copied for a snapshot between two slices of work."""

import time
from collections.abc import Callable

# A turn of the poll loop takes this much longer while a state is being copied; with a slice of 50 ms (rule 15) it is
# far from the 100 ms after which callbacks are late.
_COPY_S = 0.01
# Memory that is new costs ten times what it costs the second time (its pages are made then), and more on some machines:
# 2 ms a MB were seen. So the pace of memory that was there already says little about the next, and is bounded: 8 MB are
# 2 ms of the one and 20 ms of the other, and a gigabyte takes 125 turns.
_FIRST_BYTES, _LEAST_BYTES, _MOST_BYTES = 1 << 20, 1 << 18, 8 << 20


class CopyPace:
    """Copies as many bytes a turn as take some 10 ms, by how fast the last ones were."""

    def __init__(self) -> None:
        self._bytes = _FIRST_BYTES

    def turn(self, copy: Callable[[int], int]) -> None:
        """Copy some of what there is to copy.

        Args:
            copy: copies about so many bytes, and says how many it were.
        """
        began = time.perf_counter()
        copied = copy(self._bytes)
        if copied:
            fitting = copied * _COPY_S / max(time.perf_counter() - began, 1e-6)
            self._bytes = int(max(_LEAST_BYTES, min(_MOST_BYTES, 2 * self._bytes, fitting)))
