"""DDM: the error rate has risen well above its minimum.

Gama, Medas, Castillo, Rodrigues, "Learning with drift detection", SBIA 2004. Arithmetic follows River's.
"""

import math
from typing import NamedTuple

import numpy as np

from stream.drift.detections import Found
from stream.kernels import kernel
from stream.records import Floats, Ints

# Columns of DdmState.rates.
NUMBER, RATE, LOWEST_RATE, LOWEST_ERROR, LOWEST_SUM, ZONE_TOTAL = 0, 1, 2, 3, 4, 5
# Columns of DdmState.zones.
CHANGED, SEEN, IN_ZONE, ZONE_OFFSET, ZONE_TIME, ZONE_SIZE = 0, 1, 2, 3, 4, 5
# Entries of the settings.
WARM_START, WARNING, DRIFT = 0, 1, 2


class DdmState(NamedTuple):
    """Error rates since the last detection, and where the warning zone began."""

    rates: (
        Floats  # (signals, 6): number of values, rate; at its lowest: rate, standard error, their sum; sum in the zone
    )
    zones: Ints  # (signals, 6): 1 after a detection, all values; 1 in the warning zone: its first offset, time, values


def new_state(signals: int) -> DdmState:
    """Nothing seen yet."""
    rates = np.zeros((signals, 6))
    rates[:, LOWEST_SUM] = math.inf
    return DdmState(rates, np.zeros((signals, 6), np.int64))


@kernel
def update_ddm(
    values: Floats, offsets: Ints, times_ms: Ints, cell: int, settings: Floats, state: DdmState, found: Found
) -> tuple[int, int]:
    """Feed cells `cell`, cell + 1, ... of `values`, signal after signal, until all are fed or `found` is full.

    Returns the cell to go on from and the number of detections in `found`.
    """
    rows, signals = values.shape
    rates, zones = state.rates, state.zones
    entries = 0
    while cell < rows * signals and entries < len(found.places):
        signal, row = cell // rows, cell % rows
        cell += 1
        if not math.isfinite(values[row, signal]):
            continue
        if zones[signal, CHANGED] == 1:
            rates[signal] = 0.0
            rates[signal, LOWEST_SUM] = math.inf
            zones[signal, CHANGED] = 0
            zones[signal, IN_ZONE] = 0
        zones[signal, SEEN] += 1
        value = min(max(values[row, signal], 0.0), 1.0)
        level = _rise(rates, signal, value, settings)
        _follow_zone(zones, signal, level > 0, offsets[row], times_ms[row])
        rates[signal, ZONE_TOTAL] = value if zones[signal, ZONE_SIZE] <= 1 else rates[signal, ZONE_TOTAL] + value
        if level == 2:
            zones[signal, CHANGED] = 1
            _fill_in(state, signal, row, found, entries)
            entries += 1
    return cell, entries


@kernel
def _rise(rates: Floats, signal: int, value: float, settings: Floats) -> int:
    """Take a value in: 0 where the rate is near its minimum, 1 in the warning zone, 2 where it has changed."""
    rates[signal, NUMBER] += 1.0
    number = rates[signal, NUMBER]
    rates[signal, RATE] += (1.0 / number) * (value - rates[signal, RATE])
    rate = rates[signal, RATE]
    error = math.sqrt(rate * (1.0 - rate) / number)
    if number <= settings[WARM_START]:
        return 0
    if rate + error <= rates[signal, LOWEST_SUM]:
        rates[signal, LOWEST_RATE] = rate
        rates[signal, LOWEST_ERROR] = error
        rates[signal, LOWEST_SUM] = rate + error
    if rate + error > rates[signal, LOWEST_RATE] + settings[DRIFT] * rates[signal, LOWEST_ERROR]:
        return 2
    return 1 if rate + error > rates[signal, LOWEST_RATE] + settings[WARNING] * rates[signal, LOWEST_ERROR] else 0


@kernel
def _follow_zone(zones: Ints, signal: int, is_in_zone: bool, offset: int, time_ms: int) -> None:
    if not is_in_zone:
        zones[signal, IN_ZONE] = 0
        zones[signal, ZONE_SIZE] = 0
        return
    if zones[signal, IN_ZONE] == 0:
        zones[signal, IN_ZONE] = 1
        zones[signal, ZONE_OFFSET] = offset
        zones[signal, ZONE_TIME] = time_ms
        zones[signal, ZONE_SIZE] = 0
    zones[signal, ZONE_SIZE] += 1


@kernel
def _fill_in(state: DdmState, signal: int, row: int, found: Found, entry: int) -> None:
    # Not the rate of all values: after a hundred thousand good ones, it has hardly moved when a change is noticed.
    number, zone_size = state.rates[signal, NUMBER], state.zones[signal, ZONE_SIZE]
    before, after = state.rates[signal, LOWEST_RATE], state.rates[signal, ZONE_TOTAL] / zone_size
    rate = state.rates[signal, RATE]
    found.places[entry, 0] = row
    found.places[entry, 1] = signal
    found.places[entry, 2] = state.zones[signal, ZONE_OFFSET]
    found.places[entry, 3] = state.zones[signal, ZONE_TIME]
    found.places[entry, 4] = int(number) - zone_size
    found.places[entry, 5] = zone_size
    found.places[entry, 6] = state.zones[signal, SEEN]
    found.statistics[entry, 0] = before
    found.statistics[entry, 1] = after
    found.statistics[entry, 2] = math.sqrt((before * (1.0 - before) + after * (1.0 - after)) / 2.0)
    found.statistics[entry, 3] = rate + math.sqrt(rate * (1.0 - rate) / number)
