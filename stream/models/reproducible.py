"""Does a model give the same bits when it is trained again, and when it is saved and loaded on the way?"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream.models.compile import compile_model
from stream.models.model import Model, ScaleAt
from stream.models.task import Task
from stream.records import FeatureBatch, FeatureLayout, Floats


@dataclass(frozen=True, slots=True)
class Reproducibility:
    """What the self-test found."""

    rows: int  # of the sample
    first_difference: int | None  # first row whose scores differ between two trainings; None where none does
    first_difference_after_load: int | None  # the same with a save and a load in the middle

    @property
    def is_reproducible(self) -> bool:
        return self.first_difference is None and self.first_difference_after_load is None


def check_reproducible(
    declared: object,
    layout: FeatureLayout,
    task: Task,
    sample: FeatureBatch,
    targets: Floats,
    scale_at: ScaleAt = ScaleAt.ARRIVAL,
) -> Reproducibility:
    """Train three times on `sample` (n rows, targets NaN where there is no label) and compare scores bit by bit.

    The second training is cut into batches of other sizes, the third is saved and loaded at half of the rows. It finds
    hidden random numbers and state that a save forgets; what differs between machines it cannot find.
    """
    n = len(sample)
    once = _scores(compile_model(declared, layout, task, scale_at), sample, targets, 0, n)
    again = compile_model(declared, layout, task, scale_at)
    cuts = [0, n // 7, n // 3, n]
    parts = [_scores(again, sample, targets, first, last) for first, last in pairwise(cuts)]
    before = compile_model(declared, layout, task, scale_at)
    head = _scores(before, sample, targets, 0, n // 2)
    after = compile_model(declared, layout, task, scale_at)
    after.load(before.arrays())
    tail = _scores(after, sample, targets, n // 2, n)
    return Reproducibility(
        n, _first_difference(once, np.concatenate(parts)), _first_difference(once, np.concatenate([head, tail]))
    )


def _scores(model: Model, sample: FeatureBatch, targets: Floats, first: int, last: int) -> Floats:
    start, end = sample.indptr[first], sample.indptr[last]
    part = FeatureBatch(
        sample.dense[first:last],
        sample.indptr[first : last + 1] - start,
        sample.indices[start:end],
        sample.values[start:end],
    )
    return model.score_and_learn(part, targets[first:last]).scores


def _first_difference(one: Floats, other: Floats) -> int | None:
    differing = np.flatnonzero((one.view(np.int64) != other.view(np.int64)).any(axis=1))
    return int(differing[0]) if len(differing) else None
