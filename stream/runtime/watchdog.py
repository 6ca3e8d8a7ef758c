"""Ends a process whose poll loop hangs (rule 15): its partitions are another's already, and nobody would notice."""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

import structlog

from stream.runtime.stage_views import Health

_log = structlog.get_logger("stream.worker")

# EX_SOFTWARE of sysexits.h. Whoever supervises the process starts it again, as after any status but 0.
STALLED_STATUS = 70
_CHECK_EVERY_S = 1.0
# Looks in a row that find the loop hanging. A process that was paused (SIGSTOP, a frozen machine) has hung for as long
# when it wakes, by its clock; its loop then turns at once.
_LOOKS = 5


class Watchdog:
    """Looks from a thread of its own, while it is entered.

    It cannot see a hang inside a call that never lets go of the interpreter; none of the clients' is such a call.

    Args:
        health: knows when the loop turned last; a wait inside a revocation counts, and compilation comes before it.
        check_every_s: between two looks.
        end: ends the process with a status, whatever its threads do.
    """

    def __init__(
        self,
        health: Health,
        check_every_s: float = _CHECK_EVERY_S,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._health = health
        self._check_every_s = check_every_s
        self._end = end
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-watchdog", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        looks = 0
        while not self._is_over.wait(self._check_every_s):
            looks = 0 if self._health.is_alive else looks + 1
            if looks == _LOOKS:
                self._end_process()
                return

    def _end_process(self) -> None:
        """As kill -9 would, which costs nothing that is committed."""
        _log.error(
            f"{self._health.stall_sentence()}: the process ends, for the group has given its partitions to others "
            "(rule 15). Nothing is lost: what was not committed is handled again. Where each thread stood follows",
            status=STALLED_STATUS,
        )
        faulthandler.dump_traceback(sys.__stderr__ or 2)
        self._end(STALLED_STATUS)
