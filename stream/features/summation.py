"""Sums from which values are taken out again, without drift."""

import math

from stream.kernels import kernel
from stream.kernels.double_double import product_error


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
def compensated_add_square(total: float, rest: float, value: float, sign: float) -> tuple[float, float]:
    """Add sign * value**2, with what its rounding leaves out, to a sum that is kept as total + rest."""
    square = value * value
    rest += sign * product_error(value, value, square)
    return compensated_add(total, rest, sign * square)  # type: ignore[no-any-return]


@kernel
def window_variance(count: int, total: float, rest: float, squares: float, squares_rest: float) -> float:
    """Sample variance of `count` values from the sums of them and of their squares.

    What cancels is computed in twice the precision of a float64, so that no shift is needed.
    """
    if count < 2:
        return math.nan
    high = total + rest
    low = (total - high) + rest
    square = high * high
    square_low = product_error(high, high, square) + 2.0 * high * low
    quotient = square / count
    product = quotient * count
    quotient_low = ((square - product) - product_error(quotient, float(count), product) + square_low) / count
    return max(0.0, (squares - quotient) + (squares_rest - quotient_low)) / (count - 1)  # type: ignore[no-any-return]
