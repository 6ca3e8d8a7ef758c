"""The keyed table: what it finds, forgets, marks and refuses. What it makes of any stream: test_growing_table.py."""

import numpy as np
import pytest

from stream.errors import TaskCorrupted
from stream.kernels import kernel
from stream.kernels.key_table import KeyTable, rows_within, table_bytes
from stream.kernels.pages import PAGE_ROWS
from stream.kernels.table import QUEUE_LENGTH, TableArrays, find, find_or_insert, remove


@kernel
def seen(table: TableArrays, hashes: np.ndarray, times: np.ndarray, rows: np.ndarray, new: np.ndarray) -> None:
    """What a feature kernel does with a batch."""
    for i in range(len(hashes)):
        rows[i], new[i] = find_or_insert(table, hashes[i], times[i])


def hash_of(key: int) -> np.uint64:
    return np.uint64(key * 0x9E3779B97F4A7C15 % 2**64)


def fed(table: KeyTable, events: list[tuple[int, int]]) -> list[tuple[int, bool]]:
    """Feed (key, time) pairs as one batch; rows and whether they were new."""
    table.reserve(len(events))
    return fed_where_there_is_room(table, events)


def fed_where_there_is_room(table: KeyTable, events: list[tuple[int, int]]) -> list[tuple[int, bool]]:
    rows, new = np.empty(len(events), dtype=np.int64), np.empty(len(events), dtype=np.bool_)
    hashes = np.array([hash_of(key) for key, _ in events], dtype=np.uint64)
    seen(table.live, hashes, np.array([time for _, time in events], dtype=np.int64), rows, new)
    return list(zip(rows.tolist(), new.tolist(), strict=True))


def state_of(table: KeyTable) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in table.arrays().items()}


def test_growth_keeps_every_key() -> None:
    """From a batch of 100 keys to 5,000 keys in one: each is found where it was put."""
    table = KeyTable(1_000_000, 8)
    first = [row for row, _ in fed(table, [(key, 0) for key in range(100)])]
    rows = [row for row, _ in fed(table, [(key, 0) for key in range(5000)])]
    assert rows[:100] == first
    assert fed(table, [(key, 1) for key in range(5000)]) == [(row, False) for row in rows]


def test_slots_are_replaced_step_by_step() -> None:
    """No batch of 100 keys enters more than 400 rows in the slots to come, and all keys are found on the way."""
    table = KeyTable(10_000_000, 8)
    moved = [0]
    for first in range(0, 40_000, 100):
        rows = fed(table, [(key, 0) for key in range(first, first + 100)])
        assert rows == [(row, True) for row in range(first, first + 100)]
        before, now = moved[-1], int(table.live.moved[0])
        assert now == 0 or now - before == 400
        moved.append(now)
    assert max(moved) > 10_000
    assert fed(table, [(key, 0) for key in range(40_000)]) == [(row, False) for row in range(40_000)]


def test_a_large_batch_after_a_small_one_has_slots() -> None:
    """More slots that are on their way for a small batch may be too few for the next: they are replaced once more."""
    table = KeyTable(100_000_000, 8)
    first = 0
    while len(table.live.next_slots) == 1:
        fed(table, [(key, 0) for key in range(first, first + 100)])
        first += 100
    assert len(table.live.next_slots) < 50_000
    assert fed(table, [(key, 1) for key in range(50_000)]) == [(key, key >= first) for key in range(50_000)]
    assert fed(table, [(key, 2) for key in range(50_000)]) == [(key, False) for key in range(50_000)]


def test_keys_that_come_and_go_while_slots_are_replaced() -> None:
    """Of rows that were entered in the slots to come, some are forgotten and given to other keys: none is lost."""
    table = KeyTable(10_000_000, 8)
    first = 0
    while table.live.moved[0] < 6000:
        fed(table, [(key, 0) for key in range(first, first + 100)])
        first += 100
    for key in range(0, 1000, 2):
        assert remove(table.live, hash_of(key))
    others = fed(table, [(key, 1) for key in range(1_000_000, 1_000_400)])
    assert all(row < 1000 and is_new for row, is_new in others)
    assert 6000 < table.live.moved[0] < first
    while table.live.moved[0]:
        table.reserve(100)
    assert np.count_nonzero(table.live.slots) == table.keys == first - 100
    assert fed(table, [(key, 2) for key in range(1_000_000, 1_000_400)]) == [(row, False) for row, _ in others]
    held = [*range(1, 1000, 2), *range(1000, first)]
    assert fed(table, [(key, 2) for key in held]) == [(key, False) for key in held]


def test_finding_changes_nothing_and_removing_forgets() -> None:
    """find does not count as seen; a removed key is new, in the same row."""
    table = KeyTable(10_000, 8, expiry_ms=10)
    key = hash_of(1)
    assert find(table.live, key, 0) == -1
    fed(table, [(1, 0)])
    before = state_of(table)
    assert [find(table.live, key, now) for now in (0, 10, 11)] == [0, 0, -1]
    assert state_of(table) == before
    assert remove(table.live, key) and not remove(table.live, key)
    assert fed(table, [(2, 1)]) == [(0, True)]


def test_written_rows_are_marked() -> None:
    """A key seen again marks the page of its row, and no other."""
    table = KeyTable(1_000_000, 8)
    fed(table, [(key, 0) for key in range(1000)])
    marks = table.paged.marks
    marks[:] = 0
    fed(table, [(300, 1)])
    assert np.flatnonzero(marks).tolist() == [300 // PAGE_ROWS]


def test_the_budget_holds() -> None:
    """The most rows that fit: one more would not; the overhead is at most 29 bytes a key."""
    for budget in (1_000, 77_777, 10_000_000):
        rows = rows_within(budget, 40)
        assert table_bytes(rows, 40) <= budget < table_bytes(rows + 1, 40)
    assert all(table_bytes(rows, 0) / rows <= 29.1 for rows in (1_000, 65_537, 1_000_000, 11_184_811))
    with pytest.raises(ValueError, match="does not hold one key"):
        KeyTable(10, 8)


def test_a_damaged_state_is_refused() -> None:
    """Entries that do not fit the counts: TaskCorrupted, which says what was expected."""
    table = KeyTable(10_000, 8)
    fed(table, [(1, 0), (2, 0)])
    arrays = table.arrays()
    with pytest.raises(TaskCorrupted, match="do not fit"):
        table.load(arrays | {"entries": arrays["entries"][:1]})
    state = arrays["state"].copy()
    state[QUEUE_LENGTH] = 1000  # of a table with a larger budget
    with pytest.raises(TaskCorrupted, match="1000 queued rows do not fit"):
        table.load(arrays | {"state": state, "queue": np.zeros((1000, 2), np.int64)})
    with pytest.raises(TaskCorrupted, match="queue must be int64"):
        table.load({name: array for name, array in arrays.items() if name != "queue"})
