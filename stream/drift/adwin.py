"""ADWIN: a window that grows while its mean holds and is cut where it does not.

Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007. The window is kept as buckets
of 1, 2, 4, ... values, about `max_buckets` of each size; every boundary between buckets is a place where the mean may
have changed. Arithmetic follows River's, so that the same values give the same detections.

River merges the two oldest buckets of a size as soon as there are max_buckets + 1 of them. So bucket j of level l
always holds values j * 2^l to (j + 1) * 2^l - 1 since the start, and which buckets there are follows from the number
of values alone (`_made`): no heads, no counts, and several values are taken in at once.
"""

import math
from typing import NamedTuple

import numpy as np

from stream.drift.detections import Found
from stream.kernels import kernel
from stream.kernels.elementary import log
from stream.records import Floats, Ints

LEVELS = 40
LONGEST = 2**40  # values after which a window starts anew, its levels full: 12 days at a million values a second
CHUNK = 8  # most values taken in at once: their merges are then made level by level, which the processor can foresee

# Columns of AdwinState.windows.
WIDTH, TOTAL, DEVIATION = 0, 1, 2
# Columns of AdwinState.counts.
TICKS, CHANGED, SEEN = 0, 1, 2
# Entries of the settings.
DELTA, CLOCK, MAX_BUCKETS, MIN_WINDOW_LENGTH, GRACE_PERIOD = 0, 1, 2, 3, 4


class AdwinState(NamedTuple):
    """The windows of all signals. Bucket j of a level lies in slot j modulo the number of slots (a power of two)."""

    buckets: Floats  # (signals, LEVELS, slots, 2): sum of the values, sum of their squared deviations
    starts: Ints  # (signals, LEVELS, slots, 2): offset and time of the bucket's first value
    windows: Floats  # (signals, 3): number of values, their sum, the sum of their squared deviations
    counts: Ints  # (signals, 3): values since the start; 1 after a detection (the next value starts anew); all values


def new_state(signals: int, max_buckets: int) -> AdwinState:
    """Empty windows."""
    slots = 1 << (max_buckets + CHUNK - 1).bit_length()  # the buckets of a level, and a chunk not yet merged
    return AdwinState(
        buckets=np.zeros((signals, LEVELS, slots, 2)),
        starts=np.zeros((signals, LEVELS, slots, 2), np.int64),
        windows=np.zeros((signals, 3)),
        counts=np.zeros((signals, 3), np.int64),
    )


@kernel
def update_adwin(
    values: Floats, offsets: Ints, times_ms: Ints, cell: int, settings: Floats, state: AdwinState, found: Found
) -> tuple[int, int]:
    """Feed cells `cell`, cell + 1, ... of `values`, signal after signal, until all are fed or `found` is full.

    Returns the cell to go on from and the number of detections in `found`. Signal after signal, because the buckets of
    one signal (8 KB in use) then stay in the nearest cache.
    """
    rows, signals = values.shape
    counts, windows = state.counts, state.windows
    clock, spare = int(settings[CLOCK]), int(settings[MAX_BUCKETS]) - 1
    entries = 0
    while cell < rows * signals and entries < len(found.places):
        signal, row = cell // rows, cell % rows
        if not math.isfinite(values[row, signal]):
            cell += 1
            continue
        if counts[signal, CHANGED] == 1 or counts[signal, TICKS] == LONGEST:
            counts[signal, TICKS] = 0
            counts[signal, CHANGED] = 0
            windows[signal] = 0.0
        ticks = counts[signal, TICKS]
        room = min(CHUNK, clock - ticks % clock, LONGEST - ticks)
        row, taken = _take_in(values, offsets, times_ms, row, room, state, signal)
        _merge(state, signal, ticks, ticks + taken, spare)
        counts[signal, TICKS] += taken
        counts[signal, SEEN] += taken
        cell = signal * rows + row
        is_due = (ticks + taken) % clock == 0 and windows[signal, WIDTH] > settings[GRACE_PERIOD]
        if is_due and _has_changed(state, signal, settings, 0):
            found.places[entries, 0] = row - 1
            found.places[entries, 1] = signal
            _place(state, signal, settings, found, entries)
            _shrink(state, signal, settings)
            counts[signal, CHANGED] = 1
            entries += 1
    return cell, entries


@kernel
def _take_in(
    values: Floats, offsets: Ints, times_ms: Ints, row: int, room: int, state: AdwinState, signal: int
) -> tuple[int, int]:
    """Put up to `room` values into buckets of one value; returns the row behind the last one and their number."""
    buckets, starts, windows = state.buckets, state.starts, state.windows
    mask = buckets.shape[2] - 1
    bucket = state.counts[signal, TICKS]
    width, total, deviation = windows[signal, WIDTH], windows[signal, TOTAL], windows[signal, DEVIATION]
    taken = 0
    while row < len(values) and taken < room:
        value = values[row, signal]
        if math.isfinite(value):
            slot = (bucket + taken) & mask
            buckets[signal, 0, slot, 0] = value
            starts[signal, 0, slot, 0] = offsets[row]
            starts[signal, 0, slot, 1] = times_ms[row]
            if width > 0.0:
                apart = value - total / width
                deviation += width * apart * apart / (width + 1.0)
            width += 1.0
            total += value
            taken += 1
        row += 1
    windows[signal, WIDTH], windows[signal, TOTAL], windows[signal, DEVIATION] = width, total, deviation
    return row, taken


@kernel
def _made(values: int, spare: int, level: int) -> int:
    """Buckets of a level that have been made after so many values; `spare` is max_buckets - 1.

    Buckets of the level above are made of two each, whenever more than spare + 1 are there: made(l + 1) =
    (made(l) - spare) // 2 where positive. Those merged on are the first 2 * made(l + 1).
    """
    return max(((values + spare) >> level) - spare, 0)


@kernel
def _merge(state: AdwinState, signal: int, values_before: int, values_now: int, spare: int) -> None:
    buckets, starts = state.buckets, state.starts
    mask = buckets.shape[2] - 1
    size = 1.0
    for level in range(1, LEVELS):
        first, end = _made(values_before, spare, level), _made(values_now, spare, level)
        if first == end:
            return
        for bucket in range(first, end):
            older, newer, slot = (2 * bucket) & mask, (2 * bucket + 1) & mask, bucket & mask
            left, right = buckets[signal, level - 1, older, 0], buckets[signal, level - 1, newer, 0]
            apart = left / size - right / size
            deviation = buckets[signal, level - 1, older, 1] + buckets[signal, level - 1, newer, 1]
            buckets[signal, level, slot, 0] = left + right
            buckets[signal, level, slot, 1] = deviation + size * 0.5 * apart * apart
            starts[signal, level, slot, 0] = starts[signal, level - 1, older, 0]
            starts[signal, level, slot, 1] = starts[signal, level - 1, older, 1]
        size *= 2.0


@kernel
def _top_level(values: int, spare: int) -> int:
    level = 0
    while _made(values, spare, level + 1) > 0:
        level += 1
    return level


@kernel
def _has_changed(state: AdwinState, signal: int, settings: Floats, dropped: int) -> bool:
    """Whether the means on both sides of any boundary differ by more than chance allows.

    The window is what is left without its `dropped` oldest buckets. Most boundaries are far from a change, so each is
    first held against a bound that needs neither division nor root: with w = n0 + n1 and m = 1 / (n0 - l + 1) +
    1 / (n1 - l + 1) >= w / (n0 * n1), epsilon squared is at least 2 * m * variance * evidence + (2/3 * evidence * m)^2.
    The factors 1 - 1e-12 and 4e-16 keep rounding on the safe side.
    """
    buckets, values = state.buckets, state.counts[signal, TICKS]
    mask, spare = buckets.shape[2] - 1, int(settings[MAX_BUCKETS]) - 1
    width, deviation = state.windows[signal, WIDTH], state.windows[signal, DEVIATION]
    shortest = settings[MIN_WINDOW_LENGTH]
    evidence = log(2.0 * log(width) / settings[DELTA])
    noise = 2.0 * deviation * evidence * (1.0 - 1e-12)
    floor = (2.0 / 3.0 * evidence * width) * (2.0 / 3.0 * evidence * width) * (1.0 - 1e-12)
    older_size, newer_size, older, newer = 0.0, width, 0.0, state.windows[signal, TOTAL]
    for level in range(_top_level(values, spare), -1, -1):
        size = float(1 << level)
        for bucket in range(2 * _made(values, spare, level + 1), _made(values, spare, level)):
            if dropped > 0:
                dropped -= 1
                continue
            total = buckets[signal, level, bucket & mask, 0]
            older_size += size
            newer_size -= size
            older += total
            newer -= total
            if older_size < shortest or newer_size < shortest:
                continue
            left, right = older * newer_size, newer * older_size
            apart = abs(left - right) + 4e-16 * (abs(left) + abs(right))
            if apart * apart < noise * older_size * newer_size + floor:
                continue
            share = 1.0 / (older_size - shortest + 1.0) + 1.0 / (newer_size - shortest + 1.0)
            epsilon = math.sqrt(2.0 * share * (deviation / width) * evidence) + 2.0 / 3.0 * evidence * share
            if abs(older / older_size - newer / newer_size) > epsilon:
                return True
    return False


@kernel
def _place(state: AdwinState, signal: int, settings: Floats, found: Found, entry: int) -> None:
    """Fill the detection in: the boundary at which a change of the mean is most likely, and both sides of it.

    The most likely one (maximum likelihood, equal variances) has the largest n0 * n1 / (n0 + n1) * (mean0 - mean1)^2;
    that is also what the change adds to the window's squared deviations.
    """
    buckets, starts, values = state.buckets, state.starts, state.counts[signal, TICKS]
    mask, spare = buckets.shape[2] - 1, int(settings[MAX_BUCKETS]) - 1
    shortest, width = settings[MIN_WINDOW_LENGTH], state.windows[signal, WIDTH]
    older_size, newer_size, older, newer, most = 0.0, width, 0.0, state.windows[signal, TOTAL], -1.0
    for level in range(_top_level(values, spare), -1, -1):
        size = float(1 << level)
        for bucket in range(2 * _made(values, spare, level + 1), _made(values, spare, level)):
            slot = bucket & mask
            if older_size >= shortest and newer_size >= shortest:
                before, after = older / older_size, newer / newer_size
                explained = older_size * newer_size / width * (after - before) * (after - before)
                if explained > most:
                    most = explained
                    found.places[entry, 2] = starts[signal, level, slot, 0]
                    found.places[entry, 3] = starts[signal, level, slot, 1]
                    found.places[entry, 4] = int(older_size)
                    found.places[entry, 5] = int(newer_size)
                    found.statistics[entry, 0] = before
                    found.statistics[entry, 1] = after
            older_size += size
            newer_size -= size
            older += buckets[signal, level, slot, 0]
            newer -= buckets[signal, level, slot, 0]
    found.places[entry, 6] = state.counts[signal, SEEN]
    found.statistics[entry, 2] = math.sqrt(max(state.windows[signal, DEVIATION] - most, 0.0) / width)
    found.statistics[entry, 3] = abs(found.statistics[entry, 1] - found.statistics[entry, 0])


@kernel
def _shrink(state: AdwinState, signal: int, settings: Floats) -> None:
    """Take the oldest buckets out of the window until no boundary tells its sides apart.

    Only the window's numbers show it: the next value starts anew.
    """
    buckets, windows, values = state.buckets, state.windows, state.counts[signal, TICKS]
    mask, spare = buckets.shape[2] - 1, int(settings[MAX_BUCKETS]) - 1
    dropped = 0
    for level in range(_top_level(values, spare), -1, -1):
        size = float(1 << level)
        for bucket in range(2 * _made(values, spare, level + 1), _made(values, spare, level)):
            if dropped > 0 and not _has_changed(state, signal, settings, dropped):
                return
            total, deviation = buckets[signal, level, bucket & mask, 0], buckets[signal, level, bucket & mask, 1]
            windows[signal, WIDTH] -= size
            windows[signal, TOTAL] -= total
            width = windows[signal, WIDTH]
            apart = total / size - windows[signal, TOTAL] / width
            windows[signal, DEVIATION] -= deviation + size * width * apart * apart / (size + width)
            dropped += 1
