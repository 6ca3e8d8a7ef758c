"""Workers as processes, started as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from stream.cli.guard import Guard
from tests.conftest import ROOT
from tests.runtime.waiting import LIMIT_S, wait_until

APP = "tests/runtime/app.py:app"


class WorkerProcess:
    """A running `stream run`; its log goes to a file of its own.

    Args:
        environment: beside this process's own.
        log: where stderr and stdout go.
        arguments: of `stream run`, behind the app.
        target: the app.
    """

    def __init__(
        self, environment: Mapping[str, str], log: Path, arguments: Sequence[str] = (), target: str = APP
    ) -> None:
        self._log = log
        command = [sys.executable, "-m", "stream.cli.main", "run", target, *arguments]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                # As the image has it: without it a worker begins twice (rule 28), a tenth of a second each time.
                env={**os.environ, "PYTHONHASHSEED": "0", **environment, "PYTHONFAULTHANDLER": "1"},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._guard = Guard([self.process.pid], signal.SIGKILL)  # should the test run be killed

    @property
    def log(self) -> str:
        """What this process has said so far."""
        return self._log.read_text()

    @property
    def events(self) -> list[dict[str, object]]:
        """The log's JSON lines that are complete."""
        lines = self.log.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    def said(self, event: str) -> list[dict[str, object]]:
        """The log lines of this event."""
        return [line for line in self.events if line.get("event") == event]

    def wait(self, is_so: Callable[[], object], what: str) -> None:
        """Until a condition holds; fails with the log if the process ends or the time is over."""

        def holds() -> bool:
            status = self.process.poll()
            assert status is None, f"{what}: the worker ended with {status}\n{self.log}"
            return bool(is_so())

        wait_until(holds, what, self.explain)

    def explain(self) -> str:
        """Its log, with where each of its threads stands; ends it."""
        self.end(signal.SIGABRT)
        return f"\n{self.log}"

    def wait_for_log(self, event: str, count: int = 1) -> None:
        """Until this event was logged so many times."""
        self.wait(lambda: len(self.said(event)) >= count, f"{event!r} in the log")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.exit_status()

    def kill(self) -> None:
        """End it, and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._guard.release()

    def exit_status(self, within_s: float = LIMIT_S) -> int:
        """Wait for the process to end by itself."""
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {within_s:g} s\n{self.log}") from None
        self._guard.release()
        return status

    def is_ready(self) -> bool:
        """Whether it has joined and restored what it got; also false where it has ended."""
        return self.process.poll() is None and bool(self.said("started")) and self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET from its metrics server."""
        self.wait_for_log("metrics")
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.said('metrics')[0]['port']}{path}", timeout=60
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def total(self, name: str, **labels: str) -> float:
        """Sum of a metric over the series with these labels."""
        status, text = self.get("/metrics")
        assert status == 200
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())
