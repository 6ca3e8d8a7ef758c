"""The one kernel that runs a pipeline: its source, the loop over rows, is made of the steps' lines."""

from collections.abc import Callable
from textwrap import indent

from stream.kernels import load_generated
from stream.models.estimator import Estimator, Scaler
from stream.models.model import ScaleAt

HEAD = '''"""{title}

Generated from the declaration of a model: one loop that scales, scores and learns, row after row.
"""

from stream.kernels import kernel
{imports}


@kernel
def run(rows, targets, state, parameters, work, out, is_arrival):
    x = work.x
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


def load_kernel(scalers: tuple[Scaler, ...], estimator: Estimator, scale_at: ScaleAt) -> Callable[..., None]:
    """The kernel of the pipeline: one for all pipelines that differ in numbers only."""
    name = "_".join(type(step).__name__ for step in (*scalers, estimator))
    run: Callable[..., None] = load_generated(f"model_{name}", source_of(scalers, estimator, scale_at)).run
    return run


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
