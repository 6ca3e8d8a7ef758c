"""The keyed table against a dictionary that forgets by looking at every key, while its slots are replaced."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.kernels import key_table
from stream.kernels.key_table import KeyTable, table_bytes
from stream.kernels.table import FREED, SEEN_MS, remove
from tests.kernels.test_table import fed, fed_where_there_is_room, hash_of, state_of


@pytest.fixture(autouse=True, scope="module")
def slots_that_are_often_replaced() -> Iterator[None]:
    """So that tables of a hundred keys replace their slots several times, and most batches come in the middle of it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(key_table, "_FIRST_ROWS", 2)
        patched.setattr(key_table, "_MOVED_A_KEY", 1)
        yield


@dataclass(frozen=True)
class Step:
    """Every third key of a range, seen in batches of so many at once, or removed; then perhaps a restart."""

    first: int
    count: int
    at_once: int
    apart_ms: int
    is_removal: bool
    is_restart: bool

    @property
    def keys(self) -> list[int]:
        return [self.first + 3 * number for number in range(self.count)]

    def batches(self, begin_ms: int) -> list[list[tuple[int, int]]]:
        events = [(key, begin_ms + number // 8 * self.apart_ms) for number, key in enumerate(self.keys)]
        return [events[at : at + self.at_once] for at in range(0, len(events), self.at_once)]


def steps_of(most: int) -> st.SearchStrategy[list[Step]]:
    """Few or `most` keys at a time. A list of keys would hardly ever be long: Hypothesis draws a handful."""
    return st.lists(
        st.builds(
            Step,
            first=st.integers(0, 99),
            count=st.sampled_from([1, 8, 30, most]),
            at_once=st.sampled_from([1, 3, 10_000]),  # few: slots are replaced a few rows at a time, beside all else
            apart_ms=st.sampled_from([0, 0, 1, 3]),
            is_removal=st.sampled_from([False, False, True]),
            is_restart=st.sampled_from([False, False, True]),
        ),
        min_size=4,
        max_size=20,
    )


EXPIRIES_MS, MOST_ROWS = st.sampled_from([None, 5, 40]), st.sampled_from([1, 3, 50, 5000, 5000, 5000])


def assert_slots_lead_to_rows(table: KeyTable) -> None:
    """To each row with a key; of the slots to come, to those that were entered there."""
    live = table.live
    used = np.flatnonzero(live.entries[: table.rows, SEEN_MS] != FREED)
    assert sorted(live.slots[live.slots != 0] - 1) == used.tolist()
    assert sorted(live.next_slots[live.next_slots != 0] - 1) == used[used < live.moved[0]].tolist()


@settings(deadline=None, max_examples=60)
@given(steps_of(100), EXPIRIES_MS, MOST_ROWS)
def test_a_table_remembers_what_a_dictionary_would(steps: list[Step], expiry_ms: int | None, max_rows: int) -> None:
    """New exactly where unknown, expired or evicted; whoever is evicted was unseen for longest."""
    table = KeyTable(table_bytes(max_rows, 8), 8, expiry_ms)
    assert table.max_rows == max_rows
    held: dict[int, tuple[int, int]] = {}  # key: row, last seen
    now = 0

    def is_over(key: int) -> bool:
        return expiry_ms is not None and now - held[key][1] > expiry_ms

    for step in steps:
        if step.is_removal:
            for key in step.keys:
                assert remove(table.live, hash_of(key)) or key not in held or is_over(key)
                held.pop(key, None)
            continue
        for events in step.batches(now):
            for (key, now), (row, is_new) in zip(events, fed(table, events), strict=True):
                assert is_new == (key not in held or is_over(key))
                for loser in [other for other in held if held[other][0] == row and other != key]:
                    others = [held[other][1] for other in held if other != key and not is_over(other)]
                    assert is_over(loser) or (held[loser][1] == min(others) and len(others) == max_rows)
                    del held[loser]
                held[key] = (row, now)
            assert table.keys <= max_rows and max(row for row, _ in held.values()) < table.rows


@settings(deadline=None, max_examples=100)
@example([Step(0, 40, 1, 0, False, False), Step(1000, 800, 800, 0, False, False)], None, 5000)  # far more than before
@given(steps_of(800), EXPIRIES_MS, MOST_ROWS)
def test_batches_and_restarts_do_not_show(steps: list[Step], expiry_ms: int | None, max_rows: int) -> None:
    """Room for all from the beginning, or for each batch, with saves and loads between: the same rows and bytes."""
    whole, parts = (KeyTable(table_bytes(max_rows, 8), 8, expiry_ms) for _ in range(2))
    whole.reserve(sum(step.count for step in steps))
    now = 0
    for step in steps:
        if step.is_removal:
            for key in step.keys:
                assert remove(parts.live, hash_of(key)) == remove(whole.live, hash_of(key))
        else:
            for events in step.batches(now):
                assert fed(parts, events) == fed_where_there_is_room(whole, events)
                now = events[-1][1]
        if step.is_restart:
            arrays = {name: array.copy() for name, array in parts.arrays().items()}
            parts = KeyTable(table_bytes(max_rows, 8), 8, expiry_ms)
            parts.load(arrays)
        assert state_of(parts) == state_of(whole)
        assert_slots_lead_to_rows(parts)
