"""The label store: which labels meet their event, whatever the ids are and whatever else comes on the label topic."""

import numpy as np
import pytest

from stream.engine.labels import LabelStore
from stream.records import FeatureBatch, FeatureLayout, Floats, Ints
from tests.engine.build import T0

HOUR_MS = 3_600_000
MANY = 20_000


def store_of(state_bytes: int = 1, horizon_ms: int = HOUR_MS) -> LabelStore:
    """A store of one feature and one score; of a byte it makes the least it can: 1,024 rows."""
    return LabelStore(FeatureLayout(("x",), ()), 0, 1, horizon_ms, state_bytes)


def enter(store: LabelStore, ids: Ints, times_ms: Ints, has_id: bool = True) -> Floats:
    """Register and keep these events; returns the targets that came early."""
    count = len(ids)
    targets, registered = store.register(ids, np.full(count, has_id), times_ms)
    nothing = np.zeros(0, np.int64)
    features = FeatureBatch(np.zeros((count, 1)), np.zeros(count + 1, np.int64), nothing, np.zeros(0))
    offsets = np.arange(count)
    store.keep(registered, features, np.zeros((count, 0), np.int64), np.zeros((count, 1)), offsets, times_ms)
    return targets


def ids_from(first: int, count: int) -> Ints:
    """Consecutive ids."""
    return np.arange(first, first + count)


def times(count: int, at: int = T0) -> Ints:
    """The same time for all."""
    return np.full(count, at, np.int64)


def test_labels_of_unknown_events_push_out_no_event_that_waits() -> None:
    """1,000 events wait; 4,000 labels of another product's events come first; then all 1,000 learn."""
    store = store_of()
    enter(store, ids_from(1, 1000), times(1000))
    store.join(ids_from(1_000_000, 4000), np.ones(4000))

    assert len(store.join(ids_from(1, 1000), np.ones(1000)).targets) == 1000
    counts = store.counts
    assert (counts.joined, counts.too_late, counts.rows_evicted) == (1000, 0, 0)
    assert counts.early == 4000
    assert counts.unknown == 4000 - 256  # a quarter as many early labels as rows are held: the newest


def test_of_early_labels_the_newest_are_held() -> None:
    """A label shortly before its event is learned, however many of unknown events came before."""
    store = store_of()
    enter(store, ids_from(1, 1), times(1))
    store.join(ids_from(1_000_000, 4000), np.ones(4000))
    store.join(ids_from(7, 1), np.ones(1))

    assert enter(store, ids_from(7, 1), times(1)).tolist() == [1.0]
    assert store.counts.early_joined == 1


def test_events_that_make_room_for_others_are_counted_as_evicted() -> None:
    """With room for 1,024 rows the first 976 of 2,000 go: counted once each, and their labels are too late."""
    store = store_of()
    enter(store, ids_from(1, 2000), times(2000))

    assert len(store.join(ids_from(1, 2000), np.ones(2000)).targets) == 1024
    assert (store.counts.rows_evicted, store.counts.too_late) == (976, 976)


@pytest.mark.parametrize(
    "ids",
    [ids_from(1, MANY), ids_from(1, MANY) << 22 | 5 << 12, ids_from(1, MANY) << 40, -ids_from(1, MANY)],
    ids=["sequential", "snowflake", "high bits alone", "negative"],
)
def test_whatever_integers_ids_are_a_look_takes_a_few_steps(ids: Ints) -> None:
    """The runs of used places in the index stay short: the longest of random ids is some 50."""
    store = store_of(1 << 24)
    enter(store, ids, times(MANY))

    assert longest_run(np.not_equal(store._events.live.slots, 0)) < 150
    assert len(store.join(ids, np.ones(MANY)).targets) == MANY


def longest_run(is_used: np.ndarray) -> int:
    """The longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_used.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max())


def test_an_event_at_time_zero_begins_the_streams_time() -> None:
    """A label that came after it is dated by it: five hours later its event is beyond two horizons."""
    store = store_of()
    enter(store, ids_from(1, 1), times(1, 0))
    store.join(ids_from(9, 1), np.ones(1))

    assert np.isnan(enter(store, ids_from(9, 1), times(1, 5 * HOUR_MS))).all()
    assert store.counts.unknown == 1


def test_labels_before_the_first_event_wait_from_its_time_on() -> None:
    """Stream time has not begun when they come: they are not 53 years too old."""
    store = store_of()
    store.join(ids_from(9, 1), np.ones(1))
    enter(store, ids_from(1, 1), times(1))

    assert enter(store, ids_from(9, 1), times(1, T0 + HOUR_MS)).tolist() == [1.0]


def test_events_without_an_id_wait_for_no_label() -> None:
    """They move the stream's time and nothing else: no row, no target, whatever number stands in place of the id."""
    store = store_of()
    store.join(ids_from(0, 1), np.ones(1))
    without = enter(store, np.zeros(3, np.int64), times(3), has_id=False)

    assert np.isnan(without).all()
    assert store.waiting == 0
    assert store.counts.early_joined == 0
    assert len(store.join(ids_from(0, 1), np.ones(1)).targets) == 0


def test_a_saved_store_goes_on_the_same() -> None:
    """Waiting rows, labels that wait, and the counts are all in the arrays."""
    store, loaded = store_of(), store_of()
    enter(store, ids_from(1, 1500), times(1500))
    store.join(ids_from(1_000_000, 300), np.ones(300))

    loaded.load(store.arrays())
    for each in (store, loaded):
        enter(each, ids_from(1_000_200, 200), times(200, T0 + 1))
        each.join(ids_from(700, 800), np.ones(800))

    assert loaded.counts == store.counts
    assert loaded.counts.early_joined == 100
    assert all(np.array_equal(array, store.arrays()[name]) for name, array in loaded.arrays().items())
