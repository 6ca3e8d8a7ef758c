"""Detectors on the task's signals, and the share of rejected records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream import drift
from stream.engine.plan import Plan
from stream.models import Task, TaskKind
from stream.records import Array, Floats, Ints

# Records over which the share of rejections is taken.
REJECTION_WINDOW = 1000


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
        self._monitors = plan.monitors
        self._detectors = [
            drift.compile_detector(item.policy.tighten(item.detector, len(item.signals)), len(item.signals))
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
        found = []
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
                found.append(FoundDrift(place, detection.signal, int(offsets[row]), int(times_ms[row]), detection))
        return found

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


class RejectionShare:
    """Watches the share of rejected records, over windows of REJECTION_WINDOW records.

    Args:
        limit: the share above which an alert is due; the next one only after a window below it.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._state = np.zeros(4, np.int64)  # seen and rejected in this window; whether above; rejected in the last

    def observe(self, records: int, rejected: Sequence[int]) -> list[tuple[int, float, float]]:
        """Count records; `rejected` are the rows of those rejected, ascending.

        Returns:
            Where the limit was passed: row, share in the window before, share in this one.
        """
        is_rejected = np.zeros(records, np.int64)
        is_rejected[list(rejected)] = 1
        found, first = [], 0
        while first < records:
            taken = min(records - first, REJECTION_WINDOW - int(self._state[0]))
            self._state[0] += taken
            self._state[1] += int(is_rejected[first : first + taken].sum())
            first += taken
            if self._state[0] == REJECTION_WINDOW and (passed := self._close_window()):
                found.append((first - 1, *passed))
        return found

    def _close_window(self) -> tuple[float, float] | None:
        before, after = float(self._state[3]) / REJECTION_WINDOW, float(self._state[1]) / REJECTION_WINDOW
        was_above, is_above = bool(self._state[2]), after > self._limit
        self._state[:] = (0, 0, is_above, self._state[1])
        return (before, after) if is_above and not was_above else None

    def arrays(self) -> dict[str, Array]:
        """The counters."""
        return {"rejections": self._state}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take over saved counters."""
        self._state[:] = arrays["rejections"]
