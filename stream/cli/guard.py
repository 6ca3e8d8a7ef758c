"""What ends processes when the one that started them has gone, kill -9 included."""

import signal
import subprocess
from collections.abc import Iterable

# Reads until whoever holds the other end of its input has gone, then signals. (PR_SET_PDEATHSIG would look at the
# thread that started the process, and is Linux's alone.)
_SCRIPT = 'signal=$1; shift; read -r _; kill -s "$signal" "$@"'


class Guard:
    """Signals processes when this process ends, however it ends, until it is released.

    Args:
        pids: of whom.
        how: SIGKILL, or SIGTERM for those that have something to finish.
    """

    def __init__(self, pids: Iterable[int], how: signal.Signals) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "guard", how.name.removeprefix("SIG"), *map(str, pids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # of processes that have gone already
            start_new_session=True,  # the terminal's Ctrl-C, and what else ends a whole group, is not for it
        )

    def release(self) -> None:
        """No more; to be called before the process ids are free for others."""
        self._shell.kill()
        self._shell.communicate()
