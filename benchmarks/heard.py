"""What a process says on stderr while it is measured, and when; and when it writes again."""

import subprocess
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.cluster import PARTITIONS, reader_at_end
from stream.cli.broker.local import LocalBroker

_LOOK_EVERY_S = 0.02
_TOLD_LINES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log."""

    at_s: float  # of time.monotonic
    fields: dict[str, Any]  # of a line of JSON; of any other its text, as `event`


class Heard:
    """The lines of a process whose stderr is a pipe, from its start on.

    Args:
        process: which.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: list[Line] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def said(self, event: str, **fields: object) -> list[Line]:
        """The lines that have this text in them, and these fields."""
        return [
            line
            for line in tuple(self._lines)
            if event in line.fields["event"] and all(line.fields.get(name) == value for name, value in fields.items())
        ]

    def owned(self) -> set[int]:
        """Partitions that a worker has now."""
        held: set[int] = set()
        for line in tuple(self._lines):
            match line.fields["event"]:
                case "partitions gained":
                    held |= set(line.fields["partitions"])
                case "partitions asked back" | "partitions lost":
                    held -= set(line.fields["partitions"])
        return held

    def wait(self, condition: Callable[[], object], what: str, within_s: float) -> None:
        """Wait for what this process says or does."""
        give_up_at = time.monotonic() + within_s
        while not condition():
            self.check_alive(what, give_up_at)
            time.sleep(_LOOK_EVERY_S)

    def check_alive(self, awaited: str, give_up_at: float) -> None:
        """End the benchmark if the process has ended, or it is too late."""
        if self.process.poll() is not None:
            raise SystemExit(f"{awaited}: the process ended with status {self.process.returncode}")
        if time.monotonic() > give_up_at:
            said = "\n".join(str(line.fields) for line in self._lines[-_TOLD_LINES:])
            raise SystemExit(f"{awaited}: not in time. The process said last:\n{said}")

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            at_s = time.monotonic()
            fields = orjson.loads(line) if line.startswith(b"{") else {"event": line.decode(errors="replace")}
            self._lines.append(Line(at_s, fields))


class Absence:
    """Begins now, and ends when partitions of an output have something new.

    Args:
        broker: that has it.
        output: the topic.
    """

    def __init__(self, broker: LocalBroker, output: str) -> None:
        self._reader = reader_at_end(broker, output)
        self.began_s = time.monotonic()
        self.ended_s = 0.0

    def wait(self, heard: Heard, within_s: float, partitions: Collection[int] = range(PARTITIONS)) -> None:
        """Wait until each of these has a new record of this process's."""
        awaited, give_up_at = set(partitions), time.monotonic() + within_s
        while awaited:
            message = self._reader.poll(_LOOK_EVERY_S)
            if message is not None and message.error() is None:
                awaited.discard(message.partition())
            heard.check_alive(f"something new in partitions {sorted(awaited)}", give_up_at)
        self.ended_s = time.monotonic()
        self._reader.close()

    @property
    def seconds(self) -> float:
        """From the beginning to the end."""
        return self.ended_s - self.began_s
