"""Gives memory that the process does not use any more back to the machine, once a backlog is through.

What is fetched and sent in a backlog is freed piece by piece, in between of what stays, and glibc's allocator keeps
the pages: of 650 MiB that a worker had after some millions of events, 250 were in use (docs/benchmarks.md, Memory).
"""

import ctypes
import threading
from collections.abc import Callable

import psutil

# Giving 280 MiB back takes 30 ms of processor time, and taking as much anew 200 ms. What a steady stream uses from look
# to look is some 60 MiB: 50 ms in 15 s.
_LOOK_EVERY_S = 15.0
# Growth since the last time that is worth it: what less would be is nothing that anybody sees.
_WORTH_BYTES = 2 << 20


def trim() -> None:
    """Return the free pages of all of the allocator's arenas; other threads go on meanwhile."""
    if (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        malloc_trim(ctypes.c_size_t(0))


class FreeMemory:
    """Looks from a thread of its own, while it is entered; does nothing where the allocator is not glibc's.

    Args:
        may_give_back: whether the worker keeps up with what comes: in a backlog the same memory is used again at once.
        look_every_s: between two looks.
        give_back: returns free pages to the machine.
        resident_bytes: of this process.
    """

    def __init__(
        self,
        may_give_back: Callable[[], bool],
        look_every_s: float = _LOOK_EVERY_S,
        give_back: Callable[[], object] = trim,
        resident_bytes: Callable[[], int] = lambda: int(psutil.Process().memory_info().rss),
    ) -> None:
        self._may_give_back = may_give_back
        self._look_every_s = look_every_s
        self._give_back = give_back
        self._resident_bytes = resident_bytes
        self._kept_bytes = 0  # what was left the last time, or less
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-free-memory", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def look(self) -> None:
        """Give back what is free, if it may well be much."""
        resident_bytes = self._resident_bytes()
        self._kept_bytes = min(self._kept_bytes, resident_bytes)
        if resident_bytes - self._kept_bytes > _WORTH_BYTES and self._may_give_back():
            self._give_back()
            self._kept_bytes = self._resident_bytes()

    def _run(self) -> None:
        while not self._is_over.wait(self._look_every_s):
            self.look()
