"""What the engine sees of a model, compiled or River's."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.kernels.pages import Paged
from stream.models.task import Task
from stream.records import FeatureBatch, Floats


class ScaleAt(Enum):
    """When scalers before an estimator learn."""

    ARRIVAL = "arrival"  # when the event is scored, before it is scaled: right where labels are late
    LABEL = "label"  # when the event is learned from, after it was scored: River's order (a Pipeline's learn_one)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of n rows, each taken before its row was learned from."""

    scores: Floats  # (n, k): probability of 1, number or anomaly score (k = 1), or a probability per class
    top_features: NDArray[np.int32]  # (n, 3): dense feature j is j, sparse group g is d + g; -1 where there is none
    top_contributions: Floats  # (n, 3): weight times (scaled) input of those features, largest magnitude first

    def __len__(self) -> int:
        return len(self.scores)


class Model(Protocol):
    """A model in the middle of its life. Not thread-safe: one task owns it."""

    @property
    def definition(self) -> str:
        """Canonical text of everything that decides what the model computes: declaration, layout, task, order."""

    @property
    def digest(self) -> str:
        """SHA-256 of `definition`, in hexadecimal. State of another digest must not be loaded."""

    @property
    def is_pickled(self) -> bool:
        """True where `arrays()` holds a pickle (River's models): load it only from a source you trust."""

    @property
    def task(self) -> Task: ...

    def score_and_learn(self, batch: FeatureBatch, targets: Floats) -> Scored:
        """For events that arrive: score each row, then learn from it where its target is not NaN, then the next row.

        What needs no label learns from every row: anomaly detectors, and scalers with ScaleAt.ARRIVAL.
        """

    def score(self, batch: FeatureBatch) -> Scored:
        """For events that arrive without labels: the same with every target NaN."""

    def learn(self, batch: FeatureBatch, targets: Floats) -> None:
        """For labels that come later: learn from the rows as they were at arrival, where the target is not NaN.

        With ScaleAt.ARRIVAL the rows are scaled by today's statistics and not counted in them again.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything needed to continue, as live arrays under stable names."""

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `arrays()` gave, here or elsewhere.

        Raises TaskCorrupted when names, shapes or types do not fit: discard the state and restore another.
        """

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays()` that are large, with the marks of their pages (see stream.kernels.pages)."""

    @property
    def state_bytes(self) -> int:
        """Bytes of `arrays()`, told without making them: of a pickle those of the last one made."""

    def metrics(self) -> Mapping[str, float]:
        """Figures for operators: rows learned, invalid inputs and targets, size of the weights, state bytes."""
