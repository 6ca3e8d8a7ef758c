"""Naive Bayes with Gaussian and multinomial likelihoods, in River's order of operations.

A feature's row holds, for each class, what its likelihood needs: (count, mean, squared deviations) for Gaussians; the
total of its values for the multinomial, and behind the classes whether the feature was ever learned from.
"""

import math

import numpy as np

from stream.kernels import kernel
from stream.kernels.elementary import exp, log
from stream.kernels.pages import before_write
from stream.models.kernels.arguments import FIRST_CLASS, INVALID_INPUTS, TERMS_SEEN, Output, Rows, State
from stream.models.kernels.rows import usable
from stream.records import Floats

DENSITY_FLOOR = 10e-10  # River's _PDF_EPS: added to a density, so that one odd feature cannot veto a class
ROOT_OF_TAU = 2.5066282746310002  # sqrt(2 pi)


@kernel
def score_gaussian(rows: Rows, i: int, x: Floats, state: State, likelihoods: Floats) -> None:
    """Log-likelihood of each class for row i."""
    start_with_priors(state, likelihoods)
    for j in range(x.shape[0]):
        if x[j] == x[j]:
            add_densities(state.weights, j, x[j], likelihoods)
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        if usable(rows.values[entry]):
            add_densities(state.table, rows.indices[entry], rows.values[entry], likelihoods)


@kernel
def start_with_priors(state: State, likelihoods: Floats) -> None:
    """Log of each class's share of the rows learned; -inf for a class never learned."""
    classes = likelihoods.shape[0]
    learned = 0.0
    for c in range(classes):
        learned += state.scalars[FIRST_CLASS + c]
    for c in range(classes):
        count = state.scalars[FIRST_CLASS + c]
        likelihoods[c] = log(count / learned) if count > 0.0 else -np.inf


@kernel
def add_densities(table: Floats, f: int, value: float, likelihoods: Floats) -> None:
    """Add the log of the Gaussian density of `value` under each class; of no density where there is no variance."""
    for c in range(likelihoods.shape[0]):
        count = table[f, 3 * c]
        variance = table[f, 3 * c + 2] / count if count > 0.0 else 0.0
        density = 0.0
        if variance > 0.0:
            deviation = math.sqrt(variance)
            z = (value - table[f, 3 * c + 1]) / deviation
            density = exp(-0.5 * z * z) / ROOT_OF_TAU / deviation
        likelihoods[c] += log(DENSITY_FLOOR + density)


@kernel
def learn_gaussian(rows: Rows, i: int, x: Floats, state: State, c: int) -> None:
    """Update count, mean and squared deviations of class c with the inputs of row i that are there."""
    state.scalars[FIRST_CLASS + c] += 1.0
    for j in range(x.shape[0]):
        if x[j] == x[j]:
            update_gaussian(state.weights, j, x[j], c)
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        if usable(rows.values[entry]):
            before_write(state.pages, rows.indices[entry])
            update_gaussian(state.table, rows.indices[entry], rows.values[entry], c)


@kernel
def update_gaussian(table: Floats, f: int, value: float, c: int) -> None:
    count = table[f, 3 * c] + 1.0
    mean = table[f, 3 * c + 1]
    new_mean = mean + (1.0 / count) * (value - mean)
    table[f, 3 * c] = count
    table[f, 3 * c + 1] = new_mean
    table[f, 3 * c + 2] += (value - mean) * (value - new_mean)


@kernel
def score_multinomial(rows: Rows, i: int, x: Floats, state: State, likelihoods: Floats, alpha: float) -> None:
    """Log-likelihood of each class for row i, with additive smoothing `alpha`."""
    start_with_priors(state, likelihoods)
    for j in range(x.shape[0]):
        if x[j] == x[j]:
            add_frequencies(state, state.weights, j, x[j], likelihoods, alpha)
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        if usable(rows.values[entry]):
            add_frequencies(state, state.table, rows.indices[entry], rows.values[entry], likelihoods, alpha)


@kernel
def add_frequencies(state: State, table: Floats, f: int, value: float, likelihoods: Floats, alpha: float) -> None:
    """Add value times the log of the feature's smoothed share of each class; nothing before a feature was learned."""
    classes = likelihoods.shape[0]
    for c in range(classes):
        total = state.scalars[FIRST_CLASS + classes + c] + alpha * state.scalars[TERMS_SEEN]
        if total > 0.0:
            likelihoods[c] += value * log((table[f, c] + alpha) / total)


@kernel
def learn_multinomial(rows: Rows, i: int, x: Floats, state: State, c: int, classes: int) -> None:
    """Add the inputs of row i to class c. A negative one would make shares negative: not learned from, but counted."""
    state.scalars[FIRST_CLASS + c] += 1.0
    for j in range(x.shape[0]):
        if x[j] == x[j]:
            update_multinomial(state, state.weights, j, x[j], c, classes)
    for entry in range(rows.indptr[i], rows.indptr[i + 1]):
        if usable(rows.values[entry]):
            before_write(state.pages, rows.indices[entry])
            update_multinomial(state, state.table, rows.indices[entry], rows.values[entry], c, classes)


@kernel
def update_multinomial(state: State, table: Floats, f: int, value: float, c: int, classes: int) -> None:
    if value < 0.0:
        state.scalars[INVALID_INPUTS] += 1.0
        return
    state.scalars[TERMS_SEEN] += 1.0 - table[f, classes]
    table[f, classes] = 1.0
    table[f, c] += value
    state.scalars[FIRST_CLASS + classes + c] += value


@kernel
def give_probabilities(likelihoods: Floats, out: Output, i: int) -> None:
    """Probabilities from log-likelihoods: equal ones before any row was learned; of class 1 alone in a binary task."""
    classes = likelihoods.shape[0]
    largest = -np.inf
    for c in range(classes):
        largest = max(largest, likelihoods[c])
    total = 0.0
    for c in range(classes):
        likelihoods[c] = exp(likelihoods[c] - largest) if largest > -np.inf else 1.0
        total += likelihoods[c]
    if out.scores.shape[1] == 1:
        out.scores[i, 0] = likelihoods[1] / total
    else:
        for c in range(classes):
            out.scores[i, c] = likelihoods[c] / total
