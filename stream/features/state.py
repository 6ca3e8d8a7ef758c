"""The state of compiled features, and the pass that computes them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.errors import TaskCorrupted
from stream.features.categories import learn_late_labels
from stream.features.key_hashes import places_of_categories
from stream.features.keyed_rows import KeyedRows
from stream.features.plan import FeaturePlan
from stream.features.ring import Ring
from stream.features.state_layout import DROPPED, LATE, NEVER, NOW
from stream.features.state_places import from_text
from stream.features.take_over import take_over
from stream.kernels.pages import Paged, new_pages
from stream.records import ColumnBatch, FeatureBatch, Floats, Ints, Kind

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a batch, and what must be kept with them to learn from a label that comes later."""

    batch: FeatureBatch
    label_inputs: Ints  # (n, FeaturePlan.label_inputs): a category's place, -1 where null


@dataclass(frozen=True, slots=True)
class FeatureMetrics:
    """Counts since the state began, and its present size."""

    keys: int
    bytes: int
    evictions: int  # keys that made room for others
    expiries: int  # keys that were idle for too long
    late_events: int  # behind stream time by more than the lateness: scored, but not in keyed state
    dropped_events: int  # that left a window early because its reservoir was full


class FeatureState:
    """The state of one task's features: what the events so far have left behind.

    Results and state are functions of the events' order alone, not of how they are cut into batches.
    """

    def __init__(self, plan: FeaturePlan) -> None:
        self.plan = plan
        state = plan.state
        self._kernel = plan.kernel()
        self._control = np.zeros(state.control_size, dtype=np.int64)
        self._control[NOW] = NEVER
        self._running = np.zeros(state.running.size)
        self._vocabulary = np.zeros((max(state.vocabulary.size, 1), 2), dtype=np.int64)
        self._categories = np.zeros((max(state.categories.size, 1), 2))
        self._category_pages = new_pages(len(self._categories))
        self._tables = tuple(
            KeyedRows(group.width, plan.budget.table_bytes[group.index], plan.key_expiry_ms) for group in state.groups
        )
        self._rings = tuple(
            Ring(reservoir, plan.budget.reservoir_events[group.index, reservoir.index])
            for group, reservoir in state.reservoirs
        )
        events = [ring.most_events for ring in self._rings]
        self._limits = np.array([plan.lateness_ms, *events], dtype=np.int64)
        self._literals = np.frombuffer(plan.source.literals or b"\0", dtype=np.uint8).copy()

    def compute(self, columns: ColumnBatch, times_ms: Ints, labels: Floats | None = None) -> Features:
        """Compute the features of a batch, event after event, and let each into the state.

        Args:
            columns: the decoded events; all of `FeaturePlan.wanted` must be among its columns.
            times_ms: (n,) event times in ms since 1970.
            labels: (n,) labels that come with the events, NaN where there is none; target means learn each after the
                features of its row.
        """
        count = len(columns)
        for table in self._tables:
            table.reserve(count)
        inputs = self._inputs(columns, times_ms, labels)
        indptr = np.zeros(count + 1, dtype=np.int64)
        entries = self._most_entries(columns)
        dense = np.empty((count, len(self.plan.layout.dense)))
        indices, values = np.empty(entries, dtype=np.int64), np.empty(entries)
        label_inputs = np.empty((count, self.plan.label_inputs), dtype=np.int64)
        outputs = (dense, indptr, indices, values, label_inputs)
        done = self._kernel(inputs, self._state(), outputs, 0)
        while done < count:
            self._grow()
            done = self._kernel(inputs, self._state(), outputs, done)
        used = int(indptr[count])
        return Features(FeatureBatch(dense, indptr, indices[:used], values[:used]), label_inputs)

    def learn_labels(self, label_inputs: Ints, labels: Floats) -> None:
        """Let labels that came after their events into the target means.

        Args:
            label_inputs: (n, FeaturePlan.label_inputs) as `compute` gave them.
            labels: (n,) NaN rows are left out.
        """
        learn_late_labels(self._categories, self._category_pages, self._running, label_inputs, labels)

    def learn_labels_of_keys(self, hashes: Ints, labels: Floats) -> None:
        """Let labels of events that other tasks have into the target means, all of which are of one column here.

        Args:
            hashes: (n,) of that column, see `key_hashes`; 0 is null.
            labels: (n,)
        """
        places = np.empty((self.plan.label_inputs, len(hashes)), np.int64)
        for node, of_node in zip(self.plan.source.target_means, places, strict=True):
            first = self.plan.state.categories.places[node.index]
            places_of_categories(hashes, first, int(node.options["buckets"]), of_node)
        self.learn_labels(np.ascontiguousarray(places.T), labels)

    @property
    def metrics(self) -> FeatureMetrics:
        """Counts and sizes."""
        return FeatureMetrics(
            keys=sum(table.table.keys for table in self._tables),
            bytes=sum(array.nbytes for array in self.arrays().values()),
            evictions=sum(table.table.evictions for table in self._tables),
            expiries=sum(table.table.expiries for table in self._tables),
            late_events=int(self._control[LATE]),
            dropped_events=int(self._control[DROPPED]),
        )

    def arrays(self) -> Arrays:
        """The live arrays: everything needed to continue, bit for bit."""
        arrays: Arrays = {
            "control": self._control,
            "running": self._running,
            "vocabulary": self._vocabulary,
            "categories": self._categories,
        }
        for number, table in enumerate(self._tables):
            arrays |= {f"keys{number}.{name}": array for name, array in table.arrays().items()}
        for number, ring in enumerate(self._rings):
            arrays |= {f"window{number}.{name}": array for name, array in ring.arrays().items()}
        return arrays

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages (see stream.kernels.pages)."""
        paged = {"categories": Paged(self._categories, self._category_pages, len(self._categories))}
        for number, table in enumerate(self._tables):
            paged |= {f"keys{number}.{name}": each for name, each in table.paged().items()}
        for number, ring in enumerate(self._rings):
            paged |= {f"window{number}.{name}": each for name, each in ring.paged().items()}
        return paged

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from saved arrays of the same plan.

        Raises:
            TaskCorrupted: where an array is missing or has another shape or type; restore an older snapshot.
        """
        own = self.arrays()
        if set(arrays) != set(own):
            raise TaskCorrupted(f"features: expected arrays {sorted(own)}, got {sorted(arrays)}")
        for name in ("control", "running", "vocabulary", "categories"):
            if arrays[name].shape != own[name].shape or arrays[name].dtype != own[name].dtype:
                raise TaskCorrupted(
                    f"features: array {name} is {arrays[name].dtype}{arrays[name].shape}, "
                    f"expected {own[name].dtype}{own[name].shape}"
                )
        for number, table in enumerate(self._tables):
            table.load(_below(arrays, f"keys{number}."))
        for number, ring in enumerate(self._rings):
            ring.load(_below(arrays, f"window{number}."))
        for name in ("control", "running", "vocabulary", "categories"):
            own[name][...] = arrays[name]

    def take_over(self, arrays: Mapping[str, NDArray[np.generic]], saved_layout: str) -> None:
        """Continue from saved arrays of another plan: parts that both have keep their state, others stay empty.

        Args:
            arrays: as `arrays` gave them, of a state of the other plan; this one must be empty.
            saved_layout: `FeaturePlan.saved_layout` of that plan.

        Raises:
            TaskCorrupted: where the arrays do not fit that layout; restore an older snapshot.
        """
        saved = from_text(saved_layout)
        if saved is None:
            return
        try:
            taken = take_over(self.plan, saved, arrays, self.arrays())
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise TaskCorrupted(
                f"features: the saved arrays do not fit the saved layout ({error!r}); restore an older snapshot"
            ) from error
        self.load(taken)

    def _state(self) -> tuple[object, ...]:
        tables = iter(self._tables)
        rings = iter(self._rings)
        state: list[object] = [self._control, self._running, self._vocabulary, self._categories, self._category_pages]
        for group in self.plan.state.groups:
            state += next(tables).kernel_arrays()
            for _ in group.reservoirs:
                state += next(rings).kernel_arrays()
        return tuple(state)

    def _inputs(self, columns: ColumnBatch, times_ms: Ints, labels: Floats | None) -> tuple[object, ...]:
        if labels is None:
            labels = np.full(len(columns), np.nan)
        items = [_writable(columns.items[name]) for name in self.plan.source.list_columns]
        batch = (_writable(columns.cells), _writable(columns.present), _writable(columns.data))
        return (*batch, _writable(times_ms), _writable(labels), self._literals, self.plan.offsets, self._limits, *items)

    def _grow(self) -> None:
        """Double the rings that are full; the kernel stopped because one is."""
        grown = [ring.grow_if_full(self._control) for ring in self._rings]
        if not any(grown):
            raise AssertionError("the features' kernel stopped before an event though nothing is full")

    def _most_entries(self, columns: ColumnBatch) -> int:
        """An upper bound of the batch's sparse entries: a word or an n-gram for every byte, one for every item."""
        entries = 0
        for name, node in self.plan.features:
            if name in self.plan.layout.dense:
                continue
            column = node.operands[0].column
            if node.operator in ("bag_of_words", "char_ngrams") or (column and column.kind is Kind.LIST):
                if column is None:
                    raise AssertionError(f"{node.text}: only columns are texts and lists")
                spans = columns.cells[:, column.slot + 1] - columns.cells[:, column.slot]
                entries += int(spans[columns.present[:, column.index]].sum())
            else:
                entries += len(columns)
        return entries


def _writable(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array as the kernel was compiled for: contiguous and writable; a copy only where it is not."""
    return np.require(array, requirements=["C", "W"])


def _below(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> dict[str, NDArray[np.generic]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
