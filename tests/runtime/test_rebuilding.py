"""A task is rebuilt beside its worker from what its topics still have; with a scripted consumer."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from stream.engine.protocol import FindTask, TaskFound
from stream.errors import TaskCorrupted
from stream.runtime import rebuilding
from stream.runtime.rebuilding import Rebuilder
from stream.runtime.settings import Settings
from tests.engine.build import plan_with_labels
from tests.engine.conftest import memory
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, Running

__all__ = ["memory"]


class Expired:
    """A consumer whose events are gone from the topic; it goes on with what the first one says."""

    def __init__(self) -> None:
        gone = KafkaError(KafkaError._AUTO_OFFSET_RESET, "offset is out of range")
        self.ready = [Message(topic=EVENTS.topic, partition=EVENTS.partition, offset=0, error=gone)]

    def poll(self, timeout_s: float) -> Message | None:
        """What is gone, once; then nothing."""
        return self.ready.pop() if self.ready else None

    def consume(self, records: int, timeout_s: float) -> list[Message]:
        """Nothing more."""
        return []

    def close(self) -> None:
        """Nothing follows."""

    def __getattr__(self, name: str) -> Any:
        """Assigning, pausing, resuming and seeking: nothing follows."""
        return lambda *_: None


def test_a_record_that_is_gone_ends_a_rebuilding_at_once_with_the_reason(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after half a minute of silence, and not with "try again", which would never help."""
    running = Running(memory).finish_from_the_start()
    (found,) = running.connection.perform(FindTask(0))
    assert isinstance(found, TaskFound)
    monkeypatch.setattr(rebuilding, "make_client", lambda *_: Expired())
    monkeypatch.setattr(rebuilding, "_SILENCE_S", 2.0)
    with pytest.raises(TaskCorrupted, match=r"payments\[0\]: offset 0 is not in the log .*Retention removed records"):
        Rebuilder(plan_with_labels(), Settings()).rebuild(found)
