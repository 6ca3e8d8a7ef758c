"""Scalers: River's, by River's names and parameters.

A value that is absurd and yet a number, 1e15 for an amount, stays in the statistics for good, as in River: it moves
mean and spread, or the largest value, so far that all that is ordinary scales to nearly the same. Bound such a feature
where it is declared: `col("amount").clip(0, 10_000)`. A `window_size` is no help: the digits that are lost stay lost.
"""

from typing import Any

import numpy as np

from stream.models.declaration import check_kind, check_whole, declaration
from stream.models.estimator import Scaler
from stream.records import Floats

LARGEST_WINDOW = 100_000  # rows of the ring of values: 0.8 MB a dense feature


@declaration
class StandardScaler(Scaler):
    """Zero mean and unit variance by running statistics (river.preprocessing.StandardScaler).

    With `window_size`, statistics of that many last values. A feature without variance scales to 0. One absurd value
    spoils mean and variance of all: `clip` such features.
    """

    with_std: bool = True  # divide by the standard deviation, not only centre
    window_size: int | None = None  # last values that count; all if None

    def __post_init__(self) -> None:
        check_kind(self, "with_std", bool)
        if self.window_size is not None:
            check_whole(self, "window_size", least=1, most=LARGEST_WINDOW)

    @property
    def learn_kernel(self) -> str:
        return "learn_standard" if self.window_size is None else "learn_rolling_standard"

    @property
    def scale_kernel(self) -> str:
        if not self.with_std:
            return "scale_centre"
        return "scale_standard" if self.window_size is None else "scale_rolling_standard"

    def first_lines(self, d: int) -> Floats:
        return np.zeros((3, d)) if self.window_size is None else rolling_lines(3, self.window_size, d)

    def to_river(self) -> Any:
        from river import preprocessing

        return preprocessing.StandardScaler(with_std=self.with_std, window_size=self.window_size)


@declaration
class MinMaxScaler(Scaler):
    """From 0 to 1 between the smallest and the largest value so far (river.preprocessing.MinMaxScaler).

    With `window_size`, of that many last values. Scales to 0 while smallest and largest are equal, and before a first
    value was learned (River returns NaN there). After one absurd value all others scale to nearly the same: `clip` such
    features.
    """

    window_size: int | None = None  # last values that count; all if None

    def __post_init__(self) -> None:
        if self.window_size is not None:
            check_whole(self, "window_size", least=1, most=LARGEST_WINDOW)

    @property
    def learn_kernel(self) -> str:
        return "learn_min_max" if self.window_size is None else "learn_rolling_min_max"

    @property
    def scale_kernel(self) -> str:
        return "scale_min_max"

    def first_lines(self, d: int) -> Floats:
        lines = np.zeros((2, d)) if self.window_size is None else rolling_lines(3, self.window_size, d)
        lines[0] = np.inf
        lines[1] = -np.inf
        return lines

    def to_river(self) -> Any:
        from river import preprocessing

        return preprocessing.MinMaxScaler(window_size=self.window_size)


def rolling_lines(statistics: int, window_size: int, d: int) -> Floats:
    """Statistics, then a line with the window's size, then the ring of values."""
    lines = np.zeros((statistics + 1 + window_size, d))
    lines[statistics] = window_size
    return lines
