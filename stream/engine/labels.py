"""Labels meet the features of their prediction here (the label join)."""

from collections.abc import Mapping, Sequence

import numpy as np

from stream.engine import label_table as table
from stream.engine.label_ids import ID_CELLS, IdRing, moved
from stream.engine.label_values import JoinedLabels, LabelCounts, Registered
from stream.engine.row_segments import Sealed, Segment, digest_of, encode_segment, merged, pick, row_bytes
from stream.engine.spilled_rows import SpilledRows, wanted_names
from stream.errors import TaskCorrupted
from stream.kernels.pages import PAGE_ROWS_SHIFT, Paged, new_pages
from stream.kernels.ring_space import RingSpace
from stream.records import Array, Bools, FeatureBatch, FeatureLayout, Floats, Ints

# Rings start small and double: most tasks of a test hold a few rows, a fraud desk's holds millions.
_FIRST_ROWS = 1024
# Where rows spill, a small budget costs time, and no label.
_LEAST_ROWS = 16
# Share of the budget for sparse entries where there are sparse features; the rest is rows and ids.
SPARSE_SHARE = 0.4
# An id is remembered for two horizons (to tell too late from unknown), a row for one.
_ENTRIES_PER_ROW = 2
# A label that comes before its event is the exception. They have a ring of their own: in one with the events' ids,
# labels of events that never come, of another product say, would push out events that wait.
_ROWS_PER_EARLY = 4
# A segment of rows is about so large: one label reads all of it back, which takes a broker 2 ms, and 300 rows of twenty
# features go in one record.
_SEGMENT_BYTES = 64 << 10
# Rows that are looked at for a segment: those whose label came before need not be kept.
_LOOKED_AT = 8192
# Larger than that, with sparse features by the ten thousand, a single row is in no segment, and dropped as before.
_LARGEST_ROW_BYTES = 512 << 10


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

    With a budget for the ids of spilled rows (rule 36), rows that no longer fit are sealed in segments, which somebody
    keeps outside of memory and brings back when a label wants them; nothing else changes.

    Args:
        layout: of the features.
        label_inputs: numbers that target means need.
        scores: of all models.
        horizon_ms: after which a row is too old for its label.
        state_bytes: budget of rows in memory.
        spilled_bytes: budget of the ids of rows in segments; 0: rows that do not fit into memory are dropped.
        score_digests: of the model of each score, by which it is known in segments.
    """

    def __init__(
        self,
        layout: FeatureLayout,
        label_inputs: int,
        scores: int,
        horizon_ms: int,
        state_bytes: int,
        spilled_bytes: int = 0,
        score_digests: Sequence[str] = (),
    ) -> None:
        self._dense = len(layout.dense)
        self._label_inputs = label_inputs
        self._scores = scores
        self._score_digests = tuple(score_digests)
        self._spilled = SpilledRows(horizon_ms, spilled_bytes) if spilled_bytes else None
        self._width = _width(self._dense, label_inputs, scores)
        width = self._width + (1 if spilled_bytes else 0)  # a row that may leave memory takes its id with it
        has_sparse = layout.sparse_size > 0
        bytes_a_row = waiting_row_bytes(self._dense, label_inputs, scores)
        least = _LEAST_ROWS if spilled_bytes else _FIRST_ROWS
        max_rows = max(least, int(state_bytes * (1 - SPARSE_SHARE if has_sparse else 1)) // bytes_a_row)
        max_sparse = max(_FIRST_ROWS, int(state_bytes * SPARSE_SHARE) // 16) if has_sparse else 1
        first = min(_FIRST_ROWS, max_rows)
        self._events = IdRing(first * _ENTRIES_PER_ROW, max_rows * _ENTRIES_PER_ROW, horizon_ms)
        self._early = IdRing(first // _ROWS_PER_EARLY, max_rows // _ROWS_PER_EARLY, horizon_ms)
        self._marks[table.MAX_ROWS] = max_rows
        self._marks[table.MAX_SPARSE] = max_sparse
        self._row_space = RingSpace(max_rows, (width,))
        self._sparse_space = RingSpace(max_sparse, (2,))
        self._set_rows(self._row_space.empty(first), self._sparse_space.empty(_FIRST_ROWS if has_sparse else 1))

    @property
    def _marks(self) -> Ints:
        """Those of rows and sparse entries stand with the events'."""
        return self._events.live.marks

    def register(self, ids: Ints, has_id: Bools, times_ms: Ints) -> tuple[Floats, Registered]:
        """Enter events (n,) before they are scored: targets (n,) where a label came early, NaN elsewhere.

        Events without an id move the stream's time, and that is all. Follow it by `keep` with the same events, before
        any other call.
        """
        self._events.reserve(len(ids))
        targets = np.full(len(ids), np.nan)
        numbers = np.where(has_id, 0, table.NO_ROW)
        bits = targets.view(np.int64)
        table.meet_early(self._early.live, ids, times_ms, bits, numbers)
        replaced, stream_times, done = np.full(len(ids), table.NO_ROW), times_ms.copy(), 0
        while True:
            done = table.register(self._events.live, ids, stream_times, numbers, replaced, done)
            if done == len(ids):
                return targets, Registered(ids, numbers, replaced, stream_times)
            self._events.grow(len(ids))

    def keep(
        self,
        registered: Registered,
        features: FeatureBatch,
        label_inputs: Ints,
        scores: Floats,
        offsets: Ints,
        times_ms: Ints,
    ) -> tuple[Sealed, ...]:
        """Keep the rows of registered events until their labels come; returns what is to be kept outside of memory.

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
        incoming[:, after + self._label_inputs : self._width] = scores.view(np.int64)
        incoming[:, self._width :] = registered.ids[:, None]
        sparse = np.stack((features.indices, features.values.view(np.int64)), axis=1)
        sealed: list[Sealed] = []
        incoming, replaced, done, drops = incoming[waits], registered.replaced[waits], 0, self._spilled is None
        while True:
            first, done = done, table.keep(self._rings, self._marks, incoming, sparse, replaced, done, drops)
            if self._spilled is not None:
                self._spilled.replace(incoming[first:done, self._width])
            if done == len(incoming):
                break
            if not self._grow_rows():
                sealed += self.seal(int(incoming[done, table.ROW_STREAM_TIME]))
        if self._spilled is not None and len(incoming):
            self._spilled.kept(int(incoming[-1, table.ROW_STREAM_TIME]))
        return tuple(sealed)

    def seal(self, stream_time_ms: int) -> list[Sealed]:
        """Let the oldest rows leave memory, at this time of the stream: those that still wait as a segment."""
        assert self._spilled is not None
        spilled, marks, rings = self._spilled, self._marks, self._rings
        spilled.kept(stream_time_ms)
        tail, held = int(marks[table.ROW_TAIL]), int(marks[table.ROW_HEAD] - marks[table.ROW_TAIL])
        numbers = np.arange(tail, tail + min(_LOOKED_AT, (held + 1) // 2))
        oldest = rings.rows[numbers % len(rings.rows)]
        waits, sizes = oldest[:, table.ROW_OFFSET] >= 0, row_bytes(oldest)
        fits = waits & (sizes <= _LARGEST_ROW_BYTES)
        end = max(1, int(np.searchsorted(np.cumsum(sizes * fits), _SEGMENT_BYTES, side="right")))
        marks[table.ROWS_EVICTED] += np.count_nonzero(waits[:end] & ~fits[:end])
        times = spilled.horizon_times(oldest[:end, table.ROW_TIME])
        leaving = np.flatnonzero(fits[:end])
        ids, segment = oldest[leaving, self._width], self._picked(numbers[leaving])
        segment.rows[:, table.ROW_STREAM_TIME] = times[leaving]
        marks[table.SPARSE_TAIL], marks[table.ROW_TAIL] = oldest[end - 1, table.ROW_SPARSE_END], tail + end
        if not len(leaving):
            return []
        sealed = Sealed(int(segment.rows[0, table.ROW_OFFSET]), encode_segment(segment, self._score_digests))
        spilled.add(sealed.name, ids, int(times[leaving[-1]]), digest_of(sealed.content))
        return [sealed]

    def missing(self, ids: Ints, segments: Mapping[int, Segment], at_most: int) -> tuple[int, tuple[int, ...]]:
        """How many of these labels (n,), from the first on, may be joined, and names of segments that the rest needs.

        Args:
            ids: of labels.
            segments: those at hand, by name.
            at_most: names.
        """
        if self._spilled is None:
            return len(ids), ()
        found = self._spilled.look(ids)
        wanted = np.flatnonzero(found.places >= 0)
        names = self._spilled.names(found.places[wanted])
        is_missing = ~np.isin(names, np.array(list(segments), np.int64))
        if not is_missing.any():
            return len(ids), ()
        return int(wanted[np.argmax(is_missing)]), wanted_names(names.tolist(), segments, at_most)

    def join(self, ids: Ints, targets: Floats, segments: Mapping[int, Segment] | None = None) -> JoinedLabels:
        """Join labels (n,), in order, with the segments that `missing` named; what is not learned now is counted."""
        segments = segments or {}
        numbers = np.empty(len(ids), np.int64)
        table.join(self._events.live, self._rings.rows, ids, numbers, self._spilled is None)
        names, rows = np.full((2, len(ids)), -1, np.int64)
        if self._spilled is not None:
            names, rows = self._spilled.take(self._spilled.look(ids), segments, numbers)
        bits, done = np.ascontiguousarray(targets).view(np.int64), 0
        self._early.reserve(len(ids))
        while True:
            done = table.keep_early(self._early.live, ids, bits, numbers, done)
            if done == len(ids):
                break
            self._early.grow(len(ids))
        learned = np.flatnonzero((numbers >= 0) | (names >= 0))
        numbers, names, rows = numbers[learned], names[learned], rows[learned]
        held = np.flatnonzero(numbers >= 0)
        pieces = [(held, self._picked(numbers[held]))]
        if self._spilled is not None:
            self._mark_learned(numbers[held])
        for name in np.unique(names[names >= 0]).tolist():
            of_it, segment = np.flatnonzero(names == name), segments[name]
            pieces.append((of_it, pick(segment.rows, segment.sparse, rows[of_it])))
        return self._joined(learned, merged(pieces), targets[learned])

    @property
    def counts(self) -> LabelCounts:
        """What became of labels so far."""
        marks = self._events.live.marks + self._early.live.marks
        counts = LabelCounts(
            joined=int(marks[table.JOINED]),
            early=int(marks[table.EARLY_KEPT]),
            early_joined=int(marks[table.EARLY_JOINED]),
            duplicate=int(marks[table.DUPLICATE]),
            too_late=int(marks[table.TOO_LATE]),
            unknown=int(marks[table.UNKNOWN]),
            rows_evicted=int(marks[table.ROWS_EVICTED]),
        )
        return counts if self._spilled is None else self._spilled.counted(counts)

    @property
    def waiting(self) -> int:
        """Rows held in memory."""
        return rows_waiting(self._marks)

    def arrays(self) -> dict[str, Array]:
        """The store's state by name, live. The indexes are not: they follow from the entries."""
        events, early = self._events.live, self._early.live
        spilled = self._spilled.arrays() if self._spilled is not None else {}
        return {
            **{f"spilled_{name}": array for name, array in spilled.items()},
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
        spilled = self._spilled.paged() if self._spilled is not None else {}
        return {
            **{f"spilled_{name}": paged for name, paged in spilled.items()},
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
        self._events.load(arrays["entries"], np.array(arrays["marks"], np.int64))  # type: ignore[arg-type]
        self._early.load(arrays["early_entries"], np.array(arrays["early_marks"], np.int64))  # type: ignore[arg-type]
        self._set_rows(self._row_space.loaded(arrays["rows"]), self._sparse_space.loaded(arrays["sparse"]))
        self._load_spilled(arrays)

    def take_over(self, arrays: Mapping[str, Array], columns: Ints) -> None:
        """Take over rows that hold scores of other models; where they are more than fit now, the oldest go.

        Args:
            arrays: as `arrays` gave them, with the same features, horizon and budget.
            columns: (scores,) of each score its place among the saved ones; -1 where there is none: NaN.

        Raises:
            TaskCorrupted: they are of another shape.
        """
        saved = {name: np.array(arrays[name], np.int64) for name in self.arrays()}
        fixed, width = self._width - self._scores, self._rings.rows.shape[1]
        if saved["rows"].shape[1] <= fixed + columns.max(initial=-1):
            raise TaskCorrupted("saved labels do not fit this app: array rows")
        rows = np.full((len(saved["rows"]), width), np.float64("nan").view(np.int64))
        rows[:, :fixed] = saved["rows"][:, :fixed]
        rows[:, self._width :] = saved["rows"][:, saved["rows"].shape[1] - width + self._width :]
        is_known = columns >= 0
        rows[:, fixed + np.flatnonzero(is_known)] = saved["rows"][:, fixed + columns[is_known]]
        self._load_spilled(saved)
        self._events.take_over(saved["entries"], saved["marks"])
        self._early.take_over(saved["early_entries"], saved["early_marks"])
        marks = self._marks
        while marks[table.ROW_HEAD] - marks[table.ROW_TAIL] > marks[table.MAX_ROWS]:
            marks[table.ROWS_EVICTED] += 1
            table.drop_row(rows, marks)
        places = min(len(rows), int(marks[table.MAX_ROWS]))
        fitting = moved(rows, marks[table.ROW_TAIL], marks[table.ROW_HEAD], places)
        self._set_rows(self._row_space.loaded(fitting), self._sparse_space.loaded(saved["sparse"]))

    def _load_spilled(self, arrays: Mapping[str, Array]) -> None:
        if self._spilled is not None:
            self._spilled.load({name: arrays[f"spilled_{name}"] for name in self._spilled.arrays()})

    def digest(self, name: int) -> int | None:
        """Digest of the content of a segment; None where it is not one of those that rows wait in."""
        return self._spilled.digest(name) if self._spilled is not None else None

    def lose(self, name: int) -> None:
        """A segment is gone: labels of its rows are too late."""
        if self._spilled is not None:
            self._spilled.lose(name)

    def _picked(self, numbers: Ints) -> Segment:
        found = pick(self._rings.rows, self._rings.sparse, numbers)
        return Segment(found.rows[:, : self._width], found.sparse)

    def _mark_learned(self, numbers: Ints) -> None:
        """These rows need not be kept when they leave memory."""
        places = numbers % len(self._rings.rows)
        self._rings.row_pages[places >> PAGE_ROWS_SHIFT] = 1
        self._rings.rows[places, table.ROW_OFFSET] = -1

    def _joined(self, learned: Ints, found: Segment, targets: Floats) -> JoinedLabels:
        rows, sparse = found.rows, found.sparse
        after = table.ROW_HEAD_CELLS + self._dense
        dense = np.ascontiguousarray(rows[:, table.ROW_HEAD_CELLS : after]).view(np.float64)
        return JoinedLabels(
            rows=learned,
            features=FeatureBatch(
                dense.reshape(len(rows), self._dense),
                np.concatenate((np.zeros(1, np.int64), rows[:, table.ROW_SPARSE_END])),
                np.ascontiguousarray(sparse[:, 0]),
                np.ascontiguousarray(sparse[:, 1]).view(np.float64),
            ),
            label_inputs=np.ascontiguousarray(rows[:, after : after + self._label_inputs]),
            targets=targets,
            scores=np.ascontiguousarray(rows[:, after + self._label_inputs :]).view(np.float64),
            offsets=rows[:, table.ROW_OFFSET],
            times_ms=rows[:, table.ROW_TIME],
        )

    def _grow_rows(self) -> bool:
        """Double the ring that is full: of rows, or of their sparse entries; False where the budget is reached."""
        marks, (rows, _, sparse, _) = self._marks, self._rings
        tail, head = int(marks[table.ROW_TAIL]), int(marks[table.ROW_HEAD])
        if head - tail == len(rows):
            if len(rows) == marks[table.MAX_ROWS]:
                return False
            rows = self._row_space.grown(rows, tail, head, min(2 * len(rows), int(marks[table.MAX_ROWS])))
        else:
            if len(sparse) == marks[table.MAX_SPARSE]:
                return False
            tail, head = int(marks[table.SPARSE_TAIL]), int(marks[table.SPARSE_HEAD])
            sparse = self._sparse_space.grown(sparse, tail, head, min(2 * len(sparse), int(marks[table.MAX_SPARSE])))
        self._set_rows(rows, sparse)
        return True

    def _set_rows(self, rows: Ints, sparse: Ints) -> None:
        self._rings = table.RowRings(rows, new_pages(len(rows)), sparse, new_pages(len(sparse)))


def rows_waiting(marks: Array) -> int:
    """How many events waited for their label when these marks were saved."""
    return int(marks[table.ROW_HEAD]) - int(marks[table.ROW_TAIL])
