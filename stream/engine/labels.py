"""Labels meet the features of their prediction here (the label join)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.engine import label_table as table
from stream.engine.label_ids import ID_CELLS, IdRing, moved
from stream.errors import TaskCorrupted
from stream.kernels.pages import Paged, new_pages
from stream.records import Array, Bools, FeatureBatch, FeatureLayout, Floats, Ints

# Rings start small and double: most tasks of a test hold a few rows, a fraud desk's holds millions.
_FIRST_ROWS = 1024
# Share of the budget for sparse entries where there are sparse features; the rest is rows and ids.
_SPARSE_SHARE = 0.4
# An id is remembered for two horizons (to tell too late from unknown), a row for one.
_ENTRIES_PER_ROW = 2
# A label that comes before its event is the exception. They have a ring of their own: in one with the events' ids,
# labels of events that never come, of another product say, would push out events that wait.
_ROWS_PER_EARLY = 4


@dataclass(frozen=True, slots=True)
class Registered:
    """Events that were entered and are to be kept."""

    numbers: Ints  # (n,): of their rows; -1 where the label was there already, and where there is no id
    stream_times_ms: Ints  # (n,): the stream's time at each


@dataclass(frozen=True, slots=True)
class JoinedLabels:
    """Labels that met their features, in the order of the labels: what there is to learn."""

    rows: Ints  # (n,): which of the labels
    features: FeatureBatch
    label_inputs: Ints  # (n, a): what target means need
    targets: Floats  # (n,)
    scores: Floats  # (n, scores): at prediction time
    offsets: Ints  # (n,): of the events
    times_ms: Ints  # (n,): of the events


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What became of labels since the task began."""

    joined: int  # learned when they came
    early: int  # came before their event
    early_joined: int  # of those, learned with their event
    duplicate: int  # a label of that event was there already: the first one wins
    too_late: int  # the event's row was dropped before (horizon or budget): not learned
    unknown: int  # early, and no event came within two horizons (or the budget): not learned
    rows_evicted: int  # rows dropped for the budget, before their horizon


def waiting_row_bytes(dense: int, label_inputs: int, scores: int) -> int:
    """What an event that waits for its label takes, index included; each of its sparse features takes 16 more.

    Args:
        dense: number of dense features.
        label_inputs: numbers that target means need.
        scores: of all models.
    """
    id_cells = _ENTRIES_PER_ROW * ID_CELLS + ID_CELLS // _ROWS_PER_EARLY
    return 8 * (_width(dense, label_inputs, scores) + id_cells)


def _width(dense: int, label_inputs: int, scores: int) -> int:
    return table.ROW_HEAD_CELLS + dense + label_inputs + scores


class LabelStore:
    """Feature rows kept from prediction until the label comes, up to a horizon and a byte budget.

    A label that comes first is kept and learned with its event. Of two labels of an event the first wins. Events with
    the same id: the label goes to the later one. Ids are integers, or 64-bit hashes. Time is the partition's stream
    time.
    """

    def __init__(
        self, layout: FeatureLayout, label_inputs: int, scores: int, horizon_ms: int, state_bytes: int
    ) -> None:
        self._dense = len(layout.dense)
        self._label_inputs = label_inputs
        self._scores = scores
        width = _width(self._dense, label_inputs, scores)
        has_sparse = layout.sparse_size > 0
        row_bytes = waiting_row_bytes(self._dense, label_inputs, scores)
        max_rows = max(_FIRST_ROWS, int(state_bytes * (1 - _SPARSE_SHARE if has_sparse else 1)) // row_bytes)
        max_sparse = max(_FIRST_ROWS, int(state_bytes * _SPARSE_SHARE) // 16) if has_sparse else 1
        self._events = IdRing(_FIRST_ROWS * _ENTRIES_PER_ROW, max_rows * _ENTRIES_PER_ROW, horizon_ms)
        self._early = IdRing(_FIRST_ROWS // _ROWS_PER_EARLY, max_rows // _ROWS_PER_EARLY, horizon_ms)
        self._marks[table.MAX_ROWS] = max_rows
        self._marks[table.MAX_SPARSE] = max_sparse
        self._set_rows(
            np.zeros((_FIRST_ROWS, width), np.int64), np.zeros((_FIRST_ROWS if has_sparse else 1, 2), np.int64)
        )

    @property
    def _marks(self) -> Ints:
        """Those of rows and sparse entries stand with the events'."""
        return self._events.live.marks

    def register(self, ids: Ints, has_id: Bools, times_ms: Ints) -> tuple[Floats, Registered]:
        """Enter events (n,) before they are scored: targets (n,) where a label came early, NaN elsewhere.

        Events without an id move the stream's time, and that is all. Follow it by `keep` with the same events, before
        any other call.
        """
        targets = np.full(len(ids), np.nan)
        numbers = np.where(has_id, 0, table.NO_ROW)
        bits = targets.view(np.int64)
        table.meet_early(self._early.live, ids, times_ms, bits, numbers)
        stream_times, done = times_ms.copy(), 0
        while True:
            done = table.register(self._events.live, ids, stream_times, numbers, done)
            if done == len(ids):
                return targets, Registered(numbers, stream_times)
            self._events.grow()

    def keep(
        self,
        registered: Registered,
        features: FeatureBatch,
        label_inputs: Ints,
        scores: Floats,
        offsets: Ints,
        times_ms: Ints,
    ) -> None:
        """Keep the rows of registered events until their labels come.

        Args:
            registered: what `register` returned for these events.
            features: raw features of the n events.
            label_inputs: (n, a) what target means need.
            scores: (n, s) of all models.
            offsets: (n,) of the events.
            times_ms: (n,) event times.
        """
        waits = registered.numbers >= 0
        incoming = np.zeros((len(offsets), self._rings.rows.shape[1]), np.int64)
        incoming[:, table.ROW_STREAM_TIME] = registered.stream_times_ms
        incoming[:, table.ROW_OFFSET] = offsets
        incoming[:, table.ROW_TIME] = times_ms
        incoming[:, table.ROW_SPARSE_START] = features.indptr[:-1]
        incoming[:, table.ROW_SPARSE_END] = features.indptr[1:]
        after = table.ROW_HEAD_CELLS + self._dense
        incoming[:, table.ROW_HEAD_CELLS : after] = features.dense.view(np.int64)
        incoming[:, after : after + self._label_inputs] = label_inputs
        incoming[:, after + self._label_inputs :] = scores.view(np.int64)
        sparse = np.stack((features.indices, features.values.view(np.int64)), axis=1)
        incoming, done = incoming[waits], 0
        while (done := table.keep(self._rings, self._marks, incoming, sparse, done)) < len(incoming):
            self._grow_rows()

    def join(self, ids: Ints, targets: Floats) -> JoinedLabels:
        """Join labels (n,), in order; what is not learned now is counted (see `counts`)."""
        numbers = np.empty(len(ids), np.int64)
        table.join(self._events.live, self._rings.rows, ids, numbers)
        bits, done = np.ascontiguousarray(targets).view(np.int64), 0
        while True:
            done = table.keep_early(self._early.live, ids, bits, numbers, done)
            if done == len(ids):
                break
            self._early.grow()
        learned = np.flatnonzero(numbers >= 0)
        return self._joined(learned, numbers[learned], targets[learned])

    @property
    def counts(self) -> LabelCounts:
        """What became of labels so far."""
        marks = self._events.live.marks + self._early.live.marks
        return LabelCounts(
            joined=int(marks[table.JOINED]),
            early=int(marks[table.EARLY_KEPT]),
            early_joined=int(marks[table.EARLY_JOINED]),
            duplicate=int(marks[table.DUPLICATE]),
            too_late=int(marks[table.TOO_LATE]),
            unknown=int(marks[table.UNKNOWN]),
            rows_evicted=int(marks[table.ROWS_EVICTED]),
        )

    @property
    def waiting(self) -> int:
        """Rows held."""
        return rows_waiting(self._marks)

    @property
    def state_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, Array]:
        """The store's state by name, live. The indexes are not: they follow from the entries."""
        events, early = self._events.live, self._early.live
        return {
            "entries": events.entries,
            "marks": events.marks,
            "early_entries": early.entries,
            "early_marks": early.marks,
            "rows": self._rings.rows,
            "sparse": self._rings.sparse,
        }

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages."""
        rings = self._rings
        return {
            "entries": self._events.paged,
            "early_entries": self._early.paged,
            "rows": Paged(rings.rows, rings.row_pages, len(rings.rows)),
            "sparse": Paged(rings.sparse, rings.sparse_pages, len(rings.sparse)),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take over saved state; raises TaskCorrupted if it is of another shape.

        Snapshots of format 1 have the indexes too; they are made anew.
        """
        for name, array in self.arrays().items():
            saved = arrays.get(name)
            if saved is None or saved.ndim != array.ndim or saved.shape[1:] != array.shape[1:]:
                raise TaskCorrupted(f"saved labels do not fit this app: array {name}")
        limits = slice(table.HORIZON, table.MAX_SPARSE + 1)
        for name, ring in (("marks", self._events), ("early_marks", self._early)):
            if not np.array_equal(arrays[name][limits], ring.live.marks[limits]):
                raise TaskCorrupted("saved labels were kept under another horizon or budget")
        own = {name: np.array(arrays[name], np.int64, order="C") for name in self.arrays()}
        self._events.load(own["entries"], own["marks"])
        self._early.load(own["early_entries"], own["early_marks"])
        self._set_rows(own["rows"], own["sparse"])

    def take_over(self, arrays: Mapping[str, Array], columns: Ints) -> None:
        """Take over rows that hold scores of other models; where they are more than fit now, the oldest go.

        Args:
            arrays: as `arrays` gave them, with the same features, horizon and budget.
            columns: (scores,) of each score its place among the saved ones; -1 where there is none: NaN.

        Raises:
            TaskCorrupted: they are of another shape.
        """
        saved = {name: np.array(arrays[name], np.int64) for name in self.arrays()}
        fixed = self._rings.rows.shape[1] - self._scores
        if saved["rows"].shape[1] <= fixed + columns.max(initial=-1):
            raise TaskCorrupted("saved labels do not fit this app: array rows")
        rows = np.full((len(saved["rows"]), fixed + self._scores), np.float64("nan").view(np.int64))
        rows[:, :fixed] = saved["rows"][:, :fixed]
        is_known = columns >= 0
        rows[:, fixed + np.flatnonzero(is_known)] = saved["rows"][:, fixed + columns[is_known]]
        self._events.take_over(saved["entries"], saved["marks"])
        self._early.take_over(saved["early_entries"], saved["early_marks"])
        marks = self._marks
        while marks[table.ROW_HEAD] - marks[table.ROW_TAIL] > marks[table.MAX_ROWS]:
            marks[table.ROWS_EVICTED] += 1
            table.drop_row(rows, marks)
        places = min(len(rows), int(marks[table.MAX_ROWS]))
        self._set_rows(moved(rows, marks[table.ROW_TAIL], marks[table.ROW_HEAD], places), saved["sparse"])

    def _joined(self, learned: Ints, numbers: Ints, targets: Floats) -> JoinedLabels:
        rows, sparse_ring = self._rings.rows, self._rings.sparse
        rows = rows[numbers % len(rows)]
        starts, ends = rows[:, table.ROW_SPARSE_START], rows[:, table.ROW_SPARSE_END]
        indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(ends - starts)))
        within = np.arange(indptr[-1]) - np.repeat(indptr[:-1], ends - starts)
        sparse = sparse_ring[(np.repeat(starts, ends - starts) + within) % len(sparse_ring)]
        after = table.ROW_HEAD_CELLS + self._dense
        dense = np.ascontiguousarray(rows[:, table.ROW_HEAD_CELLS : after]).view(np.float64)
        return JoinedLabels(
            rows=learned,
            features=FeatureBatch(
                dense.reshape(len(rows), self._dense),
                indptr,
                np.ascontiguousarray(sparse[:, 0]),
                np.ascontiguousarray(sparse[:, 1]).view(np.float64),
            ),
            label_inputs=np.ascontiguousarray(rows[:, after : after + self._label_inputs]),
            targets=targets,
            scores=np.ascontiguousarray(rows[:, after + self._label_inputs :]).view(np.float64),
            offsets=rows[:, table.ROW_OFFSET],
            times_ms=rows[:, table.ROW_TIME],
        )

    def _grow_rows(self) -> None:
        """Double the ring that is full: of rows, or of their sparse entries."""
        marks, (rows, _, sparse, _) = self._marks, self._rings
        tail, head = marks[table.ROW_TAIL], marks[table.ROW_HEAD]
        if head - tail == len(rows):
            rows = moved(rows, tail, head, min(2 * len(rows), int(marks[table.MAX_ROWS])))
        else:
            tail, head = marks[table.SPARSE_TAIL], marks[table.SPARSE_HEAD]
            sparse = moved(sparse, tail, head, min(2 * len(sparse), int(marks[table.MAX_SPARSE])))
        self._set_rows(rows, sparse)

    def _set_rows(self, rows: Ints, sparse: Ints) -> None:
        self._rings = table.RowRings(rows, new_pages(len(rows)), sparse, new_pages(len(sparse)))


def rows_waiting(marks: Array) -> int:
    """How many events waited for their label when these marks were saved."""
    return int(marks[table.ROW_HEAD]) - int(marks[table.ROW_TAIL])
