"""What detectors found: one entry per detection, in the order of the rows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stream.records import Floats, Ints


class Found(NamedTuple):
    """Where a kernel writes its detections; one row each.

    places: row, signal, placed offset, placed time, size before, size after, values seen.
    statistics: mean before, mean after, spread, the detector's own statistic.
    """

    places: Ints  # (capacity, 7)
    statistics: Floats  # (capacity, 4)


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected change of one signal."""

    row: int  # of the batch: the value at which the change was noticed
    signal: int  # column of the values
    before: float  # mean of the older part (DDM: error rate at its minimum)
    after: float  # mean of the newer part (DDM: error rate in the warning zone)
    spread: float  # standard deviation within the parts, in the signal's unit
    statistic: float  # what the detector compares with its limit; see the detector's declaration
    placed_offset: int  # offset of the first value of the newer part
    placed_time_ms: int  # and its time
    size_before: int  # values in the older part
    size_after: int  # values in the newer part
    seen: int  # values of this signal since the detector was made

    @property
    def effect(self) -> float:
        """Cohen's d: how far the mean moved, in standard deviations within the parts; infinite where there is none."""
        if self.before == self.after:
            return 0.0
        return abs(self.after - self.before) / self.spread if self.spread > 0.0 else math.inf


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one batch as arrays, ordered by row, then by signal. Fields as in `Detection`."""

    row: Ints
    signal: Ints
    before: Floats
    after: Floats
    spread: Floats
    statistic: Floats
    placed_offset: Ints
    placed_time_ms: Ints
    size_before: Ints
    size_after: Ints
    seen: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[Detection]:
        return (self.entry(index) for index in range(len(self)))

    def entry(self, index: int) -> Detection:
        """Entry `index` as plain numbers."""
        return Detection(
            row=int(self.row[index]),
            signal=int(self.signal[index]),
            before=float(self.before[index]),
            after=float(self.after[index]),
            spread=float(self.spread[index]),
            statistic=float(self.statistic[index]),
            placed_offset=int(self.placed_offset[index]),
            placed_time_ms=int(self.placed_time_ms[index]),
            size_before=int(self.size_before[index]),
            size_after=int(self.size_after[index]),
            seen=int(self.seen[index]),
        )

    def moved(self, low: Floats, width: Floats, unseen: Ints) -> "Detections":
        """The same in another unit: each mean m becomes low + width * m; `unseen` more values had been seen."""
        return replace(
            self,
            before=low + width * self.before,
            after=low + width * self.after,
            spread=width * self.spread,
            seen=self.seen + unseen,
        )

    @classmethod
    def of(cls, places: Ints, statistics: Floats) -> "Detections":
        """Order what a kernel wrote (see `Found`) by row, then by signal."""
        order = np.lexsort((places[:, 1], places[:, 0]))
        row, signal, placed_offset, placed_time_ms, size_before, size_after, seen = places[order].T.copy()
        before, after, spread, statistic = statistics[order].T.copy()
        return cls(
            row=row,
            signal=signal,
            before=before,
            after=after,
            spread=spread,
            statistic=statistic,
            placed_offset=placed_offset,
            placed_time_ms=placed_time_ms,
            size_before=size_before,
            size_after=size_after,
            seen=seen,
        )
