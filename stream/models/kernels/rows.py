"""Reading one row of features and its target."""

import numpy as np

from stream.kernels import kernel
from stream.models.kernels.arguments import INVALID_TARGETS, LARGEST_INPUT, Rows, State
from stream.records import Floats


@kernel
def usable(value: float) -> bool:
    """Neither missing nor infinite nor beyond LARGEST_INPUT."""
    return abs(value) <= LARGEST_INPUT


@kernel
def take(rows: Rows, i: int, x: Floats) -> None:
    """Copy the dense inputs of row i to x; what is not usable becomes NaN."""
    for j in range(x.shape[0]):
        value = rows.dense[i, j]
        x[j] = value if abs(value) <= LARGEST_INPUT else np.nan


@kernel
def invalid_inputs(rows: Rows, i: int) -> int:
    """Number of inputs of row i that are neither missing nor usable."""
    count = 0
    for j in range(rows.dense.shape[1]):
        value = rows.dense[i, j]
        count += 1 if value == value and not abs(value) <= LARGEST_INPUT else 0
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        value = rows.values[entry]
        count += 1 if value == value and not abs(value) <= LARGEST_INPUT else 0
    return count


@kernel
def is_binary(target: float, state: State) -> bool:
    """True for 0 and 1. Anything else but NaN (no label) is counted."""
    if target == 0.0 or target == 1.0:
        return True
    state.scalars[INVALID_TARGETS] += 1.0 if target == target else 0.0
    return False


@kernel
def is_class(target: float, classes: int, state: State) -> bool:
    """True for an integer from 0 to classes - 1. Anything else but NaN (no label) is counted."""
    if 0.0 <= target < classes and target == np.floor(target):
        return True
    state.scalars[INVALID_TARGETS] += 1.0 if target == target else 0.0
    return False


@kernel
def is_number(target: float, state: State) -> bool:
    """True for a usable number. Anything else but NaN (no label) is counted."""
    if usable(target):
        return True
    state.scalars[INVALID_TARGETS] += 1.0 if target == target else 0.0
    return False
