"""Processes end with the one that started them, however it ends."""

import signal
import subprocess
import sys

import psutil
import pytest

from stream.cli.guard import Guard
from tests.runtime.waiting import wait_until

OWNER = """
import signal, subprocess, sys
from stream.cli.guard import Guard
child = subprocess.Popen(["sleep", "300"])
guard = Guard([child.pid], signal.Signals[sys.argv[1]])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_guarded_process_ends_with_its_owner(how: str) -> None:
    """The owner is killed with -9 and can do nothing any more; its child gets the signal that was said."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))

        owner.kill()

        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child has ended")


def test_a_released_process_is_left_alone() -> None:
    """After the release nothing is signalled: the number may be another process's by then."""
    with subprocess.Popen(["sleep", "300"]) as child:
        guard = Guard([child.pid], signal.SIGKILL)
        guard.release()
        assert child.poll() is None
        child.kill()
