"""A Prometheus histogram that takes an array of observations at once: one call per cycle, never one per event."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class ArrayHistogram(Collector):
    """Counts observations per bucket; `bounds` are the buckets' upper bounds, ascending, without infinity."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = np.asarray(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def observe(self, values: NDArray[np.float64]) -> None:
        """Count each of `values` (n,); NaN, which says that nothing was measured, is left out."""
        measured = values[~np.isnan(values)]
        # A bound belongs to its own bucket (`le`), hence side="left".
        places = np.searchsorted(self._bounds, measured, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(measured.sum())

    def collect(self) -> Iterable[Metric]:
        """What a scrape sees."""
        upper = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        cumulative = np.cumsum(self._counts)
        buckets = [(bound, float(count)) for bound, count in zip(upper, cumulative, strict=True)]
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], buckets=buckets, sum_value=self._sum)
        yield family
