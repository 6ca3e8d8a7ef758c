"""River doing what a compiled model does, one row and one verb at a time."""

import functools
import math
from typing import Any

import numpy as np

from stream import models
from stream.models.declaration import Declaration, steps_of
from stream.models.scalers import MinMaxScaler
from stream.models.task import Task, TaskKind
from stream.records import Floats
from tests.models.streams import STREAMS, Stream

Row = dict[str, float]


class RiverScaler:
    """River's scaler on the dense inputs; sparse ones (their names hold a `=`) pass through."""

    def __init__(self, declared: Declaration) -> None:
        self.scaler = declared.to_river()
        self.needs_a_value = isinstance(declared, MinMaxScaler)
        self.seen: set[str] = set()

    def learn_one(self, x: Row) -> None:
        dense = {name: value for name, value in x.items() if "=" not in name}
        self.seen.update(dense)
        self.scaler.learn_one(dense)

    def transform_one(self, x: Row) -> Row:
        """Where River's MinMaxScaler has seen no value of a feature (NaN, or a TypeError with a window), 0."""
        dense = {name: value for name, value in x.items() if "=" not in name}
        known = {name: value for name, value in dense.items() if name in self.seen or not self.needs_a_value}
        return {**dict.fromkeys(dense, 0.0), **self.scaler.transform_one(known), **without_dense(x)}


def without_dense(x: Row) -> Row:
    return {name: value for name, value in x.items() if "=" in name}


class RiverTwin:
    """The estimator behind its scalers, which learn at arrival or with the label."""

    def __init__(self, declared: Declaration, task: Task, scale_at: models.ScaleAt) -> None:
        *scalers, estimator = steps_of(declared)
        self.scalers = [RiverScaler(scaler) for scaler in scalers]
        self.estimator: Any = estimator.to_river()
        self.task = task
        self.at_arrival = scale_at is models.ScaleAt.ARRIVAL

    def score(self, x: Row) -> list[float]:
        return self._score(scaled(self.scalers, x, learns=self.at_arrival))

    def learn(self, x: Row, target: float) -> None:
        self._learn(scaled(self.scalers, x, learns=not self.at_arrival), target)

    def run(self, rows: list[Row], targets: Floats) -> Floats:
        """Scores of all rows, each learned from behind its score where it has a target."""
        scores = []
        for x, target in zip(rows, targets, strict=True):
            scores.append(self.score(x))
            if is_learned(self.task.kind, target):
                self.learn(x, float(target))
        return np.array(scores, dtype=np.float64)

    def run_scaled(self, rows: list[tuple[Row, Row]], targets: Floats) -> Floats:
        """The same, of rows as `scaled_rows` gives them."""
        scores = []
        for (scored, learned), target in zip(rows, targets, strict=True):
            scores.append(self._score(scored))
            if is_learned(self.task.kind, target):
                self._learn(learned, float(target))
        return np.array(scores, dtype=np.float64)

    def _score(self, scaled: Row) -> list[float]:
        if self.task.kind is TaskKind.ANOMALY:
            return [self.estimator.score_one(scaled)]
        if self.task.kind is TaskKind.REGRESSION:
            return [self.estimator.predict_one(scaled)]
        labels = [True] if self.task.kind is TaskKind.BINARY else list(range(self.task.scores))
        probabilities = self.estimator.predict_proba_one(scaled)
        nothing_learned = 1.0 / max(2, len(labels))  # River gives no probabilities at all
        return [probabilities.get(label, 0.0) if probabilities else nothing_learned for label in labels]

    def _learn(self, scaled: Row, target: float) -> None:
        if self.task.kind is TaskKind.ANOMALY:
            self.estimator.learn_one(scaled)
        elif self.task.kind is TaskKind.REGRESSION:
            self.estimator.learn_one(scaled, target)
        else:
            self.estimator.learn_one(scaled, bool(target) if self.task.kind is TaskKind.BINARY else int(target))


def is_learned(kind: TaskKind, target: float) -> bool:
    return kind is TaskKind.ANOMALY or not math.isnan(target)


def scaled(scalers: list[RiverScaler], x: Row, learns: bool) -> Row:
    for scaler in scalers:
        if learns:
            scaler.learn_one(x)
        x = scaler.transform_one(x)
    return x


# River's scalers take a third of the time of a twin, and most twins have the same: those of one declaration, on all
# streams, serve the next.
@functools.lru_cache(maxsize=2 * len(STREAMS))
def scaled_rows(
    declared: tuple[Declaration, ...], stream: Stream, kind: TaskKind, scale_at: models.ScaleAt
) -> list[tuple[Row, Row]]:
    """Each row as it is scored, and as it is learned from (where it is)."""
    scalers = [RiverScaler(each) for each in declared]
    rows = []
    for x, target in zip(stream.dicts, targets_for(stream, kind), strict=True):
        scored = scaled(scalers, x, learns=scale_at is models.ScaleAt.ARRIVAL)
        is_changed = scale_at is models.ScaleAt.LABEL and is_learned(kind, target)
        rows.append((scored, scaled(scalers, x, learns=True) if is_changed else scored))
    return rows


def targets_for(stream: Stream, kind: TaskKind) -> Floats:
    return {
        TaskKind.BINARY: stream.binary,
        TaskKind.ANOMALY: stream.binary,
        TaskKind.MULTICLASS: stream.classes,
        TaskKind.REGRESSION: stream.numbers,
    }[kind]


def assert_twins(declared: Declaration, stream: Stream, task: Task, scale_at: models.ScaleAt) -> models.Model:
    """Compiled and River's scores agree to 1e-9 (relative) on every row. Returns the compiled model, taught."""
    targets = targets_for(stream, task.kind)
    model = models.compile_model(declared, stream.layout, task, scale_at)
    compiled = model.score_and_learn(stream.batch, targets).scores
    rows = scaled_rows(tuple(steps_of(declared)[:-1]), stream, task.kind, scale_at)
    expected = RiverTwin(declared, task, scale_at).run_scaled(rows, targets)
    assert expected.std() > 1e-3, "a twin that always says the same proves nothing"
    # Below 1e-15 a score is a sum of larger terms that cancel, or a probability nobody can tell from 0.
    np.testing.assert_allclose(compiled, expected, rtol=1e-9, atol=1e-15)
    return model
