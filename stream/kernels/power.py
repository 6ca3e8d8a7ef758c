"""x ** y in plain IEEE operations: exp(y * log x), with the logarithm and the product in two parts."""

import math

from stream.kernels.bits import float_to_bits
from stream.kernels.compile import kernel
from stream.kernels.double_double import product_error
from stream.kernels.exponential import exp_of_sum
from stream.kernels.logarithm import log_parts

_INFINITY = math.inf


@kernel
def is_odd(y: float) -> bool:
    """Whether y is an odd whole number; from 2**53 on every float64 is even."""
    return abs(y) < 9007199254740992.0 and math.floor(y) == y and int(y) & 1 == 1


@kernel
def positive_power(x: float, y: float) -> float:
    """x ** y for 0 < x < inf and finite y other than 0."""
    if abs(y) > 1e22:  # |log x| is at least 1.1e-16 where it is not 0
        return 1.0 if x == 1.0 else (_INFINITY if (x > 1.0) == (y > 0.0) else 0.0)
    if abs(y) < 1e-22:
        return 1.0
    high, low = log_parts(x)
    product = y * high
    if product > 710.0:
        return _INFINITY
    if product < -746.0:
        return 0.0
    return exp_of_sum(product, product_error(y, high, product) + y * low)  # type: ignore[no-any-return]


@kernel
def power(x: float, y: float) -> float:
    """x ** y, with the special cases of C99 (Annex F): x**0 and 1**y are 1 even for NaN; otherwise NaN stays NaN.

    A negative x needs a whole y, else the result is NaN.
    """
    if y == 0.0 or x == 1.0:
        return 1.0
    if x != x or y != y:
        return x + y
    odd = is_odd(y)
    magnitude = abs(x)
    if abs(y) == _INFINITY:
        if magnitude == 1.0:
            return 1.0
        return _INFINITY if (magnitude > 1.0) == (y > 0.0) else 0.0
    if magnitude == 0.0 or magnitude == _INFINITY:
        result = _INFINITY if (magnitude == 0.0) == (y < 0.0) else 0.0
    else:
        if x < 0.0 and math.floor(y) != y:
            return math.nan
        result = positive_power(magnitude, y)
    # x < 0 would miss -0.0.
    return -result if odd and float_to_bits(x) < 0 else result
