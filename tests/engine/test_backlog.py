"""The order of events and labels when many of both wait."""

from stream.engine import journal
from stream.engine.protocol import (
    Assigned,
    Event,
    Fetched,
)
from tests.engine.build import (
    FORMAT,
    T0,
    payments,
)
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running


def test_in_a_backlog_labels_are_learned_about_when_they_came(memory: MemoryBroker) -> None:
    """Events and labels that both wait take turns of 100 ms of record time, however large a slice may be."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    for event in running.connection.fetch(1000):
        running.tell(event)
    while running.step(1000):
        pass

    handled: list[journal.Range] = []
    newest = 0
    for value in memory.values(FORMAT.topics.journal):
        assert value is not None
        handled += journal.decode(value).ranges
    for taken in handled:
        work = memory.read(taken.source, taken.first, taken.count)
        assert int(work.timestamps_ms[0]) >= newest - 100
        newest = max(newest, int(work.timestamps_ms[-1]))
    assert len({taken.topic for taken in handled[:4]}) == 2


def without_labels(running: Running) -> list[Event]:
    """What was fetched of the events; the first fetch of the labels is not answered yet."""
    fetched = running.connection.fetch(1000)
    return [event for event in fetched if not isinstance(event, Fetched) or event.batch.topic != LABELS.topic]


def test_events_wait_for_labels_that_were_there_before(memory: MemoryBroker) -> None:
    """Whichever partition's first fetch is answered first: no event is scored before the labels from before it."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    for event in without_labels(running):
        running.tell(event)

    assert not running.worker.has_work(running.now_ms)
    assert running.worker.work(running.now_ms, 1000) == []
    running.tell(Fetched(memory.read(LABELS, 0, 10)))

    assert running.worker.has_work(running.now_ms)


def test_events_do_not_wait_for_ever(memory: MemoryBroker) -> None:
    """Labels whose partition has no leader are given up after a second: predictions go on."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    for event in without_labels(running):
        running.tell(event)

    assert not running.worker.has_work(running.now_ms + 999)
    assert running.worker.has_work(running.now_ms + 1_000)


def test_labels_at_their_end_are_not_waited_for(memory: MemoryBroker) -> None:
    """Once all labels that were there are handled, events go on at once."""
    running = Running(memory)
    running.tell(Assigned((0,)))
    running.finish()
    for number, (key, value) in enumerate(payments(10)):
        memory.append(EVENTS, key, value, T0 + 1_000 + number)

    for event in running.connection.fetch(1000):
        running.tell(event)

    assert running.worker.has_work(running.now_ms)
