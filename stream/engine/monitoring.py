"""Detectors on the task's signals, and shares of records that should be rare."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from stream import drift
from stream.engine.metrics import DriftStatistic
from stream.engine.plan import Plan
from stream.models import Task, TaskKind
from stream.records import Array, Bools, Floats, Ints

# Records over which a share is taken.
SHARE_WINDOW = 1000


@dataclass(frozen=True, slots=True)
class FoundDrift:
    """A detection that is worth an alert."""

    monitor: int
    signal: int  # among the monitor's
    offset: int  # of the event at which it was noticed
    time_ms: int  # of that event
    detection: drift.Detection


def errors_of(problem: Task, scores: Floats, targets: Floats) -> Floats:
    """Error of every model (n, models): |target - score|, or 1 - the probability of the true class; NaN unlabelled."""
    if problem.kind is not TaskKind.MULTICLASS:
        return np.abs(scores - targets[:, None])
    by_model = _by_model(problem, scores)
    known = ~np.isnan(targets)
    errors = np.full(by_model.shape[:2], np.nan)
    true_class = targets[known].astype(np.int64)
    errors[known] = 1.0 - by_model[known][np.arange(len(true_class)), :, true_class]
    return errors


def _by_model(problem: Task, scores: Floats) -> Floats:
    """The scores as (n, models, scores per model)."""
    return scores.reshape(len(scores), scores.shape[1] // problem.scores, problem.scores)


class Monitoring:
    """The detectors of one task.

    Args:
        plan: whose monitors.
    """

    def __init__(self, plan: Plan) -> None:
        self._problem = plan.problem
        self._models = [item.name for item in plan.models]
        self._monitors = plan.monitors
        self._detectors = [
            drift.compile_detector(
                item.policy.tighten(item.detector, len(item.signals)),
                len(item.signals),
                [place for place, signal in enumerate(item.signals) if signal.kind == "feature"],
            )
            for item in plan.monitors
        ]
        self._only_rises = [np.array([signal.kind == "error" for signal in item.signals]) for item in plan.monitors]

    def observe_events(
        self, dense: Floats, scores: Floats, targets: Floats, offsets: Ints, times_ms: Ints
    ) -> list[FoundDrift]:
        """Feed what n events showed: features (n, d), scores (n, s), and errors where targets (n,) are known."""
        errors = errors_of(self._problem, scores, targets)
        heights = _by_model(self._problem, scores).max(axis=2)
        series = {"feature": dense, "score": heights, "error": errors}
        return self._feed(series, len(scores), offsets, times_ms)

    def observe_labels(self, scores: Floats, targets: Floats, offsets: Ints, times_ms: Ints) -> list[FoundDrift]:
        """Feed the errors that labels revealed, at the offsets and times of their events."""
        series = {"error": errors_of(self._problem, scores, targets)}
        return self._feed(series, len(scores), offsets, times_ms)

    def _feed(self, series: Mapping[str, Floats], rows: int, offsets: Ints, times_ms: Ints) -> list[FoundDrift]:
        found: list[tuple[int, FoundDrift]] = []
        for place, (monitor, detector) in enumerate(zip(self._monitors, self._detectors, strict=True)):
            values = np.full((rows, len(monitor.signals)), np.nan)
            for column, signal in enumerate(monitor.signals):
                if signal.kind in series:
                    values[:, column] = series[signal.kind][:, max(signal.model, signal.feature)]
            detections = detector.update(values, offsets, times_ms)
            if not len(detections):
                continue
            for entry in np.flatnonzero(monitor.policy.select(monitor.detector, detections, self._only_rises[place])):
                detection = detections.entry(int(entry))
                row = detection.row
                drifted = FoundDrift(place, detection.signal, int(offsets[row]), int(times_ms[row]), detection)
                found.append((row, drifted))
        # By row, and not monitor after monitor: otherwise their order would depend on how the stream was cut.
        return [drifted for _, drifted in sorted(found, key=itemgetter(0))]

    def statistics(self) -> tuple[DriftStatistic, ...]:
        """Where every watched series stands now; those without a value are left out."""
        return tuple(
            DriftStatistic(
                self._models[signal.model] if signal.model >= 0 else "",
                signal.name,
                monitor.detector.name,
                float(level),
            )
            for monitor, detector in zip(self._monitors, self._detectors, strict=True)
            for signal, level in zip(monitor.signals, detector.levels, strict=True)
            if not np.isnan(level)
        )

    def arrays(self) -> dict[str, Array]:
        """State of all detectors, live."""
        return {
            f"monitor/{place}/{name}": array
            for place, detector in enumerate(self._detectors)
            for name, array in detector.arrays().items()
        }

    def load(self, place: int, arrays: Mapping[str, Array]) -> None:
        """Take over the state of one detector."""
        self._detectors[place].load(arrays)


class PassedShare(NamedTuple):
    """A share that passed its limit."""

    row: int  # of the batch: the record at which the window ended
    before: float  # share in the window before
    after: float  # share in this one


class ShareWatch:
    """Watches the share of records that something is wrong with, over windows of SHARE_WINDOW records.

    Args:
        limit: the share above which an alert is due; the next one only after a window at or below it.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.counters = np.zeros(4, np.int64)  # seen and wrong in this window; whether above; wrong in the last

    def observe(self, is_wrong: Bools) -> list[PassedShare]:
        """Count records (n,); returns where the limit was passed."""
        found: list[PassedShare] = []
        first = 0
        while first < len(is_wrong):
            taken = min(len(is_wrong) - first, SHARE_WINDOW - int(self.counters[0]))
            self.counters[0] += taken
            self.counters[1] += np.count_nonzero(is_wrong[first : first + taken])
            first += taken
            if self.counters[0] == SHARE_WINDOW and (passed := self._close_window()):
                found.append(PassedShare(first - 1, *passed))
        return found

    def _close_window(self) -> tuple[float, float] | None:
        before, after = float(self.counters[3]) / SHARE_WINDOW, float(self.counters[1]) / SHARE_WINDOW
        was_above, is_above = bool(self.counters[2]), after > self.limit
        self.counters[:] = (0, 0, is_above, self.counters[1])
        return (before, after) if is_above and not was_above else None
