"""Indexes of ids are replaced by larger ones step by step, and lead to the same ids all the while."""

from collections.abc import Iterator

import numpy as np

from stream.engine import label_table, spilled_table
from stream.engine.label_ids import IdRing
from stream.engine.spilled_rows import SpilledRows

MOST, STEP, HORIZON_MS = 1 << 16, 100, 1000
IDS = 100_003  # of the second test; a prime, so that its steps of 7 meet them all


def test_an_index_of_waiting_ids_is_replaced_while_ids_come_and_go() -> None:
    """At every step each id leads to its newest entry, those that are too old to none; no step enters them all."""
    ring, steps = IdRing(1 << 10, MOST, HORIZON_MS), []
    marks, newest = ring.live.marks, dict[int, int]()
    for first in range(0, 3 * MOST, STEP):
        ids = np.arange(first, first + STEP) // 2 * 2 % 50_000  # each twice, and again later
        before = int(ring.live.moved[0])
        ring.reserve(len(ids))
        steps.append(int(ring.live.moved[0]) - before)
        for event_id in ids.tolist():
            if not label_table.has_entry_room(ring.live):
                ring.grow(len(ids))
            newest[event_id] = label_table.add_entry(ring.live, event_id, 0, label_table.WAITING)[0]
        if first % 1000 == 900:
            for _ in range(300):
                label_table.drop_entry(ring.live)
            for event_id, number in list(newest.items())[:: 1 + len(newest) // 300]:
                known = label_table.number_of(ring.live, event_id)
                assert known == (number if number >= marks[label_table.ENTRY_TAIL] else label_table.EMPTY)
    assert max(steps) <= 4 * STEP + 300 and steps.count(4 * STEP) > 20
    assert len(ring.live.slots) == 2 * MOST


def test_an_index_of_spilled_ids_is_replaced_while_segments_come_and_go() -> None:
    """Likewise; with numbers above 2^31, of which the index has 32 bits."""
    spilled, newest = SpilledRows(HORIZON_MS, 1 << 20), np.full(IDS, -1)  # number by id
    marks, steps = spilled.marks, [0]
    marks[[spilled_table.ID_TAIL, spilled_table.ID_HEAD]] = 2**32 - 30_000  # as if so many had come and gone
    for name, ids in enumerate(_segments()):
        first = int(marks[spilled_table.ID_HEAD])
        spilled.add(name, ids, 0, 0)
        if name % 10 == 9:  # those before may be entered in the index to come already
            for _ in range(3):
                spilled_table.drop_segment(spilled._live)
        newest[ids] = np.arange(first, first + len(ids))
        steps.append(int(spilled._live.moved[0]))
        tail = marks[spilled_table.ID_TAIL]
        came = np.flatnonzero(newest >= 0)
        some = came[:: 1 + len(came) // 200]
        known = np.where(newest[some] >= tail, newest[some], -1)
        assert spilled.look(some).numbers.tolist() == known.tolist()
        assert np.count_nonzero(spilled._live.slots) == np.count_nonzero(newest >= tail)
    moving = np.diff([step for step in steps if step])
    assert (moving == 8 * STEP).sum() > 20
    assert tail > 2**32


def _segments() -> Iterator[np.ndarray]:
    for first in range(0, 150_000, STEP):
        yield np.arange(first, first + STEP) * 7 % IDS
