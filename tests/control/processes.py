"""Control planes as processes, and requests to them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stream.cli.broker.ports import reserve_free_port
from tests.control.serve import TOKENS

READY_LIMIT_S = 120.0  # a start takes 2 s; on a machine with ten times the work 30 were seen


@dataclass
class Control:
    """One instance, started with `start`; its log is in `folder`."""

    app: str
    topic: str
    servers: str
    folder: Path
    port: int
    security: Mapping[str, str] = field(default_factory=dict)  # librdkafka's settings
    keep_resolved_s: float = 86_400.0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it and wait until it is ready."""
        kafka = json.dumps({"bootstrap.servers": self.servers, **self.security})
        arguments = [
            self.app,
            self.topic,
            kafka,
            str(self.port),
            str(self.folder),
            str(self.keep_resolved_s),
        ]
        with (self.folder / f"control-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.control.serve", *arguments], stdout=log, stderr=log, cwd=Path.cwd()
            )
        self.wait(lambda: self.get("/readyz")[0] == 200, "be ready")

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        return self.process.wait(90)

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Until a condition holds; fails with the log if the process ends or the time is over."""
        deadline = time.monotonic() + READY_LIMIT_S
        while not is_so():
            assert self.process is not None
            log = (self.folder / f"control-{self.port}.log").read_text()
            assert self.process.poll() is None, f"it ended with {self.process.returncode}\n{log}"
            assert time.monotonic() < deadline, f"it did not {what} in time\n{log}"
            time.sleep(0.05)

    def get(self, path: str, name: str = "alice") -> tuple[int, Any]:
        """Status and body of a GET with this operator's token; status 0 while nobody answers."""
        return request(self.port, "GET", path, TOKENS[name])

    def alerts(self, query: str = "") -> dict[str, str]:
        """State by id, of all alerts."""
        status, body = self.get(f"/v1/alerts?limit=1000{query}")
        assert status == 200, body
        return {shown["id"]: shown["state"] for shown in body["alerts"]}

    def show(self, alert_id: str) -> tuple[int, Any]:
        """Status and body of one alert."""
        return self.get(f"/v1/alerts/{quote(alert_id, safe='')}")

    def act(self, alert_id: str, action: str, reason: str = "", name: str = "alice") -> tuple[int, Any]:
        """Status and body of an operator's action."""
        path = f"/v1/alerts/{quote(alert_id, safe='')}/{action}"
        return request(self.port, "POST", path, TOKENS[name], {"reason": reason})


def request(port: int, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    """Status and decoded body; status 0 while nobody answers."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if token is not None:
        asked.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(asked, data, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, None


def free_port() -> int:
    """A port that nobody has, and that the system gives to no outgoing connection before its server starts."""
    reserved = reserve_free_port()
    reserved.release()
    return reserved.number
