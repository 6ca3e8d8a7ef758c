"""Naive Bayes classifiers: River's, by River's names and parameters."""

from typing import Any, ClassVar

import numpy as np

from stream.errors import ConfigError
from stream.kernels.pages import new_pages
from stream.models.declaration import check_number, declaration
from stream.models.estimator import Estimator, Scaler, Steps, group_ends
from stream.models.kernels.arguments import FIRST_CLASS, State
from stream.models.scalers import StandardScaler
from stream.models.task import Task, TaskKind
from stream.records import FeatureLayout, Floats


def classes_of(task: Task) -> int:
    """Number of classes that targets may name."""
    return max(task.scores, 2)


class NaiveBayes(Estimator):
    """What both share."""

    __slots__ = ()
    tasks: ClassVar[tuple[TaskKind, ...]] = (TaskKind.BINARY, TaskKind.MULTICLASS)

    def terms(self, layout: FeatureLayout, task: Task) -> int:
        return classes_of(task)


def class_steps(score: str, learn: str, kernels: str) -> Steps:
    """Both naive Bayes classifiers differ in two lines only."""
    return Steps(
        imports=(
            f"stream.models.kernels.naive_bayes:{kernels} give_probabilities",
            "stream.models.kernels.rows:is_class",
        ),
        setup=("likelihoods = work.terms",),
        learns="is_class(targets[i], likelihoods.shape[0], state)",
        score=(score, "give_probabilities(likelihoods, out, i)"),
        prepare=(),
        learn=(learn,),
    )


def class_state(layout: FeatureLayout, task: Task, scalers: Floats, slots: int) -> State:
    """Nothing counted yet."""
    return State(
        scalars=np.zeros(FIRST_CLASS + 2 * classes_of(task)),
        scalers=scalers,
        weights=np.zeros((len(layout.dense), slots)),
        table=np.zeros((layout.sparse_size, slots)),
        pages=new_pages(layout.sparse_size),
        group_ends=group_ends(layout),
    )


@declaration
class GaussianNB(NaiveBayes):
    """Gaussian naive Bayes (river.naive_bayes.GaussianNB): a normal distribution per class and feature.

    Sparse inputs are features like others, over the rows that have them. A class never learned has probability 0;
    before any row was learned all are equally probable (River returns no probabilities there).
    """

    def steps(self) -> Steps:
        return class_steps(
            "score_gaussian(rows, i, x, state, likelihoods)",
            "learn_gaussian(rows, i, x, state, int(targets[i]))",
            "learn_gaussian score_gaussian",
        )

    def parameters(self, task: Task) -> Floats:
        return np.zeros(0)

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        return class_state(layout, task, scalers, 3 * classes_of(task))

    def to_river(self) -> Any:
        from river import naive_bayes

        return naive_bayes.GaussianNB()


@declaration
class MultinomialNB(NaiveBayes):
    """Multinomial naive Bayes for counts (river.naive_bayes.MultinomialNB).

    A feature that is there with value 0 counts as a term, as in River. `alpha` must be above 0: River accepts 0 and
    fails at the first term that a class has not seen. Negative values are not learned from, and counted as invalid.
    """

    alpha: float = 1.0  # added to every count (Laplace); above 0

    def __post_init__(self) -> None:
        check_number(self, "alpha", above=0.0)

    def check(self, task: Task, layout: FeatureLayout, scalers: tuple[Scaler, ...]) -> None:
        Estimator.check(self, task, layout, scalers)
        if any(isinstance(scaler, StandardScaler) for scaler in scalers):
            raise ConfigError(
                "StandardScaler before MultinomialNB makes negative values of counts: "
                "leave the scaler out, or take GaussianNB"
            )

    def steps(self) -> Steps:
        return class_steps(
            "score_multinomial(rows, i, x, state, likelihoods, parameters[0])",
            "learn_multinomial(rows, i, x, state, int(targets[i]), likelihoods.shape[0])",
            "learn_multinomial score_multinomial",
        )

    def parameters(self, task: Task) -> Floats:
        return np.array([self.alpha])

    def first_state(self, layout: FeatureLayout, task: Task, scalers: Floats) -> State:
        return class_state(layout, task, scalers, classes_of(task) + 1)

    def to_river(self) -> Any:
        from river import naive_bayes

        return naive_bayes.MultinomialNB(alpha=self.alpha)
