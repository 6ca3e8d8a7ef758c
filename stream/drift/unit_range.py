"""Signals of any unit on the scale from 0 to 1 that ADWIN's bound assumes.

ADWIN's false alarms are bounded for values between 0 and 1 (Bifet and Gavaldà 2007, after Bernstein). On amounts or
counts the term that covers rare large values is lost, and a handful of them is taken for a change. So the range of a
signal is taken from its first values, and later ones are clipped to it.
"""

from typing import NamedTuple

import numpy as np

from stream.drift.detections import Detections
from stream.kernels import kernel
from stream.records import Bools, Floats, Ints

REFERENCE = 1_000  # first values that make the range; a tail of 1 in 1,000 is then within it more often than not


class UnitRanges(NamedTuple):
    """The range of each signal: fixed to 0 to 1 where the signal is not scaled."""

    lows: Floats  # (signals,)
    highs: Floats  # (signals,)
    learned: Ints  # (signals,): values that made the range so far, REFERENCE once it is fixed


def new_ranges(is_scaled: Bools) -> UnitRanges:
    """Ranges to be learned where `is_scaled`; elsewhere 0 and 1, and values pass as they are."""
    return UnitRanges(
        lows=np.where(is_scaled, np.inf, 0.0),
        highs=np.where(is_scaled, -np.inf, 1.0),
        learned=np.where(is_scaled, 0, REFERENCE).astype(np.int64),
    )


@kernel
def to_unit(values: Floats, is_scaled: Bools, ranges: UnitRanges, scaled: Floats) -> None:
    """Write `values` (n, signals) as parts of their range to `scaled`; NaN while the range is being learned."""
    lows, highs, learned = ranges.lows, ranges.highs, ranges.learned
    for i in range(values.shape[0]):
        for s in range(values.shape[1]):
            value = values[i, s]
            scaled[i, s] = value
            if not is_scaled[s] or not np.isfinite(value):
                continue
            if learned[s] < REFERENCE:
                lows[s] = min(lows[s], value)
                highs[s] = max(highs[s], value)
                learned[s] += 1
                scaled[i, s] = np.nan
                continue
            width = highs[s] - lows[s] if highs[s] > lows[s] else 1.0
            scaled[i, s] = min(max((value - lows[s]) / width, 0.0), 1.0)


def in_own_unit(detections: Detections, is_scaled: Bools, ranges: UnitRanges) -> Detections:
    """The detections with means and spread in the signals' own units; `statistic` stays what was compared."""
    scaled = is_scaled[detections.signal]
    low = np.where(scaled, ranges.lows[detections.signal], 0.0)
    width = np.where(scaled, ranges.highs[detections.signal] - low, 1.0)
    width = np.where(width > 0.0, width, 1.0)
    return detections.moved(low, width, np.where(scaled, REFERENCE, 0))
