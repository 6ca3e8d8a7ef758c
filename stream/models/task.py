"""What a model is asked to predict."""

from dataclasses import dataclass
from enum import Enum

from stream.errors import ConfigError


class TaskKind(Enum):
    """How targets and scores are read."""

    BINARY = "binary"  # target 0 or 1; one score: the probability of 1, or an anomaly detector's score
    MULTICLASS = "multiclass"  # target: index among the classes; a probability per class
    REGRESSION = "regression"  # target and score: a number
    ANOMALY = "anomaly"  # no target; one score, high for unusual events


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of prediction and, for MULTICLASS, the names of the classes in the order of targets and scores."""

    kind: TaskKind
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is TaskKind.MULTICLASS and (len(self.classes) < 2 or len(set(self.classes)) < len(self.classes)):
            raise ConfigError(f"a multiclass task needs at least two different classes, got {self.classes!r}")
        if self.kind is not TaskKind.MULTICLASS and self.classes:
            raise ConfigError(f"a {self.kind.value} task has no list of classes, got {self.classes!r}")

    @property
    def scores(self) -> int:
        """Number of score columns."""
        return len(self.classes) if self.kind is TaskKind.MULTICLASS else 1


BINARY = Task(TaskKind.BINARY)
REGRESSION = Task(TaskKind.REGRESSION)
ANOMALY = Task(TaskKind.ANOMALY)


def multiclass(classes: tuple[str, ...]) -> Task:
    """The task of telling `classes` apart."""
    return Task(TaskKind.MULTICLASS, tuple(classes))
