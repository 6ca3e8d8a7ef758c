"""What a compiled step must tell the program that is generated for its pipeline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stream.errors import ConfigError
from stream.models.declaration import Declaration
from stream.models.kernels.arguments import State
from stream.models.task import Task, TaskKind
from stream.records import FeatureLayout, Floats


@dataclass(frozen=True, slots=True)
class Steps:
    """An estimator's part of the generated loop over rows, as lines of Python."""

    imports: tuple[str, ...]  # "module:name" of every kernel and constant that the lines use
    setup: tuple[str, ...]  # before the loop
    learns: str  # condition under which row i is learned from
    prepare: tuple[str, ...]  # before both of the following
    score: tuple[str, ...]  # fills out.scores[i]
    learn: tuple[str, ...]


class Scaler(Declaration):
    """A compiled transformation of the dense inputs. Sparse (hashed, one-hot, text) inputs pass through unscaled."""

    __slots__ = ()

    @property
    def learn_kernel(self) -> str:
        raise NotImplementedError

    @property
    def scale_kernel(self) -> str:
        raise NotImplementedError

    def first_lines(self, d: int) -> Floats:
        """(lines, d): its statistics before any row."""
        raise NotImplementedError


class Estimator(Declaration):
    """A compiled learner: the last step of a pipeline."""

    __slots__ = ()
    tasks: ClassVar[tuple[TaskKind, ...]]

    def check(self, task: Task, layout: FeatureLayout, scalers: tuple[Scaler, ...]) -> None:
        """Raise ConfigError where this estimator makes no sense for the task."""
        if task.kind not in self.tasks:
            possible = ", ".join(kind.value for kind in self.tasks)
            raise ConfigError(
                f"{type(self).__name__} cannot predict a {task.kind.value} target: it is made for {possible}. "
                f"{ALTERNATIVES[task.kind]}"
            )

    def steps(self) -> Steps:
        raise NotImplementedError

    def parameters(self, task: Task) -> Floats:
        """The numbers its kernels read."""
        raise NotImplementedError

    def terms(self, layout: FeatureLayout, task: Task) -> int:
        """Length of Work.terms."""
        return 0

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        """Its state before any row."""
        raise NotImplementedError

    def metrics(self, state: State) -> dict[str, float]:
        """Figures of its own for operators."""
        return {}


ALTERNATIVES = {
    TaskKind.BINARY: "Take LogisticRegression, PAClassifier, GaussianNB, MultinomialNB or HalfSpaceTrees.",
    TaskKind.MULTICLASS: "Take GaussianNB or MultinomialNB, or a classifier of River (SoftmaxRegression, "
    "OneVsRestClassifier, HoeffdingTreeClassifier).",
    TaskKind.REGRESSION: "Take LinearRegression, or a regressor of River.",
    TaskKind.ANOMALY: "Take HalfSpaceTrees, or an anomaly detector of River.",
}


def group_ends(layout: FeatureLayout) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Past-the-last index of each sparse group; ConfigError unless the groups follow one another from 0."""
    ends = []
    base = 0
    for group in layout.sparse:
        if group.base != base or group.size < 1:
            raise ConfigError(
                f"sparse feature {group.name!r} starts at {group.base} with {group.size} indices: expected the groups "
                f"of a layout to follow one another, this one from {base} on with at least one index"
            )
        base += group.size
        ends.append(base)
    return np.array(ends, dtype=np.int64)
