"""A stop that no broker answers ends by itself, before a service manager loses its patience."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.errors import RetriableError
from stream.kafka.broker_probe import BrokerProbe
from stream.runtime import stopping
from stream.runtime.stopping import StopLimit
from tests.runtime.waiting import wait_until


class Probe(BrokerProbe):
    """Silent for as long as a test says."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_closed = False

    def close(self) -> None:
        """It has nothing to close."""
        self.is_closed = True

    @property
    def silent_for_s(self) -> float:
        """What was said."""
        return self.seconds


@pytest.fixture
def hanging_broker() -> Iterator[str]:
    """A listener that takes connections and never answers, as Kafka does under SIGSTOP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_stop_waits_while_a_broker_answers() -> None:
    """For however long its last commit and snapshot take."""
    probe = Probe()
    limit = StopLimit(probe, end=lambda _: pytest.fail("nobody gave up"))
    for seconds in (0.0, 7.9, 0.3, 7.9):
        probe.seconds = seconds
        limit.check()
    limit.over()
    assert probe.is_closed


def test_a_stop_that_nobody_answers_gives_up_and_ends_whatever_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """First by an error; where closing hangs, the process ends with the same words."""
    monkeypatch.setattr(stopping, "_CLOSE_WITHIN_S", 0.05)
    probe, ended = Probe(), threading.Event()
    limit = StopLimit(probe, end=lambda status: ended.set() if status == 1 else None)
    probe.seconds = 8.0
    with pytest.raises(RetriableError, match="without a last commit: no broker has answered for 8 s"):
        limit.check()
    limit.check()  # inside a callback that still runs: said once
    assert ended.wait(60)


def test_a_stop_that_closed_in_time_ends_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left that would end the process."""
    monkeypatch.setattr(stopping, "_CLOSE_WITHIN_S", 0.2)
    probe, ended = Probe(), threading.Event()
    limit = StopLimit(probe, end=lambda _: ended.set())
    probe.seconds = 8.0
    with pytest.raises(RetriableError):
        limit.check()
    limit.over()
    assert not ended.wait(0.5)


@pytest.mark.slow
def test_a_broker_that_hangs_is_silent(hanging_broker: str) -> None:
    """Its connection stays up: the silence counts from the beginning."""
    probe = BrokerProbe(KafkaSettings("group", "id", hanging_broker))
    wait_until(lambda: probe.silent_for_s > 3.0, "silence", limit_s=60)


def test_a_broker_that_answers_is_not_silent(broker: LocalBroker) -> None:
    """Asked again and again, each answer begins anew."""
    now_s = [0.0]
    probe = BrokerProbe(KafkaSettings("group", "id", broker.bootstrap_servers), clock=lambda: now_s[0])
    for at_s in (10.0, 20.0):
        now_s[0] = at_s
        wait_until(lambda: probe.silent_for_s == 0.0, "an answer", limit_s=60)


def test_a_probe_that_is_closed_leaves_no_thread_to_answer(broker: LocalBroker) -> None:
    """An answer that came when the interpreter was gone ended workers with SIGSEGV, whose stop had gone well."""
    before = background_threads()
    probe = BrokerProbe(KafkaSettings("group", "id", broker.bootstrap_servers))
    assert len(background_threads() - before) == 1
    question = probe._question

    probe.close()
    assert question.done()
    assert background_threads() <= before


def background_threads() -> set[str]:
    """Threads in which librdkafka calls Python."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # one of a test before, which ends meanwhile
            if (task / "comm").read_text() == "rdk:bg\n":
                found.add(task.name)
    return found
