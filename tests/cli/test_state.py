"""What `stream state` says of tasks, without a broker."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from stream import col
from stream.app import compile_app, compile_stages
from stream.cli.state import opening, verifying
from stream.cli.state.comparing import Difference, differences
from stream.cli.state.holdings import Position, as_object, bytes_by_part, holdings_of, members_by_partition
from stream.cli.state.tables import PARTS, print_holdings
from stream.engine import journal
from stream.engine.journal import JournalRecord
from stream.engine.label_table import JOINED
from stream.engine.labels import rows_waiting
from stream.engine.plan import Plan
from stream.engine.protocol import Assigned, FindTask, TaskFound
from stream.engine.slot import Slot
from stream.engine.snapshot import Checkpoint
from stream.engine.state import LearnedState
from stream.engine.task import Task
from stream.errors import TaskCorrupted
from stream.records import Array
from stream.runtime.settings import Settings
from tests.cli.commands import run
from tests.engine.build import FORMAT, T0, declare, plan_with_labels
from tests.engine.conftest import memory
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running
from tests.runtime.staged_app import declare_staged

__all__ = ["memory"]

PLAN = plan_with_labels()


class MemoryRebuilder:
    """Rebuilds tasks from a broker in memory, as stream.runtime.rebuilding does from a real one."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def rebuild(self, found: TaskFound) -> Slot:
        """Load, and replay."""
        slot = Slot(Task(PLAN, found.partition, 0, FORMAT), 0)
        for source, offset in slot.begin(found, "earliest", T0).items():
            slot.enqueue(self._broker.read(source, offset, 100_000), T0)
        while slot.state.value == "restoring":
            slot.handle(T0, 1_000)
        return slot


def found_after(memory: MemoryBroker, snapshot_interval_ms: int) -> TaskFound:
    """What is remembered of a task after a crash, with the snapshots that it took so often."""
    running = Running(memory, snapshot_interval_ms=snapshot_interval_ms).finish_from_the_start()
    (found,) = running.connection.perform(FindTask(0))
    assert isinstance(found, TaskFound)
    return found


def found_in_the_middle(memory: MemoryBroker) -> TaskFound:
    """The same after a crash with two snapshots, and cycles before, between and behind them."""
    running = Running(memory, snapshot_interval_ms=6)
    running.tell(Assigned((0,)))
    while running.step():
        (found,) = running.connection.perform(FindTask(0))
        assert isinstance(found, TaskFound)
        cycles = [each.cycle for each in found.checkpoints]
        if len(cycles) == 2 and 1 < cycles[1] < cycles[0] < cycles_of(found)[-1].cycle:
            return found
    raise AssertionError("there was no such moment")


def verify(memory: MemoryBroker, found: TaskFound, wanted: str = "", digest: str = PLAN.digest) -> verifying.Verified:
    """Verify it."""
    rebuilder: Any = MemoryRebuilder(memory)
    return verifying.verify_task(found, digest, wanted, rebuilder)


def cycles_of(found: TaskFound) -> list[JournalRecord]:
    """Its journal."""
    return [journal.decode(value) for value in found.journal]


# --- verify ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("damaged", "status"), [((), 0), (("a chunk is gone",), 1)])
def test_a_newer_snapshot_that_is_damaged_is_told(
    memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch, damaged: tuple[str, ...], status: int
) -> None:
    """The one before it is whole, and identical: that is not all well."""
    verified = replace(verify(memory, found_after(memory, 6)), damaged=damaged)
    monkeypatch.setattr(verifying, "verify", lambda *_: [verified])
    monkeypatch.setattr(opening, "open_app", lambda *_: SimpleNamespace(chosen_stages=lambda stage: []))
    done = run("state", "verify", "shop:app")
    assert done.exit_code == status
    assert done.stdout.splitlines()[:-1] == [f"partition 0: damaged: {text}" for text in damaged]
    assert "partition 0: identical" in done.stdout


def test_a_task_is_rebuilt_up_to_the_very_cycle_of_its_snapshot(memory: MemoryBroker) -> None:
    """From the beginning, and from the older snapshot: cycles behind the newest one are left out, and all is equal."""
    found = found_in_the_middle(memory)
    newest, older = found.checkpoints
    records = {True: 0, False: 0}
    for record in cycles_of(found):
        if record.cycle <= newest.cycle:
            records[record.cycle > older.cycle] += sum(item.count for item in record.ranges)

    whole = verify(memory, found)
    part = verify(memory, found, verifying.SNAPSHOT)

    assert (whole.is_identical, whole.rebuilt_from, whole.first) == (True, verifying.BEGINNING, 1)
    assert (whole.last, whole.records) == (newest.cycle, records[True] + records[False])
    assert (part.is_identical, part.rebuilt_from, part.first) == (True, verifying.SNAPSHOT, older.cycle + 1)
    assert (part.last, part.records) == (newest.cycle, records[True])


def test_a_snapshot_that_is_not_that_of_its_journal_is_different(memory: MemoryBroker) -> None:
    """One bit of one weight is turned: the array and the row are named."""
    found = found_after(memory, 4)
    newest, older = found.checkpoints
    weights = newest.arrays["model/champion/weights"].copy()
    weights.view(np.uint8)[1, 0] ^= 1
    changed = replace(newest, arrays={**newest.arrays, "model/champion/weights": weights})
    told = verify(memory, replace(found, checkpoints=(changed, older)))
    assert not told.is_identical
    assert [(each.array, each.row) for each in told.differences] == [("model/champion/weights", 1)]
    assert "DIFFERENT: rebuilt from the beginning, cycles 1 to" in verifying.lines(told)[0]


def test_what_cannot_be_verified_says_why(memory: MemoryBroker) -> None:
    """No snapshot, a trimmed journal with one snapshot, retention passed, another version: none is identical."""
    found = found_after(memory, 4)
    newest, older = found.checkpoints
    trimmed = replace(found, journal=found.journal[older.cycle - 1 :])

    def problem(of: TaskFound, wanted: str = "", digest: str = PLAN.digest) -> str:
        told = verify(memory, of, wanted, digest)
        assert not told.is_identical
        return told.problem

    assert "no snapshot yet" in problem(replace(found, checkpoints=()))
    assert "chunk is gone" in problem(replace(found, checkpoints=(), damaged=("chunk is gone",)))
    assert "it has not begun" in problem(replace(found, checkpoints=(), journal=()))
    assert f"begins at cycle {older.cycle}" in problem(trimmed, verifying.BEGINNING)
    only_one = problem(replace(trimmed, checkpoints=(newest,)))
    assert f"begins at cycle {older.cycle}" in only_one
    assert "no usable snapshot before the newest one" in only_one
    gone = replace(found, beginnings={**found.beginnings, EVENTS: 10})
    assert "payments begins at offset 10, and the journal at 0" in problem(gone, verifying.BEGINNING)
    assert "written by another version" in problem(found, digest="of another version")
    # What is left is taken where nobody said from where.
    left = verify(memory, trimmed)
    assert (left.rebuilt_from, left.is_identical, left.first) == (verifying.SNAPSHOT, True, older.cycle + 1)


def test_a_rebuild_that_fails_is_told_as_a_finding(memory: MemoryBroker) -> None:
    """The journal names records that the topic does not have: no exception, and nothing is identical."""
    found = found_after(memory, 4)

    class Failing(MemoryRebuilder):
        def rebuild(self, found: TaskFound) -> Slot:
            raise TaskCorrupted("records were deleted")

    rebuilder: Any = Failing(memory)
    told = verifying.verify_task(found, PLAN.digest, "", rebuilder)
    assert (told.is_identical, told.problem) == (False, "records were deleted")
    assert "could not be rebuilt from the beginning" in verifying.lines(told)[0]


# --- comparing -------------------------------------------------------------------------------------------------------


def test_an_error_of_a_task_names_its_stage_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partition 3 is in each of them."""

    class Remembered:
        def __enter__(self) -> None:
            raise TaskCorrupted("partition 3: its journal is damaged")

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(opening, "RememberedTasks", lambda *_: Remembered())
    alone = opening.OpenedStage(PLAN, Settings(), cast("Any", None), "")
    for stage, said in ((replace(alone, name="entry"), "stage entry: partition 3"), (alone, "partition 3")):
        with pytest.raises(TaskCorrupted, match=f"^{said}: its journal"), stage.tasks():
            pass


def test_states_are_compared_bit_for_bit() -> None:
    """NaN equals itself with the same payload alone, 0.0 is not -0.0; shapes, types and missing arrays are told."""
    same = {"nan": np.array([np.nan]), "scalar": np.array(3), "empty": np.zeros((0, 2)), "rows": np.zeros((3, 2))}
    assert differences(same, {name: array.copy() for name, array in same.items()}) == ()
    payload = np.array([0x7FF8000000000123], np.uint64).view(np.float64)
    rows = np.array([[0.0, 0.0], [0.0, -0.0], [1.0, 0.0]])
    found = differences(same, {"nan": payload, "scalar": np.array(3.0), "rows": rows, "more": np.zeros(1)})
    assert [(each.array, each.row) for each in found] == [
        ("empty", None), ("more", None), ("nan", 0), ("rows", 1), ("scalar", None)
    ]  # fmt: skip
    assert found[0].text == "is there only in the snapshot"
    assert found[3] == Difference("rows", 1, "row 1 is [0. 0.] in the snapshot, [ 0. -0.] rebuilt")


# --- show ------------------------------------------------------------------------------------------------------------


def test_what_a_task_holds_is_that_of_its_newest_snapshot(memory: MemoryBroker) -> None:
    """Keys and bytes of the snapshot, cycles of the journal, lag of every input, and who has the partition."""
    found = found_after(memory, 4)
    newest, older = found.checkpoints
    now_ms = newest.created_ms + 90_000
    found = replace(found, ends={EVENTS: 450, LABELS: 100}, damaged=("one was damaged",))
    held = holdings_of(found, PLAN, "worker-1", now_ms)
    assert held.keys == len({key for key in keys_of(memory, newest) if key is not None})
    assert held.bytes_in_all == sum(array.nbytes for array in newest.arrays.values())
    assert held.bytes.keys() >= {"features", "labels", "model/champion", "evaluation"}
    assert [(each.cycle, each.age_s, each.is_of_this_app) for each in held.snapshots] == [
        (newest.cycle, 90.0, True),
        (older.cycle, (now_ms - older.created_ms) / 1000, True),
    ]
    assert held.journal is not None
    assert (held.journal.first, held.journal.last) == (1, cycles_of(found)[-1].cycle)
    assert held.positions == (Position("payments", 400, 450, 50), Position("chargebacks", 100, 100, 0))
    assert (held.worker, held.damaged) == ("worker-1", ("one was damaged",))


def keys_of(memory: MemoryBroker, checkpoint: Checkpoint) -> set[bytes | None]:
    """Record keys, which are the cards, of the events up to a checkpoint."""
    return {record.key for record in memory.topics[EVENTS][: checkpoint.next_offsets[EVENTS]]}


def test_lag_follows_the_journal_where_the_group_has_forgotten(memory: MemoryBroker) -> None:
    """And counts from the beginning of a topic where there is no journal either."""
    found = found_after(memory, 1_000_000)
    forgotten = holdings_of(replace(found, committed={}), PLAN, "", T0)
    assert [(each.committed, each.lag) for each in forgotten.positions] == [(None, 0), (None, 0)]
    new = replace(found, committed={}, journal=(), beginnings={EVENTS: 30, LABELS: 0})
    held = holdings_of(new, PLAN, "", T0)
    assert (held.journal, [each.lag for each in held.positions]) == (None, [370, 100])


def test_holdings_are_told_with_what_is_wrong(memory: MemoryBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain lines: damaged snapshots, a missing one, another version, events that wait for labels."""
    found = found_after(memory, 4)
    fine = holdings_of(found, PLAN, "shop-0@desk /127.0.0.1 id", found.checkpoints[0].created_ms + 7_300_000)
    bad = holdings_of(replace(found, partition=1, checkpoints=(), damaged=("its checksum",)), changed(), "", T0)
    print_holdings([replace(fine, bytes={**fine.bytes, "dreams": 7}), bad])
    told = capsys.readouterr().out
    assert "2 h ago" in told
    assert re.search(r" shop-0@desk$", told, re.MULTILINE)
    assert re.search(r"^features: [\d,]+ bytes, keyed statistics, windows, categories$", told, re.MULTILINE)
    assert re.search(r"^model/champion: [\d,]+ bytes, what a model has learned$", told, re.MULTILINE)
    assert "dreams: 7 bytes, a part of another release" in told
    assert "partition 1: damaged: its checksum" in told
    assert "partition 1: no usable snapshot: a restart replays all of its journal" in told
    assert "partition 1: its last cycle was written by another version" in told
    assert "events wait for their label" in told


def changed() -> Plan:
    """The app with another definition of one feature, which its model reads, and another feature more."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.declared["spend"] = col("amount").sum("2m")
    app.event_stream.features(most=col("amount").max("1m"))
    return compile_app(app, {})


def test_rule_5_parts_that_a_changed_app_begins_anew_are_said(
    memory: MemoryBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it starts, and while the old one runs: by name, and that the rest stays."""
    found = found_after(memory, 4)
    held = holdings_of(found, changed(), "", T0)
    assert held.anew == ("features/spend", "features/most", "model/champion", "monitor/0", "labels")
    assert as_object(held)["start_anew"] == list(held.anew)
    print_holdings([held])
    assert f"when this one starts, {', '.join(held.anew)} begin anew, and all else keeps its state" in (
        capsys.readouterr().out
    )
    larger = compile_app(declare(of_events={"state_bytes": 1 << 24}), {})
    print_holdings([holdings_of(found, PLAN, "", T0), holdings_of(found, larger, "", T0)])
    told = capsys.readouterr().out
    assert told.count("when this one starts, all keeps its state") == told.count("when this one starts") == 1


def test_what_waits_for_a_label_is_what_has_none(memory: MemoryBroker) -> None:
    """A row that was learned from stays until its horizon, and waits for nothing."""
    found = found_after(memory, 4)
    store = found.checkpoints[0].arrays
    rows = rows_waiting(store["labels/marks"])
    joined = int(store["labels/marks"][JOINED])
    assert joined > 20
    assert holdings_of(found, PLAN, "", T0).labels_waiting <= rows - joined


def test_every_part_is_explained() -> None:
    """Of an app with all that has state: labels, models, monitors, and stages."""
    states = [LearnedState(plan) for plan in (PLAN, *compile_stages(declare_staged("x"), {}, 2))]
    parts = {part.partition("/")[0] for state in states for part in bytes_by_part(state.arrays())}
    assert parts == PARTS.keys()


def test_parts_and_members_are_told_by_name() -> None:
    """A model and a monitor each for themselves; a member by the partitions of the event topic alone."""
    arrays: dict[str, Array] = {
        "model/a/w": np.zeros(2), "model/b/w": np.zeros(1), "monitor/0/x": np.zeros(1), "features/k": np.zeros(3)
    }  # fmt: skip
    assert bytes_by_part(arrays) == {"features": 24, "model/a": 16, "model/b": 8, "monitor/0": 8}
    members = {"one": [("payments", 0), ("other", 1)], "two": [("payments", 2)]}
    assert members_by_partition(members, "payments") == {0: "one", 2: "two"}
