"""Rows of a FeatureBatch as River's dictionaries."""

import math
from collections.abc import Iterator

import numpy as np

from stream.models.kernels.arguments import LARGEST_INPUT
from stream.records import FeatureBatch, FeatureLayout


class RiverRows:
    """Builds dictionaries in the order of the layout: dense features by name, sparse ones as `group=index`.

    What is missing, infinite or beyond LARGEST_INPUT is an absent key.
    """

    def __init__(self, layout: FeatureLayout) -> None:
        self._layout = layout
        self._bases = np.array([group.base for group in layout.sparse], dtype=np.int64)
        self._sparse_names: dict[int, str] = {}
        self.invalid_inputs = 0

    def of(self, batch: FeatureBatch) -> Iterator[dict[str, float]]:
        """One dictionary a row."""
        entries = list(zip(batch.indices.tolist(), batch.values.tolist(), strict=True))
        bounds = batch.indptr.tolist()
        for i, dense in enumerate(batch.dense.tolist()):
            row = {name: value for name, value in zip(self._layout.dense, dense, strict=True) if self._is_usable(value)}
            for index, value in entries[bounds[i] : bounds[i + 1]]:
                if self._is_usable(value):
                    row[self._sparse_name(index)] = value
            yield row

    def _is_usable(self, value: float) -> bool:
        if abs(value) <= LARGEST_INPUT:
            return True
        self.invalid_inputs += not math.isnan(value)
        return False

    def _sparse_name(self, index: int) -> str:
        name = self._sparse_names.get(index)
        if name is None:
            group = self._layout.sparse[int(np.searchsorted(self._bases, index, side="right")) - 1]
            name = self._sparse_names[index] = f"{group.name}={index - group.base}"
        return name
