"""Page-Hinkley: the cumulative sum of deviations from the mean has left its extreme.

Page, "Continuous inspection schemes", Biometrika 1954, with a forgetting factor. Arithmetic follows River's.
"""

import math
from typing import NamedTuple

import numpy as np

from stream.drift.detections import Found
from stream.kernels import kernel
from stream.records import Floats, Ints

# Columns of PageHinkleyState.sums.
NUMBER, MEAN, TOTAL, DEVIATION = 0, 1, 2, 3
# Columns of PageHinkleyState.extremes and positions: the first index is the direction.
UP, DOWN = 0, 1
SUM, EXTREME, NUMBER_THERE, TOTAL_THERE = 0, 1, 2, 3
# Columns of PageHinkleyState.counts.
CHANGED, SEEN = 0, 1
# Entries of the settings.
MIN_INSTANCES, DELTA, THRESHOLD, ALPHA, LOOKS_UP, LOOKS_DOWN = 0, 1, 2, 3, 4, 5


class PageHinkleyState(NamedTuple):
    """Cumulative sums since the last detection and where each was extreme (up: lowest, down: highest)."""

    sums: Floats  # (signals, 4): number of values, mean, sum, sum of squared deviations
    extremes: Floats  # (signals, 2, 4): by direction: cumulative sum, its extreme, number and sum of the values there
    positions: Ints  # (signals, 2, 2): by direction: offset and time of the first value behind the extreme
    counts: Ints  # (signals, 2): 1 after a detection, all values


def new_state(signals: int) -> PageHinkleyState:
    """Nothing seen yet."""
    state = PageHinkleyState(
        sums=np.zeros((signals, 4)),
        extremes=np.zeros((signals, 2, 4)),
        positions=np.zeros((signals, 2, 2), np.int64),
        counts=np.zeros((signals, 2), np.int64),
    )
    state.extremes[:, UP, EXTREME] = math.inf
    state.extremes[:, DOWN, EXTREME] = -1.0  # River's
    return state


@kernel
def update_page_hinkley(
    values: Floats, offsets: Ints, times_ms: Ints, cell: int, settings: Floats, state: PageHinkleyState, found: Found
) -> tuple[int, int]:
    """Feed cells `cell`, cell + 1, ... of `values`, signal after signal, until all are fed or `found` is full.

    Returns the cell to go on from and the number of detections in `found`.
    """
    rows, signals = values.shape
    counts, extremes, positions = state.counts, state.extremes, state.positions
    entries = 0
    while cell < rows * signals and entries < len(found.places):
        signal, row = cell // rows, cell % rows
        cell += 1
        if not math.isfinite(values[row, signal]):
            continue
        if counts[signal, CHANGED] == 1:
            _start_anew(state, signal)
        counts[signal, SEEN] += 1
        for direction in range(2):
            if extremes[signal, direction, NUMBER_THERE] == state.sums[signal, NUMBER]:
                positions[signal, direction, 0] = offsets[row]
                positions[signal, direction, 1] = times_ms[row]
        _add(state, signal, values[row, signal], settings)
        direction, distance = _farthest(state, signal, settings)
        if state.sums[signal, NUMBER] >= settings[MIN_INSTANCES] and distance > settings[THRESHOLD]:
            counts[signal, CHANGED] = 1
            _fill_in(state, signal, direction, row, found, entries)
            found.statistics[entries, 3] = distance
            entries += 1
    return cell, entries


@kernel
def _start_anew(state: PageHinkleyState, signal: int) -> None:
    state.sums[signal] = 0.0
    state.extremes[signal] = 0.0
    state.extremes[signal, UP, EXTREME] = math.inf
    state.extremes[signal, DOWN, EXTREME] = -1.0
    state.counts[signal, CHANGED] = 0


@kernel
def _add(state: PageHinkleyState, signal: int, value: float, settings: Floats) -> None:
    sums, extremes = state.sums, state.extremes
    number = sums[signal, NUMBER] + 1.0
    mean_before = sums[signal, MEAN]
    mean = mean_before + (1.0 / number) * (value - mean_before)
    sums[signal, NUMBER] = number
    sums[signal, MEAN] = mean
    sums[signal, TOTAL] += value
    sums[signal, DEVIATION] += (value - mean_before) * (value - mean)
    for direction in range(2):
        tolerated = -settings[DELTA] if direction == UP else settings[DELTA]
        total = settings[ALPHA] * extremes[signal, direction, SUM] + (value - mean) + tolerated
        extremes[signal, direction, SUM] = total
        extreme = extremes[signal, direction, EXTREME]
        if (direction == UP and total < extreme) or (direction == DOWN and total > extreme):
            extremes[signal, direction, EXTREME] = total
            extremes[signal, direction, NUMBER_THERE] = number
            extremes[signal, direction, TOTAL_THERE] = sums[signal, TOTAL]


@kernel
def _farthest(state: PageHinkleyState, signal: int, settings: Floats) -> tuple[int, float]:
    """The direction that is watched and farther from its extreme, and the distance."""
    rise = state.extremes[signal, UP, SUM] - state.extremes[signal, UP, EXTREME]
    fall = state.extremes[signal, DOWN, EXTREME] - state.extremes[signal, DOWN, SUM]
    if settings[LOOKS_DOWN] == 0.0 or (settings[LOOKS_UP] == 1.0 and rise >= fall):
        return UP, rise
    return DOWN, fall


@kernel
def _fill_in(state: PageHinkleyState, signal: int, direction: int, row: int, found: Found, entry: int) -> None:
    number, total = state.sums[signal, NUMBER], state.sums[signal, TOTAL]
    number_there = state.extremes[signal, direction, NUMBER_THERE]
    total_there = state.extremes[signal, direction, TOTAL_THERE]
    before, after = total_there / number_there, (total - total_there) / (number - number_there)
    explained = number_there * (number - number_there) / number * (after - before) * (after - before)
    found.places[entry, 0] = row
    found.places[entry, 1] = signal
    found.places[entry, 2] = state.positions[signal, direction, 0]
    found.places[entry, 3] = state.positions[signal, direction, 1]
    found.places[entry, 4] = int(number_there)
    found.places[entry, 5] = int(number - number_there)
    found.places[entry, 6] = state.counts[signal, SEEN]
    found.statistics[entry, 0] = before
    found.statistics[entry, 1] = after
    found.statistics[entry, 2] = math.sqrt(max(state.sums[signal, DEVIATION] - explained, 0.0) / number)
