"""Prequential metrics of a regression, beside no-change and the running mean."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.evaluate.segments import row_of_segment
from stream.evaluate.tasks import NOT_DEFINED
from stream.kernels import kernel
from stream.records import Floats, Ints

# Columns of RegressionState.sums.
COUNT, MEAN, DEVIATION, LAST = 0, 1, 2, 3
# Who predicted: the second index of RegressionState.errors.
MODEL, NO_CHANGE, RUNNING_MEAN = 0, 1, 2


class RegressionState(NamedTuple):
    """Sums; rows as in BinaryState."""

    errors: Floats  # (rows, 3, 2): sums of absolute and squared errors, by who predicted
    sums: Floats  # (rows, 4): targets: number, mean, sum of squared deviations, last one
    keys: Ints  # (segments,): see row_of_segment
    tallies: Ints  # (2,): segments in use, rows skipped


@dataclass(frozen=True, slots=True)
class Errors:
    """How far predictions were off, in the target's unit. NaN where the rows do not define it."""

    mae: float  # mean absolute error
    rmse: float  # root of the mean squared error


@dataclass(frozen=True, slots=True)
class RegressionSummary:
    """What is known of a regression so far. NaN where the rows do not define it.

    Baselines predict each target from those before it, and so nothing for the first: `no_change` repeats the last
    target, `running_mean` is the mean of all.
    """

    count: int
    errors: Errors
    r2: float  # 1 is exact, 0 what the mean of all targets would reach; NaN below two different targets
    no_change: Errors
    running_mean: Errors


def new_state(segments: int) -> RegressionState:
    """Nothing seen yet, with room for so many segments."""
    rows = segments + 2
    return RegressionState(
        errors=np.zeros((rows, 3, 2)),
        sums=np.zeros((rows, 4)),
        keys=np.zeros(segments, np.int64),
        tallies=np.zeros(2, np.int64),
    )


@kernel
def update_regression(scores: Floats, targets: Floats, segments: Ints, state: RegressionState) -> None:
    """Take in rows; those whose prediction or target is not finite are counted and skipped."""
    for i in range(len(scores)):
        if not (math.isfinite(scores[i]) and math.isfinite(targets[i])):
            state.tallies[1] += 1
            continue
        _add(scores[i], targets[i], state, 0)
        if len(segments) > 0:
            _add(scores[i], targets[i], state, row_of_segment(state.keys, state.tallies, segments[i]))


@kernel
def _add(prediction: float, target: float, state: RegressionState, row: int) -> None:
    sums = state.sums
    _add_error(state, row, MODEL, prediction - target)
    if sums[row, COUNT] > 0.0:
        _add_error(state, row, NO_CHANGE, sums[row, LAST] - target)
        _add_error(state, row, RUNNING_MEAN, sums[row, MEAN] - target)
    sums[row, COUNT] += 1.0
    apart = target - sums[row, MEAN]
    sums[row, MEAN] += apart / sums[row, COUNT]
    sums[row, DEVIATION] += apart * (target - sums[row, MEAN])
    sums[row, LAST] = target


@kernel
def _add_error(state: RegressionState, row: int, who: int, error: float) -> None:
    state.errors[row, who, 0] += abs(error)
    state.errors[row, who, 1] += error * error


def summarise_regression(state: RegressionState, row: int) -> RegressionSummary:
    """The metrics of one row of the state."""
    count, deviation = int(state.sums[row, COUNT]), float(state.sums[row, DEVIATION])
    squared_errors = float(state.errors[row, MODEL, 1])
    return RegressionSummary(
        count=count,
        errors=_mean_errors(state.errors[row, MODEL], count),
        r2=1.0 - squared_errors / deviation if deviation > 0.0 else NOT_DEFINED,
        no_change=_mean_errors(state.errors[row, NO_CHANGE], count - 1),
        running_mean=_mean_errors(state.errors[row, RUNNING_MEAN], count - 1),
    )


def _mean_errors(sums: Floats, count: int) -> Errors:
    if count <= 0:
        return Errors(NOT_DEFINED, NOT_DEFINED)
    return Errors(float(sums[0]) / count, math.sqrt(float(sums[1]) / count))
