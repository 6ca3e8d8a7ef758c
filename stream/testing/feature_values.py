"""What the features of an event were, by their names."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from stream.records import FeatureBatch, FeatureLayout


def values_of(layout: FeatureLayout, batch: FeatureBatch) -> Iterator[dict[str, Any]]:
    """The features of each event of a batch by name.

    A number of a dense feature, NaN where it is missing; of a sparse one the values of its entries by index, counted
    from the feature's own 0.
    """
    for row, dense in enumerate(batch.dense.tolist()):
        values: dict[str, Any] = dict(zip(layout.dense, dense, strict=True))
        entries = slice(batch.indptr[row], batch.indptr[row + 1])
        indices, found = batch.indices[entries], batch.values[entries]
        for group in layout.sparse:
            own = np.flatnonzero((indices >= group.base) & (indices < group.base + group.size))
            values[group.name] = dict(zip((indices[own] - group.base).tolist(), found[own].tolist(), strict=True))
        yield values
