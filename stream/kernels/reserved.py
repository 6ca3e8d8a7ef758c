"""Arrays of which only the part that was written takes memory: as long as they may ever become, from the beginning.

An array that grows must be copied: a gigabyte takes a second, in which the task stands still. Address space costs
nothing.
"""

import mmap
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SMALL_BYTES: Final = 1 << 20

# Of an array that stays small, a page of 2 MB would be most of what it takes: ten such arrays a task and 64 tasks are
# more than a gigabyte. Its first part has pages of 4 KB, as many as a core's translation buffer holds.
_SMALL_PAGES_BYTES: Final = 4 << 20

# Not counted as memory that is promised: a budget may be larger than what the machine has. (Python 3.11 has no name for
# it; of systems other than Linux none that matters promises any.)
_NO_RESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000) if hasattr(mmap, "MADV_HUGEPAGE") else 0


def reserved(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """An array of zeros.

    Raises:
        OSError, MemoryError: the process may not have so much address space (`ulimit -v`, or
            `vm.overcommit_memory = 2`): lower the budget.
    """
    size_bytes = 8 * int(np.prod(shape))
    if size_bytes < _SMALL_BYTES:
        return np.zeros(shape, dtype=np.int64)
    space = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    _advise(space, size_bytes)
    return np.frombuffer(space, dtype=np.int64).reshape(shape)


def _advise(space: mmap.mmap, size_bytes: int) -> None:
    """Ask for large pages behind the first part, as numpy does: a page of 4 KB is missing 512 times as often."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    with suppress(OSError):  # a system that is built without them
        space.madvise(mmap.MADV_NOHUGEPAGE, 0, min(size_bytes, _SMALL_PAGES_BYTES))
        if size_bytes > _SMALL_PAGES_BYTES:
            space.madvise(mmap.MADV_HUGEPAGE, _SMALL_PAGES_BYTES)
