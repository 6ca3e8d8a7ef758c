"""Three streams of 20,000 rows that the twins are compared on: one real, all with missing values and a constant column.

The real one is Statlog Shuttle (UCI, CC BY 4.0) as River's wheel ships it; a tenth of its values is taken away.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np
from river import datasets

from stream.records import Bools, FeatureBatch, FeatureLayout, Floats, SparseGroup

ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Stream:
    layout: FeatureLayout
    batch: FeatureBatch
    binary: Floats
    classes: Floats  # of four
    numbers: Floats

    @functools.cached_property
    def dicts(self) -> list[dict[str, float]]:
        """The rows as River sees them: a missing value is an absent key."""
        names = [f"{group.name}={k}" for group in self.layout.sparse for k in range(group.size)]
        rows = []
        for i, dense in enumerate(self.batch.dense):
            row = {
                name: float(value) for name, value in zip(self.layout.dense, dense, strict=True) if not np.isnan(value)
            }
            for entry in range(self.batch.indptr[i], self.batch.indptr[i + 1]):
                row[names[self.batch.indices[entry]]] = float(self.batch.values[entry])
            rows.append(row)
        return rows

    @functools.cached_property
    def absolute(self) -> "Stream":
        """The same without negative values."""
        return replace(self, batch=replace(self.batch, dense=np.abs(self.batch.dense)))

    @functools.cached_property
    def dense_only(self) -> "Stream":
        """The same without sparse features."""
        return replace(self, layout=replace(self.layout, sparse=()), batch=dense_batch(self.batch.dense))


def dense_batch(dense: Floats) -> FeatureBatch:
    """A batch without sparse features."""
    return FeatureBatch(dense, np.zeros(len(dense) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0))


def rows_of(batch: FeatureBatch, first: int, last: int) -> FeatureBatch:
    """The rows from `first` to before `last` as a batch of their own."""
    start, end = batch.indptr[first], batch.indptr[last]
    return FeatureBatch(
        batch.dense[first:last],
        batch.indptr[first : last + 1] - start,
        batch.indices[start:end],
        batch.values[start:end],
    )


def with_holes(dense: Floats, holes: Bools) -> Floats:
    """NaN where `holes` says so, except in the first row; a constant column, itself with holes, behind the others."""
    holes[0] = False
    full = np.column_stack([dense, np.full(len(dense), 7.25)])
    return np.where(holes, np.nan, full)


def targets_of(score: Floats, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Binary targets, four classes and numbers that follow `score`; a tenth has no label (NaN)."""
    noisy = score + random.normal(scale=0.3 * np.std(score), size=len(score))
    binary = (noisy > np.quantile(noisy, 0.7)).astype(float)
    classes = np.searchsorted(np.quantile(noisy, [0.2, 0.5, 0.9]), noisy).astype(float)
    numbers = (noisy - noisy.mean()) / noisy.std()
    unlabelled = random.random(len(score)) < 0.1
    for targets in (binary, classes, numbers):
        targets[unlabelled] = np.nan
    return binary, classes, numbers


@functools.cache
def drifting() -> Stream:
    """Gaussian columns of unlike scales whose meaning turns round in the middle."""
    random = np.random.default_rng(11)
    dense = random.normal(size=(ROWS, 5)) * [1.0, 10.0, 0.01, 3.0, 100.0] + [0.0, 50.0, 1.0, -3.0, 1000.0]
    side = np.where(np.arange(ROWS) < ROWS // 2, 1.0, -1.0)
    score = side * dense[:, 0] + 0.1 * dense[:, 1]
    holes = random.random((ROWS, 6)) < [0.2, 0.0, 0.05, 0.5, 0.1, 0.3]
    layout = FeatureLayout(("amount", "age", "ratio", "delta", "total", "constant"), ())
    return Stream(layout, dense_batch(with_holes(dense, holes)), *targets_of(score, random))


@functools.cache
def shuttle() -> Stream:
    """The first 20,000 rows of Statlog Shuttle; the binary target is its own."""
    random = np.random.default_rng(12)
    rows = list(datasets.Shuttle().take(ROWS))
    names = tuple(rows[0][0])
    dense = np.array([[float(x[name]) for name in names] for x, _ in rows])
    holes = random.random((ROWS, len(names) + 1)) < 0.1
    binary, classes, numbers = targets_of(dense[:, 0] + dense[:, 6], random)
    own = np.array([float(y) for _, y in rows])
    own[np.isnan(binary)] = np.nan
    return Stream(FeatureLayout((*names, "constant"), ()), dense_batch(with_holes(dense, holes)), own, classes, numbers)


@functools.cache
def texts() -> Stream:
    """Two numbers beside counts of words (none to twelve a row, of 40) and a one-hot country that is often missing."""
    random = np.random.default_rng(13)
    dense = random.gamma(1.5, 2.0, size=(ROWS, 2))
    lines: list[Floats] = []
    for _ in range(ROWS):
        counts = np.zeros(46)
        np.add.at(counts, random.zipf(1.5, random.integers(0, 13)) % 40, 1.0)
        if random.random() < 0.6:
            counts[40 + random.integers(0, 6)] = 1.0
        lines.append(counts)
    table = np.array(lines)
    present = table != 0
    score = table @ random.normal(size=46) + dense[:, 0]
    batch = FeatureBatch(
        with_holes(dense, random.random((ROWS, 3)) < 0.15),
        np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64),
        np.nonzero(present)[1].astype(np.int64),
        table[present],
    )
    layout = FeatureLayout(("length", "price", "constant"), (SparseGroup("word", 0, 40), SparseGroup("country", 40, 6)))
    return Stream(layout, batch, *targets_of(score, random))


STREAMS = {"drifting": drifting, "shuttle": shuttle, "texts": texts}
