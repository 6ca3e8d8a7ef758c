"""Any estimator or pipeline of River as a model of the engine, at River's own speed."""

import contextlib
import hashlib
import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import river
from numpy.typing import NDArray
from river import base, compose

from stream.errors import ConfigError, TaskCorrupted
from stream.kernels.pages import Paged
from stream.models.declaration import Declaration
from stream.models.kernels.arguments import LARGEST_INPUT, STRONGEST
from stream.models.model import ScaleAt, Scored
from stream.models.pickles import check_river
from stream.models.river_declaration import river_definition, unseeded_parameters
from stream.models.river_rows import RiverRows
from stream.models.task import Task, TaskKind
from stream.records import FeatureBatch, FeatureLayout, Floats

COUNTS = ("rows_learned", "invalid_inputs", "invalid_targets")


class RiverModel:
    """See stream.models.model.Model. Strongest features are not known: -1 everywhere.

    A probability that River does not give (nothing learned yet) is equal for all classes; a number it does not give is
    0; a classifier without probabilities gives 1 to the class it names. With ScaleAt.ARRIVAL it runs inside River's
    `compose.learn_during_predict`. Its state is a pickle, whose bytes may differ between models that behave alike.
    """

    is_pickled = True

    def __init__(self, estimator: Any, layout: FeatureLayout, task: Task, scale_at: ScaleAt) -> None:
        estimator = all_river(estimator)
        name = type(estimator).__name__
        unseeded = list(unseeded_parameters(estimator, name))
        if unseeded:
            raise ConfigError(
                f"{', '.join(unseeded)} is None: give a number, so that the model learns the same in every run"
            )
        self._last = last_step(estimator)
        check_kind(self._last, task)
        self.task = task
        self.definition = f"{river_definition(estimator)} on {layout!r} for {task!r}, scalers learn at {scale_at.value}"
        self.digest = hashlib.sha256(self.definition.encode()).hexdigest()
        self._estimator = estimator.clone()
        self._last = last_step(self._estimator)
        self._rows = RiverRows(layout)
        self._at_arrival = scale_at is ScaleAt.ARRIVAL
        self._rows_learned = 0
        self._invalid_targets = 0
        try:
            self._pickle_bytes = len(pickle.dumps(self._estimator))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(f"{name} cannot be stored, and so not be restored after a crash: {error}") from error

    def score_and_learn(self, batch: FeatureBatch, targets: Floats) -> Scored:
        scores = np.empty((len(batch), self.task.scores))
        with self._order():
            for i, x in enumerate(self._rows.of(batch)):
                scores[i] = self._score(x)
                if isinstance(self._last, base.AnomalyDetector):
                    self._estimator.learn_one(x)
                    self._rows_learned += 1
                else:
                    self._learn(x, float(targets[i]))
        return Scored(scores, np.full((len(batch), STRONGEST), -1, dtype=np.int32), np.zeros((len(batch), STRONGEST)))

    def score(self, batch: FeatureBatch) -> Scored:
        return self.score_and_learn(batch, np.full(len(batch), np.nan))

    def learn(self, batch: FeatureBatch, targets: Floats) -> None:
        if isinstance(self._last, base.AnomalyDetector):
            return  # learned at arrival
        counted = self._rows.invalid_inputs  # at arrival
        with self._order():
            for i, x in enumerate(self._rows.of(batch)):
                self._learn(x, float(targets[i]))
        self._rows.invalid_inputs = counted

    def _order(self) -> contextlib.AbstractContextManager[Any]:
        return compose.learn_during_predict() if self._at_arrival else contextlib.nullcontext()

    def _score(self, x: dict[str, float]) -> float | list[float]:
        if isinstance(self._last, base.AnomalyDetector):
            return float(self._estimator.score_one(x))
        if self.task.kind is TaskKind.REGRESSION:
            return float(self._estimator.predict_one(x) or 0.0)
        classes: tuple[Any, ...] = self.task.classes or (False, True)
        probabilities = self._probabilities(x)
        if not probabilities:
            probabilities = dict.fromkeys(classes, 1.0 / len(classes))
        if self.task.kind is TaskKind.BINARY:
            return float(probabilities.get(True, 0.0))
        return [float(probabilities.get(label, 0.0)) for label in classes]

    def _probabilities(self, x: dict[str, float]) -> dict[Any, float]:
        try:
            return dict(self._estimator.predict_proba_one(x))
        except NotImplementedError:  # some classifiers of River only name a class
            label = self._estimator.predict_one(x)
            return {} if label is None else {label: 1.0}

    def _learn(self, x: dict[str, float], target: float) -> None:
        if math.isnan(target):
            return
        if not self._is_possible(target):
            self._invalid_targets += 1
            return
        label: float | bool | str = target
        if self.task.kind is TaskKind.BINARY:
            label = bool(target)
        elif self.task.kind is TaskKind.MULTICLASS:
            label = self.task.classes[int(target)]
        self._estimator.learn_one(x, label)
        self._rows_learned += 1

    def _is_possible(self, target: float) -> bool:
        if self.task.kind is TaskKind.REGRESSION:
            return abs(target) <= LARGEST_INPUT
        return target in range(max(self.task.scores, 2))

    def arrays(self) -> dict[str, NDArray[Any]]:
        counts = (self._rows_learned, self._rows.invalid_inputs, self._invalid_targets)
        pickled = pickle.dumps(self._estimator, protocol=5)
        self._pickle_bytes = len(pickled)
        return {
            "counts": np.array(counts, dtype=np.int64),
            "pickle": np.frombuffer(pickled, dtype=np.uint8),
            "river_version": np.frombuffer(river.__version__.encode(), dtype=np.uint8),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Also raises ConfigError where another minor version of River wrote the state."""
        if set(arrays) != {"counts", "pickle", "river_version"} or arrays["counts"].shape != (len(COUNTS),):
            raise TaskCorrupted(
                f"state of a River model holds {sorted(arrays)}, expected counts, pickle, river_version"
            )
        written_by = arrays["river_version"].tobytes().decode(errors="replace")
        check_river(written_by, type(self._estimator).__name__)
        try:
            estimator = pickle.loads(arrays["pickle"].tobytes())
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, ValueError) as error:
            raise TaskCorrupted(
                f"the pickled state of {type(self._estimator).__name__} cannot be read: {error}"
            ) from error
        if type(estimator) is not type(self._estimator):
            raise TaskCorrupted(
                f"the pickled state is of a {type(estimator).__name__}, expected a {type(self._estimator).__name__}"
            )
        self._estimator = estimator
        self._last = last_step(estimator)
        self._rows_learned, self._rows.invalid_inputs, self._invalid_targets = arrays["counts"].tolist()
        self._pickle_bytes = arrays["pickle"].size

    def paged(self) -> dict[str, Paged]:
        return {}

    @property
    def state_bytes(self) -> int:
        return self._pickle_bytes

    def metrics(self) -> Mapping[str, float]:
        return {
            "rows_learned": float(self._rows_learned),
            "invalid_inputs": float(self._rows.invalid_inputs),
            "invalid_targets": float(self._invalid_targets),
        }


def all_river(estimator: Any) -> Any:
    """The pipeline with River's own classes in place of declarations: `river_step | models.LogisticRegression()`."""
    if not isinstance(estimator, compose.Pipeline):
        return estimator
    steps = estimator.steps.items()
    return compose.Pipeline(
        *((name, step.to_river() if isinstance(step, Declaration) else all_river(step)) for name, step in steps)
    )


def last_step(estimator: Any) -> Any:
    """What predicts: the last step of a pipeline."""
    return last_step(estimator._last_step) if isinstance(estimator, compose.Pipeline) else estimator


def check_kind(last: Any, task: Task) -> None:
    """Raise ConfigError where River's estimator is not made for the task."""
    possible = []
    if isinstance(last, base.Classifier):
        possible = [TaskKind.BINARY] + [TaskKind.MULTICLASS] * bool(last._multiclass)
    elif isinstance(last, base.Regressor):
        possible = [TaskKind.REGRESSION]
    elif isinstance(last, base.AnomalyDetector):
        possible = [TaskKind.ANOMALY, TaskKind.BINARY]
    if task.kind not in possible:
        kinds = ", ".join(kind.value for kind in possible) or "no prediction that the engine knows"
        raise ConfigError(
            f"River's {type(last).__name__} cannot predict a {task.kind.value} target: it is made for {kinds}"
        )
