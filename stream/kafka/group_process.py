"""Describes a group from a process of its own, which may end without harm.

librdkafka (2.16; its issue 4605) aborts the process where a request to a group's coordinator is not answered before its
connection is lost or its time is over, as while a broker is away: of workers that asked every three seconds most ended
at an outage of a minute. A worker that lives through outages does not ask from its own process.
"""

import subprocess
import sys
from contextlib import suppress
from typing import Any

import orjson

from stream.config import KafkaSettings
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin, GroupClient, GroupState

_SERVE = "from stream.kafka.group_process import serve; serve()"


class GroupProcess:
    """Asks for one group; `group` belongs to one thread, `close` to any.

    Args:
        settings: which group, of which brokers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._is_closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def group(self) -> GroupState:
        """The state of the group now; see Admin.group.

        Raises:
            ConfigError: it may not be described.
            RetriableError: no answer, or the process has ended: the next call starts another.
        """
        try:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            answer = orjson.loads(process.stdout.readline())
        except (OSError, ValueError) as error:  # orjson's are ValueErrors: of no line, or half of one
            self.end()
            raise RetriableError("the process that describes the group has ended; another one is started") from error
        if refused := answer.get("refused"):
            raise (ConfigError if answer["is_final"] else RetriableError)(refused)
        return _group(answer)

    def end(self) -> None:
        """End the process; `group` starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(OSError):  # of what could not be written any more
                pipe.close()

    def close(self) -> None:
        """End the process for good; a call that waits for it returns."""
        self._is_closed = True
        self.end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        if self._is_closed:
            raise RetriableError("the worker is stopping")
        # In a session of its own: Ctrl-C is meant for the worker, which ends it.
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(self._settings) + b"\n")
        return process


def _group(answer: dict[str, Any]) -> GroupState:
    members = {name: tuple((topic, number) for topic, number in held) for name, held in answer["members"].items()}
    return GroupState(answer["state"], members, tuple(GroupClient(**client) for client in answer["clients"]))


def serve() -> None:
    """What the process does: a description for each line of its input, until that ends with the worker."""
    settings = KafkaSettings(**orjson.loads(sys.stdin.buffer.readline()))
    admin = Admin(settings)
    while sys.stdin.buffer.readline():
        answer: object
        try:
            answer = admin.group(settings.group_id)
        except (ConfigError, RetriableError) as error:
            answer = {"refused": str(error), "is_final": isinstance(error, ConfigError)}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
