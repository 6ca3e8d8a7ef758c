"""Test, then train: metrics over a stream of predictions and the truths about them, as far as they are known."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, overload

import numpy as np

from stream.errors import ConfigError, TaskCorrupted
from stream.evaluate.binary import BinarySummary, summarise_binary, update_binary
from stream.evaluate.binary import new_state as new_binary_state
from stream.evaluate.multiclass import MulticlassSummary, summarise_multiclass, update_multiclass
from stream.evaluate.multiclass import new_state as new_multiclass_state
from stream.evaluate.regression import RegressionSummary, summarise_regression, update_regression
from stream.evaluate.regression import new_state as new_regression_state
from stream.evaluate.segments import NO_SEGMENTS
from stream.evaluate.tasks import Binary, Multiclass, Regression, Task
from stream.records import Floats, Ints

Summary = TypeVar("Summary", BinarySummary, MulticlassSummary, RegressionSummary)


class Prequential(Generic[Summary]):
    """Metrics of one model on one task, overall and by segment, beside baselines; state is a few arrays.

    Give it each event once, in the order in which the truths became known, with the score that was predicted before
    the model learned from it.

    >>> metrics = Prequential(Binary())
    >>> metrics.update(np.array([0.9, 0.2, 0.7, np.nan]), np.array([1.0, 0.0, 0.0, 1.0]))
    >>> metrics.summary().decisions.accuracy, metrics.skipped
    (0.6666666666666666, 1)
    """

    @overload
    def __init__(self: "Prequential[BinarySummary]", task: Binary, max_segments: int = ...) -> None: ...
    @overload
    def __init__(self: "Prequential[MulticlassSummary]", task: Multiclass, max_segments: int = ...) -> None: ...
    @overload
    def __init__(self: "Prequential[RegressionSummary]", task: Regression, max_segments: int = ...) -> None: ...
    def __init__(self, task: Task, max_segments: int = 0) -> None:
        """Start with nothing seen.

        Args:
            task: What is evaluated.
            max_segments: Segments that get metrics of their own; further ones share `others()`. A segment of a binary
                task takes 11 KB.

        Raises:
            ConfigError: `max_segments` is negative.
        """
        if max_segments < 0:
            raise ConfigError(f"Prequential: max_segments={max_segments}, but it must not be negative.")
        self.task = task
        self._state: Any
        match task:
            case Binary():
                self._state = new_binary_state(max_segments)
            case Multiclass(classes):
                self._state = new_multiclass_state(max_segments, classes)
            case Regression():
                self._state = new_regression_state(max_segments)

    def update(self, scores: Floats, targets: Floats, segments: Ints | None = None) -> None:
        """Take in a batch; how a stream is cut into batches changes nothing.

        Args:
            scores: (n,), for a `Multiclass` task (n, classes). A row with NaN is counted and skipped.
            targets: (n,): the truth, as the task says. A row with NaN is counted and skipped.
            segments: (n,), any numbers (codes of a category, hashes); None where no segments are followed.

        Raises:
            ValueError: The shapes do not fit. Nothing was taken in.
        """
        expected = (len(targets), self.task.classes) if isinstance(self.task, Multiclass) else (len(targets),)
        if scores.shape != expected or (segments is not None and segments.shape != targets.shape):
            raise ValueError(
                f"scores {scores.shape}, targets {targets.shape}: expected scores {expected}, segments (n,)"
            )
        scores = np.ascontiguousarray(scores, np.float64)
        targets = np.ascontiguousarray(targets, np.float64)
        segments = NO_SEGMENTS if segments is None else np.ascontiguousarray(segments, np.int64)
        match self.task:
            case Binary(threshold):
                update_binary(scores, targets, segments, threshold, self._state)
            case Multiclass():
                update_multiclass(scores, targets, segments, self._state)
            case Regression():
                update_regression(scores, targets, segments, self._state)

    def summary(self) -> Summary:
        """The metrics over all events."""
        return self._summarise(0)

    def by_segment(self) -> dict[int, Summary]:
        """The metrics of each segment that has a row of its own, in the order of their first events."""
        used = int(self._state.tallies[0])
        return {int(self._state.keys[place]): self._summarise(place + 1) for place in range(used)}

    def others(self) -> Summary:
        """The metrics of the segments that came when all rows were taken, together."""
        return self._summarise(len(self._state.keys) + 1)

    @property
    def skipped(self) -> int:
        """Rows without a score or a target."""
        return int(self._state.tallies[1])

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to continue: live arrays by stable names."""
        return dict(self._state._asdict())

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
                    f"metrics of {self.task}: saved array {name!r} is {got}, expected {live.dtype} {live.shape}. "
                    "Restore the task from an older snapshot."
                )
        for name, live in self.arrays().items():
            live[:] = arrays[name]

    def _summarise(self, row: int) -> Summary:
        match self.task:
            case Binary():
                return summarise_binary(self._state, row)  # type: ignore[return-value]
            case Multiclass():
                return summarise_multiclass(self._state, row)  # type: ignore[return-value]
            case Regression():
                return summarise_regression(self._state, row)  # type: ignore[return-value]
