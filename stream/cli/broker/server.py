"""One server process: started in a session of its own, watched until it is ready, stopped or killed.

A server holds a lock file in its folder for as long as it lives (it inherits the file descriptor), so whether it runs
is never guessed from a process id.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream.cli.guard import Guard
from stream.errors import ConfigError, StreamError

POLL_S = 0.05
START_TIMEOUT_S = 120  # a machine that is busy compiling takes many times the usual 3 s
STOP_TIMEOUT_S = 20  # then it is killed


@dataclass(frozen=True, slots=True)
class Launch:
    """How one server is started."""

    name: str  # as people call it: "Kafka"
    command: tuple[str, ...]
    folder: Path
    is_ready: Callable[[], bool]
    ends_with_parent: bool

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / f"{self.name.lower()}.log"

    @property
    def lock(self) -> Path:
        """Locked while the server lives."""
        return self.log.with_suffix(".lock")


class Server:
    """A running server."""

    def __init__(self, launch: Launch) -> None:
        """Start it; `wait_until_ready` comes next.

        Args:
            launch: how.

        Raises:
            ConfigError: one runs in this folder already, or the command cannot be run.
        """
        self._launch = launch
        with launch.lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{launch.name} already runs in {launch.folder}. Stop it (stream broker down --folder "
                    f"{launch.folder}) or choose another folder."
                ) from None
            with launch.log.open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    launch.command,
                    cwd=launch.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # the terminal's Ctrl-C is the parent's to handle
                    pass_fds=[lock.fileno()],
                )
            lock.truncate(0)
            lock.write(str(self._process.pid))
        self._guard = Guard([self._process.pid], signal.SIGKILL) if launch.ends_with_parent else None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return once it answers.

        Raises:
            StreamError: it ended or did not answer in time; the text has the end of its log. It has been killed.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._launch.is_ready():
            try:
                status = self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                status = None
            self.kill()
            happened = f"did not answer within {START_TIMEOUT_S} s" if status is None else f"ended with status {status}"
            said = self._launch.log.read_bytes()[self._log_start :].decode(errors="replace")
            raise StreamError(f"{self._launch.name} {happened}: {likely_cause(said)} (all of it: {self._launch.log})")

    def ask_to_stop(self) -> None:
        """Send SIGTERM; `wait_until_stopped` comes next."""
        self._process.terminate()

    def wait_until_stopped(self) -> bool:
        """Return once it has ended: true if by itself, false if it was killed after 20 s, or by somebody else."""
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()
        return self._process.returncode != -signal.SIGKILL

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._guard is not None:  # before the process id is free for others
            self._guard.release()
            self._guard = None
        self._process.wait()


def running_pid(lock: Path) -> int | None:
    """The process id of the server whose lock file this is, None when it does not live."""
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def stop_running(lock: Path) -> None:
    """Stop a server that another process started: SIGTERM, and SIGKILL after 20 s. Does nothing where none lives."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        pid = running_pid(lock)
        if pid is not None:
            os.kill(pid, signal_number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while running_pid(lock) is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)


def likely_cause(log: str) -> str:
    """The line of a server's log that most likely says why it ended."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    for marker in ("No space left", "Address already in use", "Caused by", "Exception", "ERROR", "FATAL", "Error"):
        for line in reversed(lines):
            if marker in line:
                return line
    return lines[-1] if lines else "it printed nothing"
