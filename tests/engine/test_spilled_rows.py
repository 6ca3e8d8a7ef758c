"""Rows that leave memory for segments: nothing but memory changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.engine.label_values import JoinedLabels
from stream.engine.labels import LabelStore
from stream.engine.row_segments import Sealed, Segment, decode_segment, digest_of, encode_segment
from stream.engine.rows_at_hand import RowsAtHand
from stream.engine.spilled_rows import SPILLED_ID_BYTES, SpilledRows
from stream.records import FeatureBatch, FeatureLayout, Floats, Ints, SparseGroup
from tests.engine.build import T0

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
LAYOUT = FeatureLayout(("x", "y"), (SparseGroup("words", 0, 1 << 20),))
CHAMPION = ("champion",)
Learned = list[tuple[int, float, int, float, tuple[int, ...]]]
Step = tuple[str, int, int, int, int]


class Keeper:
    """A store with somebody who keeps its segments."""

    def __init__(self, spilled_bytes: int, state_bytes: int = 1, horizon_ms: int = HOUR_MS) -> None:
        self.store = LabelStore(LAYOUT, 1, 1, horizon_ms, state_bytes, spilled_bytes, CHAMPION)
        self.kept: dict[int, bytes] = {}

    def enter(self, ids: Ints, offsets: Ints, times_ms: Ints) -> Floats:
        """Register and keep events whose features follow from their offsets; the sparse ones are 0 to 4."""
        targets, registered = self.store.register(ids, np.ones(len(ids), np.bool_), times_ms)
        x = offsets[:, None].astype(np.float64)
        lengths = offsets % 5
        indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        indices = np.repeat(offsets, lengths) * 7 + np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        batch = FeatureBatch(np.hstack((x, -x)), indptr, indices, indices / 2)
        sealed = self.store.keep(registered, batch, offsets[:, None] * 7, x / 3, offsets, times_ms)
        self.kept |= {each.name: each.content for each in sealed}
        return targets

    def join(self, ids: Ints, at_once: int = 64) -> Learned:
        """Join labels, reading what is missing so many segments at a time."""
        joined: list[JoinedLabels] = []
        at_hand: dict[int, Segment] = {}
        while len(ids):
            ready, names = self.store.missing(ids, at_hand, at_once)
            joined.append(self.store.join(ids[:ready], np.ones(ready), at_hand))
            ids = ids[ready:]
            assert all(digest_of(self.kept[name]) == self.store.digest(name) for name in names)
            at_hand = {name: decode_segment(self.kept[name], CHAMPION) for name in names}
        return [row for each in joined for row in learned(each)]


def learned(joined: JoinedLabels) -> Learned:
    """What was joined: offset, a feature, an input of target means, a score and the sparse features of each."""
    features = joined.features
    return [
        (
            int(offset),
            float(features.dense[row, 1]),
            int(joined.label_inputs[row, 0]),
            float(joined.scores[row, 0]),
            tuple(features.indices[features.indptr[row] : features.indptr[row + 1]].tolist()),
        )
        for row, offset in enumerate(joined.offsets)
    ]


steps = st.lists(
    st.tuples(
        st.sampled_from(["events", "events", "labels"]),
        st.integers(1, 300),  # how many
        st.integers(0, 2000),  # labels: from which event before the last one
        st.integers(0, HOUR_MS // 2),  # events: how much later
        st.integers(1, 3),  # labels: of every which event
    ),
    min_size=4,
    max_size=30,
)


def played(keeper: Keeper, steps: list[Step], cut: int) -> Learned:
    """Events and labels, each step of them cut into so many batches; returns what was learned.

    Every fifth event has the id of the ninth before it, which still waits in memory or left it for this one. Labels
    come again and again.
    """
    found: Learned = []
    offset, now = 0, T0
    for kind, count, back, later, every in steps:
        if kind == "events":
            now += later
            numbers = np.arange(offset, offset + count)
            times = now + (numbers * 7919) % 100_000 - 50_000
            ids = numbers + 1 - 9 * (numbers % 5 == 0)
            for part in np.array_split(np.arange(count), cut):
                keeper.enter(ids[part], numbers[part], times[part])
            offset += count
        else:
            ids = np.arange(max(1, offset - back), offset + 1, every)[:count]
            for part in np.array_split(ids, cut):
                found += keeper.join(part, cut)
    return found


@settings(max_examples=80)
@given(steps, st.integers(1, 5))
def test_what_is_learned_does_not_depend_on_where_rows_wait(steps: list[Step], cut: int) -> None:
    """A store that holds all rows in memory, and one with room for 16: the same rows in the same order."""
    memory, spilling = Keeper(0, 1 << 24), Keeper(1 << 20)

    assert played(spilling, steps, cut) == played(memory, steps, 1)
    assert spilling.store.counts.joined == memory.store.counts.joined
    assert spilling.store.counts.rows_evicted == 0


@pytest.mark.parametrize("between", [0, 8, 100])
def test_a_label_is_learned_once_where_its_event_came_twice(between: int) -> None:
    """By the later of both, whether the earlier one waits in memory then, or outside; nor does it come back for it."""
    keeper = Keeper(1 << 20)
    seven, others = np.array([7]), np.arange(1000, 1100)
    keeper.enter(seven, np.array([0]), np.array([T0]))
    keeper.enter(others[:between], others[:between], np.full(between, T0))
    keeper.enter(seven, np.array([2000]), np.array([T0]))
    assert [row[0] for row in keeper.join(seven)] == [2000]

    keeper.enter(others + 2000, others + 2000, np.full(100, T0))
    assert keeper.join(seven) == []
    assert keeper.store.counts.joined == 1


jumps = st.lists(
    st.tuples(
        st.sampled_from(["events", "events", "labels"]),
        st.integers(1, 80),
        st.integers(0, 400),
        st.integers(0, 4 * HOUR_MS),
        st.integers(1, 3),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=80)
@given(jumps, st.integers(2, 9))
def test_segments_and_state_do_not_depend_on_the_cut_into_batches(steps: list[Step], cut: int) -> None:
    """Whatever the stream's time does: the same bytes in memory, and in the topic."""
    whole, cut_up = Keeper(1 << 20), Keeper(1 << 20)

    assert played(cut_up, steps, cut) == played(whole, steps, 1)
    assert cut_up.kept == whole.kept
    saved = cut_up.store.arrays()
    assert all(np.array_equal(array, saved[name]) for name, array in whole.store.arrays().items())


def test_a_saved_store_goes_on_the_same() -> None:
    """What lies outside, and what of it was learned, is part of the arrays."""
    keeper, loaded = Keeper(1 << 20), Keeper(1 << 20)
    numbers = np.arange(9000)
    keeper.enter(numbers + 1, numbers, T0 + numbers)
    keeper.join(np.arange(1, 9000, 2))

    loaded.store.load({name: array.copy() for name, array in keeper.store.arrays().items()})
    loaded.kept = dict(keeper.kept)
    rests = [each.join(np.arange(1, 9001)) for each in (keeper, loaded)]
    assert rests[0] == rests[1]
    assert len(rests[0]) == 4500
    assert loaded.store.counts == keeper.store.counts
    assert loaded.store.counts.duplicate == 4500


def test_beyond_the_budget_of_ids_the_oldest_segments_go() -> None:
    """Room for 4,096 ids: of 10,000 events the first are dropped, counted once each, and their labels are too late."""
    keeper = Keeper(1)
    numbers = np.arange(10_000)
    keeper.enter(numbers + 1, numbers, T0 + numbers)
    evicted = keeper.store.counts.rows_evicted

    assert 10_000 - 4096 - 16 <= evicted <= 10_000 - 4096 + 300
    assert len(keeper.join(numbers + 1)) == 10_000 - evicted
    counts = keeper.store.counts
    assert (counts.too_late + counts.early, counts.joined) == (evicted, 10_000 - evicted)


def test_a_segment_that_is_lost_makes_its_labels_too_late() -> None:
    """Nothing of it is asked for any more."""
    keeper = Keeper(1 << 20)
    numbers = np.arange(100)
    keeper.enter(numbers + 1, numbers, T0 + numbers)
    first = min(keeper.kept)
    of_it = len(decode_segment(keeper.kept[first], CHAMPION).rows)
    keeper.store.lose(first)

    assert first not in keeper.store.missing(numbers + 1, {}, 64)[1]
    assert [row[0] for row in keeper.join(numbers + 1)] == list(range(of_it, 100))
    assert keeper.store.counts.too_late == of_it


def test_rows_whose_label_came_are_not_written() -> None:
    """Of 16 rows the first 4 are learned from in memory: the segment that they would be in holds the others."""
    keeper = Keeper(1 << 20)
    numbers = np.arange(16)
    keeper.enter(numbers + 1, numbers, T0 + numbers)
    keeper.join(np.arange(1, 5))
    keeper.enter(np.array([17]), np.array([16]), np.array([T0 + 16]))

    assert list(keeper.kept) == [4]
    assert len(decode_segment(keeper.kept[4], CHAMPION).rows) == 4


def test_scores_of_other_models_are_nan_in_rows_of_before() -> None:
    """A segment says whose scores it holds: those that are still there keep theirs, in whatever order."""
    scores = np.array([[0.25, 0.5]]).view(np.int64)
    rows = np.concatenate((np.arange(7, dtype=np.int64)[None, :], scores), axis=1)
    content = encode_segment(Segment(rows, np.zeros((0, 2), np.int64)), ("old", "kept"))

    found = decode_segment(content, ("kept", "new")).rows
    assert found[0, :7].tolist() == list(range(7))
    assert found[0, 7:].view(np.float64)[0] == 0.5
    assert np.isnan(found[0, 8:].view(np.float64)[0])


def test_an_id_outside_of_memory_takes_sixteen_bytes() -> None:
    """Its ring, its bit, its part of the index, and its share of a segment of 300 rows."""
    spilled = SpilledRows(HOUR_MS, int(2**17 * SPILLED_ID_BYTES))
    draw = np.random.default_rng(1)
    for name in range(0, 2**17 - 300, 300):
        spilled.add(name, draw.integers(-(2**63), 2**63 - 1, 300), T0, 0)

    held = sum(array.nbytes for array in spilled.arrays().values()) + spilled.index_bytes
    assert spilled.waiting >= 2**17 - 600
    assert held / spilled.waiting < 17


def test_the_horizon_outside_of_memory_is_that_inside() -> None:
    """Rows leave memory in their order: one that came late stays as long as those before it, wherever it waits."""
    early, late = T0 + 50 * MINUTE_MS, T0
    times = np.concatenate((np.full(30, early), np.full(30, late), [T0 + 70 * MINUTE_MS]))
    numbers = np.arange(len(times))
    memory, spilling = Keeper(0, 1 << 24), Keeper(1 << 20)
    for keeper in (memory, spilling):
        keeper.enter(numbers + 1, numbers, times)
    assert spilling.join(np.arange(31, 41)) == memory.join(np.arange(31, 41))
    assert spilling.store.counts.joined == 10

    last = np.array([len(times)])
    for keeper in (memory, spilling):
        keeper.enter(last + 1, last, np.array([T0 + 111 * MINUTE_MS]))
        assert keeper.join(np.arange(1, 61)) == []
        assert keeper.store.counts.too_late == 50


def test_what_was_sealed_is_at_hand_until_it_can_be_read() -> None:
    """Nobody reads a segment before its cycle is committed: that is known when the one behind it is closed."""
    keeper, rows = Keeper(1 << 20), RowsAtHand(CHAMPION)
    keeper.enter(np.arange(1, 18), np.arange(17), T0 + np.arange(17))
    ((name, content),) = keeper.kept.items()
    rows.seal([Sealed(name, content)])

    assert list(rows.segments) == [name]
    rows.end_cycle()
    assert list(rows.segments) == [name]  # its commit is under way
    rows.end_cycle()
    assert list(rows.segments) == []
    rows.put(name, content)
    assert list(rows.segments) == [name]
    for other in range(1000, 1200):
        rows.put(other, content)
    assert len(rows.segments) == 128


def test_rows_outside_of_memory_are_kept_where_a_model_is_added() -> None:
    """In memory and outside: features and the old model's score are those of before, the new one's is NaN."""
    keeper = Keeper(1 << 20)
    numbers = np.arange(100)
    keeper.enter(numbers + 1, numbers, T0 + numbers)
    both = ("new", "champion")
    wider = LabelStore(LAYOUT, 1, 2, HOUR_MS, 1, 1 << 20, both)
    wider.take_over(keeper.store.arrays(), np.array([-1, 0]))

    _, names = wider.missing(numbers + 1, {}, 64)
    found = wider.join(numbers + 1, np.ones(100), {name: decode_segment(keeper.kept[name], both) for name in names})
    assert found.offsets.tolist() == numbers.tolist()
    assert found.features.dense[:, 0].tolist() == numbers.tolist()
    assert found.scores[:, 1].tolist() == (numbers / 3).tolist()
    assert np.isnan(found.scores[:, 0]).all()
