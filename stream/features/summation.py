"""Sums from which values are taken out again, without drift."""

import math

from stream.kernels import kernel


@kernel
def compensated_add(total: float, rest: float, value: float) -> tuple[float, float]:
    """Add to a sum that is kept as total + rest (Neumaier, ZAMM 54, 1974); subtract by adding -value."""
    added = total + value
    if abs(total) >= abs(value):
        rest += (total - added) + value
    else:
        rest += (value - added) + total
    return added, rest


@kernel
def finite_or_null(value: float) -> float:
    """The value, or NaN where it is infinite."""
    return value if value - value == 0.0 else math.nan


@kernel
def window_variance(count: int, total: float, rest: float, squares: float, squares_rest: float) -> float:
    """Sample variance of `count` values from the sums of them and of their squares, both less a common shift."""
    if count < 2:
        return math.nan
    shifted_sum = total + rest
    deviations = (squares + squares_rest) - shifted_sum * (shifted_sum / count)
    return max(0.0, deviations) / (count - 1)
