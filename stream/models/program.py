"""The one kernel that runs a pipeline: its source, the loop over rows, is made of the steps' lines."""

from collections.abc import Callable, Sequence
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
        learns = {learns}
{body}
'''

# Nothing changes between scoring and learning: one pass over the row does both.
ONE_PASS = """if is_arrival or learns:
    take(rows, i, x)
{scale}
{prepare}
    if is_arrival:
        state.scalars[INVALID_INPUTS] += invalid_inputs(rows, i)
{score}
    if learns:
        state.scalars[ROWS_LEARNED] += 1.0
{learn}"""

# Scalers learn with the label: the row is scaled once to be scored, and anew to be learned from. As a loop and not one
# after the other, because the compiler inlines what is called from one place only, which makes this twice as fast.
TWO_PASSES = """for is_learning in range(0 if is_arrival else 1, 2 if learns else 1):
    take(rows, i, x)
{scale}
{prepare}
    if is_learning == 0:
        state.scalars[INVALID_INPUTS] += invalid_inputs(rows, i)
{score}
    else:
        state.scalars[ROWS_LEARNED] += 1.0
{learn}"""


def load_kernel(scalers: tuple[Scaler, ...], estimator: Estimator, scale_at: ScaleAt) -> Callable[..., None]:
    """The kernel of the pipeline: one for all pipelines that differ in numbers only."""
    name = "_".join(type(step).__name__ for step in (*scalers, estimator))
    run: Callable[..., None] = load_generated(f"model_{name}", source_of(scalers, estimator, scale_at)).run
    return run


def source_of(scalers: tuple[Scaler, ...], estimator: Estimator, scale_at: ScaleAt) -> str:
    """Python source of a module whose kernel `run` executes the pipeline."""
    steps = estimator.steps()
    learns_with_label = bool(scalers) and scale_at is ScaleAt.LABEL
    body = (TWO_PASSES if learns_with_label else ONE_PASS).format(
        scale=block(scale_lines(scalers, "is_learning == 1" if learns_with_label else "is_arrival"), 4),
        prepare=block(steps.prepare, 4),
        score=block(steps.score, 8),
        learn=block(steps.learn, 8),
    )
    kernels = {scaler.learn_kernel for scaler in scalers} | {scaler.scale_kernel for scaler in scalers}
    imports = (
        "stream.models.kernels.arguments:INVALID_INPUTS ROWS_LEARNED",
        "stream.models.kernels.rows:invalid_inputs take",
        *(f"stream.models.kernels.scaling:{name}" for name in kernels),
        *steps.imports,
    )
    title = " | ".join(type(step).__name__ for step in (*scalers, estimator))
    return HEAD.format(
        title=f"{title}, scalers learn at {scale_at.value}.",
        imports="\n".join(sorted({line for entry in imports for line in import_lines(entry)})),
        setup=block(steps.setup, 4),
        learns=steps.learns,
        body=indent(body, " " * 8),
    )


def scale_lines(scalers: tuple[Scaler, ...], learns: str) -> list[str]:
    """Each scaler learns from what the one before it made, on the condition `learns`, and scales in place."""
    lines = []
    at = 0
    for scaler in scalers:
        lines += [f"if {learns}:", f"    {scaler.learn_kernel}(state.scalers, {at}, x)"]
        lines += [f"{scaler.scale_kernel}(state.scalers, {at}, x)"]
        at += len(scaler.first_lines(1))
    return lines


def block(lines: Sequence[str], spaces: int) -> str:
    """Indented lines."""
    return indent("\n".join(lines), " " * spaces)


def import_lines(entry: str) -> list[str]:
    """The import statements of "module:name name=alias"."""
    module, names = entry.split(":")
    return [f"from {module} import {name.replace('=', ' as ')}" for name in names.split()]
