"""What every model kernel is called with, and where numbers lie in it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.records import Floats, Ints

Features = NDArray[np.int32]


class Rows(NamedTuple):
    """The arrays of a FeatureBatch."""

    dense: Floats
    indptr: Ints
    indices: Ints
    values: Floats


class State(NamedTuple):
    """All that a compiled model remembers."""

    scalars: Floats  # (scalars,): see the positions below
    scalers: Floats  # (lines, d): the scalers' statistics, each statistic a line
    weights: Floats  # (d, slots): of the dense features
    table: Floats  # (rows, slots): of the sparse features, or the nodes of trees; `pages` tracks what is written
    pages: NDArray[np.uint8]
    group_ends: Ints  # (groups,): past-the-last sparse index of each sparse group (layout, not state)


class Work(NamedTuple):
    """Room for one row: kernels allocate nothing."""

    x: Floats  # (d,): dense inputs, scaled; NaN where missing
    terms: Floats  # linear models: products, (d + groups,); naive Bayes: log-likelihoods, (classes,)


class Output(NamedTuple):
    """Where scores go."""

    scores: Floats  # (n, k)
    features: Features  # (n, 3)
    contributions: Floats  # (n, 3)


# Positions in State.scalars.
ROWS_LEARNED = 0
INVALID_INPUTS = 1
INVALID_TARGETS = 2
INTERCEPT = 3  # linear models
ITERATIONS = 4
CUMULATED_L1 = 5
BETA_1_POWER = 6
BETA_2_POWER = 7
TERMS_SEEN = 3  # naive Bayes: distinct features learned from
FIRST_CLASS = 4  # naive Bayes: rows learned of each class, then its total of values
WINDOW_FILLED = 3  # half-space trees: rows in the current window
IS_FIRST_WINDOW = 4

# Positions in the parameters of linear models.
L2 = 0
L1 = 1
CLIP = 2
RATE = 3
INTERCEPT_RATE = 5
LOSS = 7
INITIAL_WEIGHT = 9
OPTIMIZER = 10
LINEAR_PARAMETERS = 14

STRONGEST = 3  # features named with a prediction

# A larger magnitude counts as invalid, like an infinity: its square and any sum of such squares stay finite, so that no
# single event can turn a statistic or a weight into NaN. A smaller one can still make a scaler useless (see scalers).
LARGEST_INPUT = 1e100
