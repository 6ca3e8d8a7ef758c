"""The keyed table against a dictionary that forgets by looking at every key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import TaskCorrupted
from stream.kernels import kernel
from stream.kernels.key_table import KeyTable, rows_within, table_bytes
from stream.kernels.pages import PAGE_ROWS
from stream.kernels.table import TableArrays, find, find_or_insert, remove


@kernel
def seen(table: TableArrays, hashes: np.ndarray, times: np.ndarray, rows: np.ndarray, new: np.ndarray) -> None:
    """What a feature kernel does with a batch."""
    for i in range(len(hashes)):
        rows[i], new[i] = find_or_insert(table, hashes[i], times[i])


def fed(table: KeyTable, events: list[tuple[int, int]]) -> list[tuple[int, bool]]:
    """Feed (key, time) pairs as one batch; rows and whether they were new."""
    rows, new = np.empty(len(events), dtype=np.int64), np.empty(len(events), dtype=np.bool_)
    table.reserve(len(events))
    hashes = np.array([key * 0x9E3779B97F4A7C15 % 2**64 for key, _ in events], dtype=np.uint64)
    seen(table.live, hashes, np.array([time for _, time in events], dtype=np.int64), rows, new)
    return list(zip(rows.tolist(), new.tolist(), strict=True))


EVENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=400).map(
    lambda steps: [(key, sum(step for _, step in steps[: i + 1])) for i, (key, _) in enumerate(steps)]
)


def state_of(table: KeyTable) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in table.arrays().items()}


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.sampled_from([None, 5, 40]), st.sampled_from([1, 3, 20, 100]))
def test_a_table_remembers_what_a_dictionary_would(
    events: list[tuple[int, int]], expiry_ms: int | None, max_rows: int
) -> None:
    """New exactly where unknown, expired or evicted; whoever is evicted was unseen for longest."""
    table = KeyTable(table_bytes(max_rows, 8), 8, expiry_ms)
    assert table.max_rows == max_rows
    held: dict[int, tuple[int, int]] = {}  # key: row, last seen
    for key, now in events:
        evictions = table.evictions
        ((row, is_new),) = fed(table, [(key, now)])
        known = held.pop(key, None)
        assert is_new == (known is None or (expiry_ms is not None and now - known[1] > expiry_ms))
        losers = [other for other, (other_row, _) in held.items() if other_row == row]
        for loser in losers:
            if table.evictions > evictions:
                assert held[loser][1] == min(time for _, time in held.values())
            else:
                assert expiry_ms is not None and now - held[loser][1] > expiry_ms
            del held[loser]
        held[key] = (row, now)
        assert table.keys <= max_rows and row < table.rows


@settings(deadline=None, max_examples=40)
@given(EVENTS, st.integers(0, 400), st.sampled_from([None, 40]))
def test_batches_and_restarts_do_not_show(events: list[tuple[int, int]], cut: int, expiry_ms: int | None) -> None:
    """One batch, two batches, or two with a save and load between them: the same rows and the same bytes."""
    whole, parts, saved, loaded = (KeyTable(table_bytes(20, 8), 8, expiry_ms) for _ in range(4))
    expected = fed(whole, events)
    assert fed(parts, events[:cut]) + fed(parts, events[cut:]) == expected
    first = fed(saved, events[:cut])
    loaded.load({name: array.copy() for name, array in saved.arrays().items()})
    assert first + fed(loaded, events[cut:]) == expected
    assert state_of(whole) == state_of(parts) == state_of(loaded)


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
        assert remove(table.live, np.uint64(key * 0x9E3779B97F4A7C15 % 2**64))
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
    key = np.uint64(0x9E3779B97F4A7C15)
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
    with pytest.raises(TaskCorrupted, match="queue must be int64"):
        table.load({name: array for name, array in arrays.items() if name != "queue"})
