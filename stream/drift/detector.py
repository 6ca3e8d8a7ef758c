"""Detectors at work: a declaration, compiled for many signals, and its state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stream.drift import adwin, ddm, kswin, page_hinkley
from stream.drift.declarations import ADWIN, DDM, KSWIN, Declaration, PageHinkley
from stream.drift.detections import Detections, Found
from stream.drift.unit_range import in_own_unit, new_ranges, to_unit
from stream.errors import ConfigError, TaskCorrupted
from stream.records import Bools, Floats, Ints

FOUND_AT_ONCE = 64  # detections a kernel returns at once; it is called again while there are more

Update = Callable[..., tuple[int, int]]


class Detector:
    """One declared detector watching `signals` signals, each on its own. Made by `compile_detector`."""

    def __init__(
        self, declaration: Declaration, update: Update, settings: Floats, state: Any, is_scaled: Bools
    ) -> None:
        self.declaration = declaration
        self._is_scaled = is_scaled
        self._ranges = new_ranges(is_scaled)
        self._update = update
        self._settings = settings
        self._state = state
        self._found = Found(np.zeros((FOUND_AT_ONCE, 7), np.int64), np.zeros((FOUND_AT_ONCE, 4)))

    def update(self, values: Floats, offsets: Ints, times_ms: Ints) -> Detections:
        """Feed a batch of values, row after row; how a stream is cut into batches changes nothing.

        Args:
            values: (n, signals). NaN and infinities are missing and skipped.
            offsets: (n,), of the events that the values belong to.
            times_ms: (n,), of the same events.

        Returns:
            What was detected, ordered by row, then by signal.

        Raises:
            ValueError: The shapes do not fit each other or the number of signals. Nothing was fed.
        """
        signals = self._state[0].shape[0]
        rows = len(offsets)
        if values.shape != (rows, signals) or times_ms.shape != (rows,):
            raise ValueError(
                f"values {values.shape}, offsets {offsets.shape}, times_ms {times_ms.shape}: "
                f"expected (n, {signals}), (n,), (n,)"
            )
        values = np.ascontiguousarray(values, np.float64)
        offsets = np.ascontiguousarray(offsets, np.int64)
        times_ms = np.ascontiguousarray(times_ms, np.int64)
        if self._is_scaled.any():
            scaled = np.empty_like(values)
            to_unit(values, self._is_scaled, self._ranges, scaled)
            values = scaled
        places, statistics = [self._found.places[:0]], [self._found.statistics[:0]]
        cell = 0
        while cell < rows * signals:
            cell, count = self._update(values, offsets, times_ms, cell, self._settings, self._state, self._found)
            places.append(self._found.places[:count].copy())
            statistics.append(self._found.statistics[:count].copy())
        detections = Detections.of(np.concatenate(places), np.concatenate(statistics))
        return in_own_unit(detections, self._is_scaled, self._ranges)

    @property
    def levels(self) -> Floats:
        """(signals,): where each signal stands in its own unit, as the mean of this detector's window; NaN if empty."""
        low, high = self._ranges.lows, self._ranges.highs
        width = np.where(high > low, high - low, 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._is_scaled, low + width * _means(self._state), _means(self._state))

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to continue: live arrays by stable names."""
        return {**self._state._asdict(), **self._ranges._asdict()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy saved arrays in and continue from there.

        Raises:
            TaskCorrupted: An array is missing, or its shape or dtype is another. Nothing was loaded.
        """
        for name, live in self.arrays().items():
            saved = arrays.get(name)
            if saved is None or saved.shape != live.shape or saved.dtype != live.dtype:
                got = "nothing" if saved is None else f"{saved.dtype} {saved.shape}"
                raise TaskCorrupted(
                    f"{self.declaration.definition}: saved array {name!r} is {got}, "
                    f"expected {live.dtype} {live.shape}. Restore the task from an older snapshot."
                )
        for name, live in self.arrays().items():
            live[:] = arrays[name]

    @property
    def state_bytes(self) -> int:
        """Bytes of state, all signals together."""
        return sum(array.nbytes for array in self.arrays().values())


def _means(state: Any) -> Floats:
    """Mean of each signal in its detector's window; NaN where it holds nothing."""
    match state:
        case adwin.AdwinState():
            means: Floats = state.windows[:, adwin.TOTAL] / state.windows[:, adwin.WIDTH]
        case ddm.DdmState():
            means = np.where(state.rates[:, ddm.NUMBER] > 0, state.rates[:, ddm.RATE], np.nan)
        case page_hinkley.PageHinkleyState():
            means = np.where(state.sums[:, page_hinkley.NUMBER] > 0, state.sums[:, page_hinkley.MEAN], np.nan)
        case _:
            is_full = state.counts[:, kswin.NUMBER] >= state.window.shape[1]
            means = np.where(is_full, state.recent.mean(axis=1), np.nan)
    return means


def compile_detector(declaration: Declaration, signals: int, scaled: Sequence[int] = ()) -> Detector:
    """Make a declared detector ready for `signals` signals.

    Args:
        declaration: What is to detect.
        signals: Number of signals, the columns of the values.
        scaled: Signals of any unit (features: amounts, counts), which are watched as parts of the range of their
            first 1,000 values; detections come in the signal's unit. ADWIN wants this for all signals that do not lie
            between 0 and 1 by nature. Without it detections are River's.

    Raises:
        ConfigError: `signals` is not positive, `scaled` names another, or the declaration is none of this room's.
    """
    if signals < 1:
        raise ConfigError(f"{declaration.name}: it watches {signals} signals, but needs at least one.")
    if not all(0 <= signal < signals for signal in scaled):
        raise ConfigError(f"{declaration.name}: scaled={scaled!r}, but the signals are 0 to {signals - 1}.")
    settings, update, state = _compile(declaration, signals)
    is_scaled = np.isin(np.arange(signals), np.array(scaled, np.int64))
    return Detector(declaration, update, np.array(settings, np.float64), state, is_scaled)


def _compile(declaration: Declaration, signals: int) -> tuple[list[float], Update, Any]:
    """The settings in the order that the kernel reads them, the kernel, and its state."""
    match declaration:
        case ADWIN(delta, clock, max_buckets, min_window_length, grace_period):
            settings = [delta, clock, max_buckets, min_window_length, grace_period]
            return settings, adwin.update_adwin, adwin.new_state(signals, max_buckets)
        case DDM(warm_start, warning_threshold, drift_threshold):
            return [warm_start, warning_threshold, drift_threshold], ddm.update_ddm, ddm.new_state(signals)
        case PageHinkley(min_instances, delta, threshold, alpha, mode):
            settings = [min_instances, delta, threshold, alpha, mode != "down", mode != "up"]
            return settings, page_hinkley.update_page_hinkley, page_hinkley.new_state(signals)
        case KSWIN(alpha, window_size, stat_size, seed):
            distance = kswin.critical_distance(alpha, stat_size)
            if distance > stat_size:
                raise ConfigError(
                    f"KSWIN: alpha={alpha!r} can never be reached with stat_size={stat_size}. Raise one of them."
                )
            return [distance], kswin.update_kswin, kswin.new_state(signals, window_size, stat_size, seed)
        case _:
            raise ConfigError(f"{declaration!r} is no detector: use ADWIN, DDM, PageHinkley or KSWIN.")
