"""The state of a task: everything that learning and features change, under one roof for snapshots."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream import features, models
from stream.engine.evaluation import Evaluation
from stream.engine.labels import LabelStore, rows_waiting
from stream.engine.monitoring import Monitoring, ShareWatch
from stream.engine.plan import Plan
from stream.engine.snapshot import Checkpoint
from stream.engine.spilled_rows import rows_waiting_outside
from stream.engine.stage_state import StageState
from stream.engine.upgrade import Carried, Restored, carry, check_stages, score_digests
from stream.errors import TaskCorrupted
from stream.kernels.pages import Paged
from stream.models.pickles import check_river, river_version
from stream.records import Array, Ints

_PICKLED = "pickled/"  # of a fact: before the prefix of the arrays


class LearnedState:
    """The stateful parts of a task, each under the prefix of its arrays.

    Args:
        plan: whose parts.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.features = features.FeatureState(plan.features)
        self.models = tuple(
            models.compile_model(item.declaration, plan.features.layout, plan.problem, plan.scale_at)
            for item in plan.models
        )
        self.monitoring = Monitoring(plan)
        self.rejections = ShareWatch(plan.rejection_limit)
        self.key_mismatches = ShareWatch(0.0)
        self.other_partitions = ShareWatch(0.0)
        self.lost_labels = ShareWatch(plan.rejection_limit)
        self.evaluation = Evaluation(plan.problem, plan.decision.threshold, [item.name for item in plan.models])
        self.stage = StageState(plan)
        self.labels: LabelStore | None = None
        if plan.labels is not None:
            scores = len(plan.models) * plan.problem.scores
            self.labels = LabelStore(
                plan.features.layout,
                plan.label_inputs,
                scores,
                plan.labels.horizon_ms,
                plan.labels.state_bytes,
                plan.labels.spilled_bytes,
                score_digests(plan),
            )

    @property
    def labels_kept(self) -> LabelStore:
        """Where rows wait for labels; there is a label topic."""
        assert self.labels is not None
        return self.labels

    def arrays(self) -> dict[str, Array]:
        """All arrays, live, by prefix and name."""
        arrays = {f"features/{name}": array for name, array in self.features.arrays().items()}
        for item, model in zip(self._plan.models, self.models, strict=True):
            arrays |= {f"model/{item.name}/{name}": array for name, array in model.arrays().items()}
        arrays |= self.monitoring.arrays()
        arrays |= {f"evaluation/{name}": array for name, array in self.evaluation.arrays().items()}
        arrays |= {f"share/{name}": watch.counters for name, watch in self._shares().items()}
        arrays |= {f"stage/{name}": array for name, array in self.stage.arrays().items()}
        if self.labels is not None:
            arrays |= {f"labels/{name}": array for name, array in self.labels.arrays().items()}
        return arrays

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages (see stream.kernels.pages)."""
        paged = {f"features/{name}": each for name, each in self.features.paged().items()}
        for item, model in zip(self._plan.models, self.models, strict=True):
            paged |= {f"model/{item.name}/{name}": each for name, each in model.paged().items()}
        if self.labels is not None:
            paged |= {f"labels/{name}": each for name, each in self.labels.paged().items()}
        return paged

    def pickled(self) -> dict[str, str]:
        """Facts that mark which of the arrays are pickles, and by which version of River: read none of another's."""
        names = [item.name for item, model in zip(self._plan.models, self.models, strict=True) if model.is_pickled]
        return {f"{_PICKLED}model/{name}": river_version() for name in names}

    @property
    def state_bytes(self) -> int:
        """Bytes of all arrays, told without making River's pickles."""
        parts: list[Mapping[str, Array]] = [
            self.features.arrays(),
            self.monitoring.arrays(),
            self.evaluation.arrays(),
            {} if self.labels is None else self.labels.arrays(),
            {name: watch.counters for name, watch in self._shares().items()},
        ]
        arrays = sum(array.nbytes for part in parts for array in part.values())
        return arrays + self.stage.state_bytes + sum(model.state_bytes for model in self.models)

    def load(self, arrays: Mapping[str, Array], facts: Mapping[str, str]) -> Restored:
        """Take over the parts whose definition is the plan's; returns what starts anew.

        Args:
            arrays: as `arrays` gave them.
            facts: those of the snapshot, see `stream.engine.upgrade`.

        Raises:
            TaskCorrupted: arrays do not fit the part whose digest they carry.
            ConfigError: another version of River pickled a model, of which nothing was read; or the app's stages are
                not those of the snapshot.
        """
        saved_shares = _under(arrays, "share")
        for name, watch in self._shares().items():
            watch.counters[:] = saved_shares.get(name, 0)
        check_stages(self._plan, facts)
        if self.stage.arrays():
            self.stage.load(_under(arrays, "stage"))
        carried = carry(self._plan, facts)
        for prefix, saved_prefix in carried.kept.items():
            if written_by := facts.get(f"{_PICKLED}{saved_prefix}"):
                check_river(written_by, prefix)
        for prefix, saved_prefix in carried.kept.items():
            self._load_part(prefix, _under(arrays, saved_prefix), carried)
        if carried.features_layout:
            self.features.take_over(_under(arrays, "features"), carried.features_layout)
        known = [item.name for item in self._plan.models if f"model/{item.name}" in carried.kept]
        self.evaluation.load({name.removeprefix("evaluation/"): array for name, array in arrays.items()}, known)
        return Restored(carried.anew, 0 if "labels" in carried.kept else _labels_waiting(arrays))

    def _shares(self) -> dict[str, ShareWatch]:
        return {
            "rejections": self.rejections,
            "key_mismatches": self.key_mismatches,
            "other_partitions": self.other_partitions,
            "lost_labels": self.lost_labels,
        }

    def _load_part(self, prefix: str, arrays: Mapping[str, Array], carried: Carried) -> None:
        kind, _, name = prefix.partition("/")
        if kind == "features":
            self.features.load(arrays)
        elif kind == "model":
            place = [item.name for item in self._plan.models].index(name)
            self.models[place].load(arrays)
        elif kind == "monitor":
            self.monitoring.load(int(name), arrays)
        elif self.labels is not None:
            columns = self._saved_scores(carried)
            if len(carried.saved_models) == len(self.models) and np.array_equal(columns, np.arange(len(columns))):
                self.labels.load(arrays)
            else:
                self.labels.take_over(arrays, columns)

    def _saved_scores(self, carried: Carried) -> Ints:
        """Of each score in a waiting row its place when it was saved; -1 of models that start anew."""
        scores, saved = self._plan.problem.scores, carried.saved_models
        kept = [item.name if f"model/{item.name}" in carried.kept else "" for item in self._plan.models]
        places = [saved.index(name) * scores + score if name else -1 for name in kept for score in range(scores)]
        return np.array(places, np.int64)

    def digest(self) -> str:
        """Hex digest of every bit of the state."""
        content = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()


@dataclass(frozen=True, slots=True)
class LoadedState:
    """The state of a checkpoint, in the form that a task goes on with."""

    checkpoint: Checkpoint
    state: LearnedState
    restored: Restored


def load_state(plan: Plan, checkpoint: Checkpoint) -> LoadedState:
    """A state of its own from a checkpoint, which stays as it is.

    Raises:
        TaskCorrupted: arrays do not fit the part whose digest they carry.
        ConfigError: another version of River pickled a model.
    """
    state = LearnedState(plan)
    return LoadedState(checkpoint, state, state.load(checkpoint.arrays, checkpoint.facts))


def _labels_waiting(arrays: Mapping[str, Array]) -> int:
    """Rows that waited for their label when these arrays were saved, in memory and outside."""
    waiting = rows_waiting(arrays["labels/marks"]) if "labels/marks" in arrays else 0
    if "labels/spilled_marks" in arrays:
        waiting += rows_waiting_outside(arrays["labels/spilled_marks"], arrays["labels/spilled_learned"])
    return waiting


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin with the prefix, without it."""
    under = {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(prefix + "/")}
    if not under:
        raise TaskCorrupted(f"the snapshot has no arrays of {prefix}")
    return under
