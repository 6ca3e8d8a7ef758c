"""Describing a group may end the process that does it, and no worker."""

import os
import signal
from collections.abc import Iterator

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.errors import RetriableError
from stream.kafka.admin import Admin, GroupState
from stream.kafka.group_process import GroupProcess
from tests.kafka.conftest import MakeWorker
from tests.kafka.scripted import wait_for


@pytest.fixture
def described(broker: LocalBroker) -> Iterator[GroupProcess]:
    """Of a group that nobody has joined."""
    process = GroupProcess(KafkaSettings("described-by-a-process", "id", broker.bootstrap_servers))
    yield process
    process.close()


def test_a_description_that_ends_its_process_costs_one_answer(
    described: GroupProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As librdkafka does at an outage; the next question starts another process."""
    assert described.group() == GroupState("DEAD", {})
    assert described._process is not None
    os.kill(described._process.pid, signal.SIGABRT)
    described._process.wait()
    assert described.group() == GroupState("DEAD", {})

    os.kill(described._process.pid, signal.SIGABRT)
    described._process.wait()
    monkeypatch.setattr(described._process, "poll", lambda: None)  # it ends only now, in the midst of a question
    with pytest.raises(RetriableError, match="has ended; another one is started"):
        described.group()
    assert described.group() == GroupState("DEAD", {})


def test_a_worker_that_stops_leaves_no_process_behind(described: GroupProcess) -> None:
    """And starts none, whoever still asks."""
    described.group()
    process = described._process
    assert process is not None
    described.close()
    assert process.poll() is not None
    with pytest.raises(RetriableError, match="stopping"):
        described.group()


def test_what_describes_a_group_ends_with_its_worker(described: GroupProcess) -> None:
    """A worker that is killed closes nothing; its end of the pipe goes with it."""
    described.group()
    process = described._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


def test_what_is_described_is_what_the_broker_says(worker: MakeWorker, settings: KafkaSettings) -> None:
    """Members, their clients, and what each has."""
    one = worker()
    admin = Admin(settings)
    wait_for(lambda: admin.group(settings.group_id).state == "STABLE", one)
    process = GroupProcess(settings)
    assert process.group() == admin.group(settings.group_id)
    process.close()
