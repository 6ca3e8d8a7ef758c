"""Which key a full table gives up: the one not seen for longest, without a list to be mended at every event.

Now and then the oldest rows are collected in a queue, oldest first. A row of the queue that was not seen since is older
than every row outside it, so that the head of the queue is always right. The queue holds a sixteenth of the rows; it is
used up only by as many events (each either evicts its head or has seen it), so that the scan of all rows comes to a
constant cost an event.
"""

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel

_SEEN_MS = 1  # cell of an entry
_FREED = -(2**63)


@kernel
def _is_older(queue: NDArray[np.int64], first: int, second: int) -> bool:
    """Whether entry `first` of the queue was seen before entry `second`; of equals the smaller row comes first."""
    if queue[first, 1] != queue[second, 1]:
        return queue[first, 1] < queue[second, 1]  # type: ignore[no-any-return]
    return queue[first, 0] < queue[second, 0]  # type: ignore[no-any-return]


@kernel
def _swap(queue: NDArray[np.int64], first: int, second: int) -> None:
    row, seen_ms = queue[first, 0], queue[first, 1]
    queue[first, 0], queue[first, 1] = queue[second, 0], queue[second, 1]
    queue[second, 0], queue[second, 1] = row, seen_ms


@kernel
def _sift_down(queue: NDArray[np.int64], start: int, length: int) -> None:
    """Restore the heap whose youngest entry stands first, after entry `start` changed."""
    parent = start
    while True:
        child = 2 * parent + 1
        if child >= length:
            return
        if child + 1 < length and _is_older(queue, child, child + 1):
            child += 1
        if not _is_older(queue, parent, child):
            return
        _swap(queue, parent, child)
        parent = child


@kernel
def fill_queue(entries: NDArray[np.int64], queue: NDArray[np.int64]) -> int:
    """Collect the rows seen longest ago, oldest first; returns how many: all of the queue, or all rows in use."""
    length = 0
    for row in range(len(entries)):
        seen_ms = entries[row, _SEEN_MS]
        if seen_ms == _FREED:
            continue
        if length < len(queue):
            queue[length, 0], queue[length, 1] = row, seen_ms
            length += 1
            if length == len(queue):
                for start in range(length // 2 - 1, -1, -1):
                    _sift_down(queue, start, length)
        elif seen_ms < queue[0, 1]:
            queue[0, 0], queue[0, 1] = row, seen_ms
            _sift_down(queue, 0, length)
    if length < len(queue):
        for start in range(length // 2 - 1, -1, -1):
            _sift_down(queue, start, length)
    for last in range(length - 1, 0, -1):
        _swap(queue, 0, last)
        _sift_down(queue, 0, last)
    return length


@kernel
def next_victim(entries: NDArray[np.int64], queue: NDArray[np.int64], cursor: NDArray[np.int64]) -> int:
    """The row in use that was seen longest ago. `cursor` holds the next entry of the queue and its length."""
    while True:
        while cursor[0] < cursor[1]:
            row, seen_ms = queue[cursor[0], 0], queue[cursor[0], 1]
            cursor[0] += 1
            if entries[row, _SEEN_MS] == seen_ms:
                return row  # type: ignore[no-any-return]
        cursor[1] = fill_queue(entries, queue)
        cursor[0] = 0
