"""KSWIN: the newest values are distributed otherwise than a sample of the ones before.

Raab, Heusinger, Schleif, "Reactive soft prototype computing for concept drift streams", Neurocomputing 2020. Decisions
are River's (exact p-value, distance above 0.1) for the same draws; the draws come from a generator of each signal.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.drift.detections import Found
from stream.kernels import kernel
from stream.kernels.random import new_generator, uniform
from stream.records import Floats, Ints

# Columns of KswinState.counts.
NUMBER, CHANGED, SEEN = 0, 1, 2


class KswinState(NamedTuple):
    """The windows of all signals, as they came and sorted. The newest values are `recent`, those before `older`."""

    window: Floats  # (signals, window_size): value i in slot i modulo window_size
    starts: Ints  # (signals, stat_size, 2): offset and time of value i in slot i modulo stat_size
    older: Floats  # (signals, window_size - stat_size), ascending
    recent: Floats  # (signals, stat_size), ascending
    drawn: Floats  # (signals, stat_size), ascending: the newest draw from the older ones
    counts: Ints  # (signals, 3): values since the start, 1 after a detection, all values
    generators: NDArray[np.uint64]  # (signals, 4)


def new_state(signals: int, window_size: int, stat_size: int, seed: int) -> KswinState:
    """Empty windows; signal s draws from stream s of the seed."""
    return KswinState(
        window=np.zeros((signals, window_size)),
        starts=np.zeros((signals, stat_size, 2), np.int64),
        older=np.zeros((signals, window_size - stat_size)),
        recent=np.zeros((signals, stat_size)),
        drawn=np.zeros((signals, stat_size)),
        counts=np.zeros((signals, 3), np.int64),
        generators=np.stack([new_generator(seed, signal) for signal in range(signals)]),
    )


def critical_distance(alpha: float, size: int) -> int:
    """Smallest detected distance between two samples of `size` values, in values; size + 1 where there is none."""
    low, high = 1, size + 1
    while low < high:
        middle = (low + high) // 2
        if p_value(middle, size) <= Fraction(alpha) and middle / size > 0.1:
            high = middle
        else:
            low = middle + 1
    return low


def p_value(distance: int, size: int) -> Fraction:
    """Chance that two samples of `size` values of one distribution are `distance` / size apart or more, exactly.

    Two-sided, without ties: 2 * sum over k of (-1)^(k - 1) * C(2n, n - k * d) / C(2n, n) (Gnedenko, Korolyuk 1951).
    """
    steps = range(1, size // distance + 1)
    paths = sum((-1) ** (step - 1) * math.comb(2 * size, size - step * distance) for step in steps)
    return Fraction(2 * paths, math.comb(2 * size, size))


@kernel
def update_kswin(
    values: Floats, offsets: Ints, times_ms: Ints, cell: int, settings: Floats, state: KswinState, found: Found
) -> tuple[int, int]:
    """Feed cells `cell`, cell + 1, ... of `values`, signal after signal, until all are fed or `found` is full.

    `settings` holds the critical distance. Returns the cell to go on from and the number of detections in `found`.
    """
    rows, signals = values.shape
    counts, window_size, stat_size = state.counts, state.window.shape[1], state.recent.shape[1]
    entries = 0
    while cell < rows * signals and entries < len(found.places):
        signal, row = cell // rows, cell % rows
        cell += 1
        if not math.isfinite(values[row, signal]):
            continue
        if counts[signal, CHANGED] == 1:
            counts[signal, NUMBER] = 0
            counts[signal, CHANGED] = 0
        slot = counts[signal, NUMBER] % stat_size
        state.starts[signal, slot, 0] = offsets[row]
        state.starts[signal, slot, 1] = times_ms[row]
        _slide(state, signal, values[row, signal])
        if counts[signal, NUMBER] < window_size:
            continue
        _draw(state.older[signal], state.drawn[signal], state.generators[signal])
        distance = _distance(state.drawn[signal], state.recent[signal])
        if distance >= settings[0]:
            counts[signal, CHANGED] = 1
            found.places[entries, 0] = row
            found.places[entries, 1] = signal
            found.statistics[entries, 3] = distance / stat_size
            _fill_in(state, signal, found, entries)
            entries += 1
    return cell, entries


@kernel
def _slide(state: KswinState, signal: int, value: float) -> None:
    """Let the oldest value go, the oldest recent one become older, and the new one in."""
    window, older, recent = state.window[signal], state.older[signal], state.recent[signal]
    number, window_size, stat_size = state.counts[signal, NUMBER], len(window), len(recent)
    if number >= window_size:
        _remove(older, len(older), window[number % window_size])
    if number >= stat_size:
        ageing = window[(number - stat_size) % window_size]
        _remove(recent, stat_size, ageing)
        _insert(older, min(number - stat_size, len(older) - 1), ageing)
    _insert(recent, min(number, stat_size - 1), value)
    window[number % window_size] = value
    state.counts[signal, NUMBER] += 1
    state.counts[signal, SEEN] += 1


@kernel
def _insert(ascending: Floats, count: int, value: float) -> None:
    place = count
    while place > 0 and ascending[place - 1] > value:
        ascending[place] = ascending[place - 1]
        place -= 1
    ascending[place] = value


@kernel
def _remove(ascending: Floats, count: int, value: float) -> None:
    place = 0
    while ascending[place] != value:
        place += 1
    for later in range(place, count - 1):
        ascending[later] = ascending[later + 1]


@kernel
def _draw(older: Floats, drawn: Floats, generator: NDArray[np.uint64]) -> None:
    """Draw len(drawn) of the older values without replacement, ascending (Knuth, TAOCP 2, 3.4.2, algorithm S)."""
    taken = 0
    for place in range(len(older)):
        if (len(older) - place) * uniform(generator) < len(drawn) - taken:
            drawn[taken] = older[place]
            taken += 1
            if taken == len(drawn):
                return


@kernel
def _distance(left: Floats, right: Floats) -> int:
    """Largest difference between the numbers of values up to x on both sides, over all x."""
    farthest, i, j = 0, 0, 0
    while i < len(left) and j < len(right):
        x = min(left[i], right[j])
        while i < len(left) and left[i] <= x:
            i += 1
        while j < len(right) and right[j] <= x:
            j += 1
        farthest = max(farthest, abs(i - j))
    return farthest


@kernel
def _fill_in(state: KswinState, signal: int, found: Found, entry: int) -> None:
    older, recent = state.older[signal], state.recent[signal]
    slot = state.counts[signal, NUMBER] % len(recent)  # of the oldest recent value
    before, after = _mean(older), _mean(recent)
    deviation = _squared_deviations(older, before) + _squared_deviations(recent, after)
    found.places[entry, 2] = state.starts[signal, slot, 0]
    found.places[entry, 3] = state.starts[signal, slot, 1]
    found.places[entry, 4] = len(older)
    found.places[entry, 5] = len(recent)
    found.places[entry, 6] = state.counts[signal, SEEN]
    found.statistics[entry, 0] = before
    found.statistics[entry, 1] = after
    found.statistics[entry, 2] = math.sqrt(deviation / (len(older) + len(recent)))


@kernel
def _mean(values: Floats) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


@kernel
def _squared_deviations(values: Floats, mean: float) -> float:
    total = 0.0
    for value in values:
        total += (value - mean) * (value - mean)
    return total
