"""What every linear model does: the weighted sum, its largest terms, and the passive-aggressive step."""

import math

import numpy as np

from stream.kernels import kernel
from stream.kernels.pages import before_write
from stream.models.kernels.arguments import INTERCEPT, Output, Rows, State
from stream.models.kernels.rows import usable
from stream.records import Floats


@kernel
def linear_sum(rows: Rows, i: int, x: Floats, state: State, products: Floats) -> float:
    """Intercept plus weight times value over the inputs of row i that are there.

    `products` receives each term: dense feature j at j, the sum of sparse group g at d + g. A product is NaN where the
    input is missing or its weight was never learned: it adds nothing.
    """
    total = 0.0
    d = x.shape[0]
    for j in range(d):
        product = state.weights[j, 0] * x[j]
        products[j] = product
        total += product if product == product else 0.0
    for group in range(d, products.shape[0]):
        products[group] = 0.0
    group = 0
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        index = rows.indices[entry]
        while index >= state.group_ends[group]:
            group += 1
        product = state.table[index, 0] * rows.values[entry]
        if usable(rows.values[entry]) and product == product:
            products[d + group] += product
            total += product
    return float(total + state.scalars[INTERCEPT])


@kernel
def start_weights(rows: Rows, i: int, x: Floats, state: State, initial: float) -> None:
    """Give the initial weight to features of row i that are learned from for the first time (their weight is NaN)."""
    for j in range(x.shape[0]):
        if x[j] == x[j] and np.isnan(state.weights[j, 0]):
            state.weights[j, 0] = initial
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        index = rows.indices[entry]
        if usable(rows.values[entry]) and np.isnan(state.table[index, 0]):
            before_write(state.pages, index)
            state.table[index, 0] = initial


@kernel
def name_strongest(products: Floats, out: Output, i: int) -> None:
    """The three largest products by magnitude; the lower index first among equals; -1 and 0 where there are fewer."""
    first = second = third = -1
    a = b = c = 0.0
    for j in range(products.shape[0]):
        size = abs(products[j])
        if size > c:
            if size > b:
                third, c = second, b
                if size > a:
                    second, b = first, a
                    first, a = j, size
                else:
                    second, b = j, size
            else:
                third, c = j, size
    out.features[i, 0] = first
    out.features[i, 1] = second
    out.features[i, 2] = third
    out.contributions[i, 0] = products[first] if first >= 0 else 0.0
    out.contributions[i, 1] = products[second] if second >= 0 else 0.0
    out.contributions[i, 2] = products[third] if third >= 0 else 0.0


@kernel
def squared_norm(rows: Rows, i: int, x: Floats) -> float:
    """Sum of squares of the inputs of row i, as River takes it: the square of the norm."""
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * x[j] if x[j] == x[j] else 0.0
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        value = rows.values[entry]
        total += value * value if usable(value) else 0.0
    norm = math.sqrt(total)
    return norm * norm


@kernel
def passive_aggressive_size(mode: float, limit: float, loss: float, norm: float) -> float:
    """Step size of PA (mode 0), PA-I (1) and PA-II (2); Crammer et al. 2006."""
    if mode == 2.0:
        return loss / (norm + 0.5 / limit)
    if norm <= 0.0:
        return 0.0
    return min(limit, loss / norm) if mode == 1.0 else loss / norm


@kernel
def shift(rows: Rows, i: int, x: Floats, state: State, step: float) -> None:
    """Add `step` times each input of row i to its weight."""
    for j in range(x.shape[0]):
        state.weights[j, 0] += step * x[j] if x[j] == x[j] else 0.0
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        if usable(rows.values[entry]):
            before_write(state.pages, rows.indices[entry])
            state.table[rows.indices[entry], 0] += step * rows.values[entry]
