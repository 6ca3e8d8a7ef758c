"""A worker whose rows wait outside of memory: it reads them back for labels, and a replay does the same (rule 36)."""

import pytest

from stream.engine import journal
from stream.engine.lifecycle import TaskState
from stream.engine.protocol import Assigned, Event, FetchRows, Following, Instruction, RowsFetched
from tests.engine.build import FORMAT, plan_that_spills, plan_with_labels
from tests.engine.memory_broker import MemoryBroker, MemoryConnection
from tests.engine.running import Running, state_of, state_of_journal


def lost(memory: MemoryBroker) -> list[int]:
    """The segments that the journal says are lost."""
    records = [journal.decode(value) for value in memory.values(FORMAT.topics.journal) if value is not None]
    return [each.name for record in records for each in record.lost_rows]


def joined(running: Running) -> int:
    """Labels learned by the one task."""
    (slot,) = running.worker.slots
    return slot.task.state.labels_kept.counts.joined


def test_labels_are_learned_from_rows_that_are_read_back(memory: MemoryBroker) -> None:
    """16 rows fit into memory, and 100 labels come up to 100 events late: as many are learned as if all did."""
    other = MemoryBroker(memory.inputs, memory.journal, memory.schemas)
    other.topics |= memory.topics
    whole = Running(other).finish_from_the_start()
    running = Running(memory, plan=plan_that_spills()).finish_from_the_start()

    assert running.count(FetchRows) >= 2
    assert memory.values("app.features")
    assert state_of(running) == state_of_journal(memory, plan_that_spills())
    assert joined(running) == joined(whole) > 90


def test_an_answer_about_other_rows_is_not_taken_for_the_one_that_is_awaited(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that was restored meanwhile is answered what the one before it had asked for, too."""
    perform = MemoryConnection.perform

    def with_a_late_answer(connection: MemoryConnection, instruction: Instruction) -> list[Event]:
        answers = perform(connection, instruction)
        if isinstance(instruction, FetchRows):
            answers.insert(0, RowsFetched(instruction.partition, dict.fromkeys((*instruction.names, 9_999))))
        return answers

    monkeypatch.setattr(MemoryConnection, "perform", with_a_late_answer)
    running = Running(memory, plan=plan_that_spills()).finish_from_the_start()
    assert running.count(FetchRows) >= 2
    assert lost(memory) == []
    assert joined(running) > 90


def test_what_is_replayed_reads_the_same_rows(memory: MemoryBroker) -> None:
    """The next owner, and one who follows the task, stand where the first one stood."""
    first = Running(memory, plan=plan_that_spills()).finish_from_the_start()
    next_owner = Running(memory, plan=plan_that_spills()).finish_from_the_start()
    standby = Running(memory, plan=plan_that_spills())
    standby.tell(Following((0,)))
    while standby.step():
        pass

    assert next_owner.count(FetchRows) >= 2
    assert standby.count(FetchRows) >= 2
    assert state_of(next_owner) == state_of(first)
    (followed,) = standby.worker.standbys
    assert followed.task.state.digest() == state_of(first)


def test_rows_that_are_gone_are_journaled_and_their_labels_teach_nothing(memory: MemoryBroker) -> None:
    """Retention was too short: the task goes on, counts the labels as late, and whoever replays that does the same."""
    running = Running(memory, plan=plan_that_spills())
    memory.gone = set(range(40, 120))
    running.finish_from_the_start()
    (slot,) = running.worker.slots

    assert slot.state is TaskState.RUNNING
    assert lost(memory)
    assert slot.task.state.labels_kept.counts.too_late > 0
    memory.gone = set()  # even where they are there again
    assert state_of(Running(memory, plan=plan_that_spills()).finish_from_the_start()) == state_of(running)
    assert state_of_journal(memory, plan_that_spills()) == state_of(running)


def test_rows_that_are_not_what_was_written_are_gone(memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state knows the digest of every segment."""
    monkeypatch.setattr("tests.engine.memory_broker.RowsFetched", damaged)
    running = Running(memory, plan=plan_that_spills()).finish_from_the_start()

    assert lost(memory)
    assert running.connection.stopped is None


def damaged(partition: int, segments: dict[int, bytes | None]) -> object:
    """The answer, with a bit of each segment turned."""
    turned = {name: None if each is None else each[:-1] + bytes([each[-1] ^ 1]) for name, each in segments.items()}
    return RowsFetched(partition, turned)


def test_a_replay_without_the_rows_that_taught_stops_the_task_and_says_why(memory: MemoryBroker) -> None:
    """Nothing is learned otherwise than the journal says."""
    Running(memory, plan=plan_that_spills()).finish_from_the_start()
    memory.gone = set(range(400))
    other = Running(memory, plan=plan_that_spills())
    other.tell(Assigned((0,)))
    while other.step():
        pass

    assert other.connection.stopped is not None
    assert "retention.ms" in str(other.connection.stopped.error)


def test_without_a_budget_for_ids_nothing_leaves_memory(memory: MemoryBroker) -> None:
    """As it was: no topic of features, and no look at it."""
    running = Running(memory, plan=plan_with_labels()).finish_from_the_start()

    assert running.count(FetchRows) == 0
    assert not memory.values("app.features")
