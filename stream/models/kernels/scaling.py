"""Scalers of dense inputs. Each keeps its statistics in lines of State.scalers, from line `at` on; NaN is missing."""

import math

import numpy as np

from stream.kernels import kernel
from stream.records import Floats


@kernel
def learn_standard(scalers: Floats, at: int, x: Floats) -> None:
    """Welford's update of count, mean and variance, in River's order of operations.

    Written without branches, so that it compiles to vector instructions.
    """
    for j in range(x.shape[0]):
        value = x[j]
        known = value == value
        count = scalers[at, j] + (1.0 if known else 0.0)
        mean = scalers[at + 1, j]
        variance = scalers[at + 2, j]
        new_mean = mean + (value - mean) / count
        new_variance = variance + ((value - mean) * (value - new_mean) - variance) / count
        scalers[at, j] = count
        scalers[at + 1, j] = new_mean if known else mean
        scalers[at + 2, j] = new_variance if known else variance


@kernel
def scale_standard(scalers: Floats, at: int, x: Floats) -> None:
    """Centre and divide by the standard deviation; 0 where there is none, as in River."""
    for j in range(x.shape[0]):
        value = x[j]
        variance = scalers[at + 2, j]
        scaled = (value - scalers[at + 1, j]) / math.sqrt(variance)
        x[j] = scaled if variance > 0.0 else value * 0.0


@kernel
def scale_centre(scalers: Floats, at: int, x: Floats) -> None:
    """Centre only (with_std=False)."""
    for j in range(x.shape[0]):
        x[j] -= scalers[at + 1, j]


@kernel
def learn_min_max(scalers: Floats, at: int, x: Floats) -> None:
    """Smallest and largest value so far."""
    for j in range(x.shape[0]):
        if x[j] < scalers[at, j]:
            scalers[at, j] = x[j]
        if x[j] > scalers[at + 1, j]:
            scalers[at + 1, j] = x[j]


@kernel
def scale_min_max(scalers: Floats, at: int, x: Floats) -> None:
    """Position between smallest and largest; 0 where they are equal, as in River, or none was seen (NaN in River)."""
    for j in range(x.shape[0]):
        span = scalers[at + 1, j] - scalers[at, j]
        x[j] = (x[j] - scalers[at, j]) / span if span > 0.0 else x[j] * 0.0


@kernel
def learn_rolling_standard(scalers: Floats, at: int, x: Floats) -> None:
    """Mean and sum of squared deviations of the last values: take the oldest out, then the newest in, as River does.

    Lines: values seen, mean, squared deviations, then a ring of the last values of each feature.
    """
    window = int(scalers[at + 3, 0])
    for j in range(x.shape[0]):
        value = x[j]
        if value != value:
            continue
        seen = scalers[at, j]
        mean = scalers[at + 1, j]
        line = at + 4 + int(seen) % window
        count = min(seen, float(window))
        if seen >= window:
            oldest = scalers[line, j]
            count -= 1.0
            shrunk = mean - (1.0 / count) * (oldest - mean) if count > 0.0 else 0.0
            scalers[at + 2, j] -= (oldest - mean) * (oldest - shrunk)
            mean = shrunk
        new_mean = mean + (1.0 / (count + 1.0)) * (value - mean)
        scalers[at + 2, j] += (value - mean) * (value - new_mean)
        scalers[at + 1, j] = new_mean
        scalers[at, j] = seen + 1.0
        scalers[line, j] = value


@kernel
def scale_rolling_standard(scalers: Floats, at: int, x: Floats) -> None:
    """Centre and divide by the window's standard deviation; 0 where there is none.

    Taking values out may leave a variance just below 0, for which River returns a complex number; here it is none.
    """
    window = scalers[at + 3, 0]
    for j in range(x.shape[0]):
        variance = scalers[at + 2, j] / min(scalers[at, j], window)
        scaled = (x[j] - scalers[at + 1, j]) / math.sqrt(variance)
        x[j] = scaled if variance > 0.0 else x[j] * 0.0


@kernel
def learn_rolling_min_max(scalers: Floats, at: int, x: Floats) -> None:
    """Smallest and largest of the last values; looked for anew only when one of the two leaves the window.

    Lines: smallest, largest, values seen, window size, then a ring of the last values of each feature.
    """
    window = int(scalers[at + 3, 0])
    for j in range(x.shape[0]):
        value = x[j]
        if value != value:
            continue
        seen = int(scalers[at + 2, j])
        line = at + 4 + seen % window
        leaving = scalers[line, j] if seen >= window else np.nan
        scalers[line, j] = value
        scalers[at + 2, j] = seen + 1.0
        if leaving == scalers[at, j] or leaving == scalers[at + 1, j]:
            scalers[at, j] = value
            scalers[at + 1, j] = value
            for other in range(at + 4, at + 4 + window):
                scalers[at, j] = min(scalers[at, j], scalers[other, j])
                scalers[at + 1, j] = max(scalers[at + 1, j], scalers[other, j])
        scalers[at, j] = min(scalers[at, j], value)
        scalers[at + 1, j] = max(scalers[at + 1, j], value)
