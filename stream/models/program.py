"""Source code of the one kernel that runs a pipeline: the loop over rows, made of the steps' lines."""

from textwrap import indent

from stream.models.estimator import Estimator, Scaler
from stream.models.model import ScaleAt

HEAD = '''"""{title}

Generated from the declaration of a model: one loop that scales, scores and learns, row after row.
"""

import numpy as np

from stream.kernels import kernel
{imports}


@kernel
def run(rows, targets, state, parameters, out, is_arrival):
    x = np.empty(rows.dense.shape[1])
{setup}
    for i in range(rows.dense.shape[0]):
        if is_arrival:
            state.scalars[INVALID_INPUTS] += invalid_inputs(rows, i)
            take(rows, i, x)
{arrive}
        if {learns}:
{learn}
            state.scalars[ROWS_LEARNED] += 1.0
'''


def source_of(scalers: tuple[Scaler, ...], estimator: Estimator, scale_at: ScaleAt) -> str:
    """Python source of a module whose kernel `run` executes the pipeline.

    Learning uses what scoring computed where nothing changed between the two: with ScaleAt.ARRIVAL, or no scaler.
    """
    steps = estimator.steps()
    learns_at_arrival = scale_at is ScaleAt.ARRIVAL
    starts = [sum(scaler.first_lines(1).shape[0] for scaler in scalers[:k]) for k in range(len(scalers))]
    scale = [f"{scaler.scale_kernel}(state.scalers, {at}, x)" for scaler, at in zip(scalers, starts, strict=True)]
    both = [
        line
        for scaler, at, scaling in zip(scalers, starts, scale, strict=True)
        for line in (f"{scaler.learn_kernel}(state.scalers, {at}, x)", scaling)
    ]
    is_fresh_at_learning = bool(scalers) and not learns_at_arrival
    again = ["take(rows, i, x)", *(both if is_fresh_at_learning else scale), *steps.prepare]
    before_learning = again if is_fresh_at_learning else ["if not is_arrival:", *(f"    {line}" for line in again)]
    arrive = [*(both if learns_at_arrival else scale), *steps.score]
    kernels = {scaler.learn_kernel for scaler in scalers} | {scaler.scale_kernel for scaler in scalers}
    imports = (
        "stream.models.kernels.arguments:INVALID_INPUTS ROWS_LEARNED",
        "stream.models.kernels.rows:invalid_inputs take",
        *(f"stream.models.kernels.scaling:{name}" for name in sorted(kernels)),
        *steps.imports,
    )
    title = " | ".join(type(step).__name__ for step in (*scalers, estimator))
    return HEAD.format(
        title=f"{title}, scalers learn at {scale_at.value}.",
        imports="\n".join(sorted({line for entry in imports for line in import_lines(entry)})),
        setup=indent("\n".join(steps.setup), " " * 4),
        arrive=indent("\n".join(arrive), " " * 12),
        learns=steps.learns,
        learn=indent("\n".join([*before_learning, *steps.learn]), " " * 12),
    )


def import_lines(entry: str) -> list[str]:
    """The import statements of "module:name name=alias"."""
    module, names = entry.split(":")
    return [f"from {module} import {name.replace('=', ' as ')}" for name in names.split()]
