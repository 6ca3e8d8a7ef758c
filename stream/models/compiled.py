"""A model whose pipeline runs as one generated kernel."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import ConfigError, TaskCorrupted
from stream.kernels.pages import Paged
from stream.models.declaration import Declaration, steps_of
from stream.models.estimator import Estimator, Scaler
from stream.models.kernels.arguments import INVALID_INPUTS, INVALID_TARGETS, ROWS_LEARNED, STRONGEST, Output, Rows, Work
from stream.models.model import ScaleAt, Scored
from stream.models.program import load_kernel
from stream.models.task import Task
from stream.records import FeatureBatch, FeatureLayout, Floats


class CompiledModel:
    """See stream.models.model.Model."""

    is_pickled = False

    def __init__(self, declared: Declaration, layout: FeatureLayout, task: Task, scale_at: ScaleAt) -> None:
        scalers, estimator = split(declared)
        estimator.check(task, layout, scalers)
        self._estimator = estimator
        self.task = task
        self.definition = f"{declared.definition} on {layout!r} for {task!r}, scalers learn at {scale_at.value}"
        self.digest = hashlib.sha256(self.definition.encode()).hexdigest()
        lines = [scaler.first_lines(len(layout.dense)) for scaler in scalers]
        self._parameters = estimator.parameters(task)
        self._state = estimator.first_state(
            layout, task, np.concatenate(lines) if lines else np.zeros((0, len(layout.dense)))
        )
        self._work = Work(np.empty(len(layout.dense)), np.empty(estimator.terms(layout, task)))
        self._run: Callable[..., None] = load_kernel(scalers, estimator, scale_at)

    def score_and_learn(self, batch: FeatureBatch, targets: Floats) -> Scored:
        out = Output(
            np.empty((len(batch), self.task.scores)),
            np.full((len(batch), STRONGEST), -1, dtype=np.int32),
            np.zeros((len(batch), STRONGEST)),
        )
        self._run(rows_of(batch), plain(targets, np.float64), self._state, self._parameters, self._work, out, True)
        return Scored(*out)

    def score(self, batch: FeatureBatch) -> Scored:
        return self.score_and_learn(batch, np.full(len(batch), np.nan))

    def learn(self, batch: FeatureBatch, targets: Floats) -> None:
        nothing = Output(np.empty((0, 1)), np.empty((0, STRONGEST), dtype=np.int32), np.empty((0, STRONGEST)))
        self._run(rows_of(batch), plain(targets, np.float64), self._state, self._parameters, self._work, nothing, False)

    def arrays(self) -> dict[str, NDArray[Any]]:
        state = self._state
        return {"scalars": state.scalars, "scalers": state.scalers, "weights": state.weights, "table": state.table}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        own = self.arrays()
        if set(arrays) != set(own):
            raise TaskCorrupted(f"state of a model holds {sorted(arrays)}, expected {sorted(own)}")
        for name, target in own.items():
            found = arrays[name]
            if found.shape != target.shape or found.dtype != target.dtype:
                raise TaskCorrupted(
                    f"state of a model: {name} is {found.dtype}{found.shape}, expected {target.dtype}{target.shape}"
                )
        for name, target in own.items():
            target[...] = arrays[name]

    def paged(self) -> dict[str, Paged]:
        return {"table": Paged(self._state.table, self._state.pages, len(self._state.table))}

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays().values())

    def metrics(self) -> Mapping[str, float]:
        state = self._state
        return {
            "rows_learned": float(state.scalars[ROWS_LEARNED]),
            "invalid_inputs": float(state.scalars[INVALID_INPUTS]),
            "invalid_targets": float(state.scalars[INVALID_TARGETS]),
            **self._estimator.metrics(state),
            "state_bytes": float(self.state_bytes),
        }


def rows_of(batch: FeatureBatch) -> Rows:
    return Rows(
        plain(batch.dense, np.float64),
        plain(batch.indptr, np.int64),
        plain(batch.indices, np.int64),
        plain(batch.values, np.float64),
    )


def plain(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """The array itself; a copy of a read-only or strided one, for which the kernel would be compiled once more."""
    return np.require(array, dtype, ["C", "W"])


def split(declared: Declaration) -> tuple[tuple[Scaler, ...], Estimator]:
    """Scalers and the estimator behind them; ConfigError where the pipeline is not of that shape."""
    *before, last = steps_of(declared)
    if not isinstance(last, Estimator):
        raise ConfigError(f"the model {declared.definition} must end in an estimator, such as LogisticRegression()")
    for step in before:
        if not isinstance(step, Scaler):
            raise ConfigError(
                f"{type(step).__name__} cannot come before another step in {declared.definition}: "
                f"only scalers come before the one estimator"
            )
    return tuple(step for step in before if isinstance(step, Scaler)), last
