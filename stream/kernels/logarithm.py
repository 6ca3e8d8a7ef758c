"""log and log1p in plain IEEE operations, and the logarithm in two parts that power() needs.

x = 2**k * z with z in [0.6875, 1.375); a table of 128 intervals gives a short inverse of z, so that r = z * inverse - 1
is exact in two parts and |r| <= 2**-7; log x = k ln 2 - log(inverse) + log(1 + r). After Tang, "Table-driven
implementation of the logarithm function in IEEE floating-point arithmetic" (TOMS 16, 1990).
"""

import math

from stream.kernels.bits import bits_to_float, float_to_bits
from stream.kernels.compile import kernel
from stream.kernels.double_double import product_error
from stream.kernels.elementary_tables import INVERSE, LN2_HIGH, LN2_LOW, LOGARITHM_HIGH, LOGARITHM_LOW

_START = 0x3FE6000000000000  # the bits of 0.6875, where the table begins
_LOW_BITS = (1 << 27) - 1
_THIRD = 1.0 / 3.0
_SEVENTH = 1.0 / 7.0
_NINTH = 1.0 / 9.0
_SMALLEST_NORMAL = 2.2250738585072014e-308
_INFINITY = math.inf
_TWO_52 = 2.0**52  # makes a subnormal normal
_TWO_54 = 2.0**54  # from here on adding 1 changes nothing


@kernel
def cubic_rest(r: float) -> float:
    """(log(1 + r) - r + r*r / 2) / r**3 for |r| <= 2**-7, by the series up to r**9."""
    square = r * r
    low = _THIRD - r * 0.25 + square * (0.2 - r * (1.0 / 6.0))
    return low + square * square * (_SEVENTH - r * 0.125 + square * _NINTH)


@kernel
def reduced(x: float, added: float, shift: int) -> tuple[float, float, float, float]:
    """log((x + added) / 2**shift) = high + low + log(1 + r) - r; x positive and normal, |added| <= ulp(x).

    Returns high, low, r and the low part of r; r is already in high.
    """
    bits = float_to_bits(x)
    offset = bits - _START
    exponent = offset >> 52
    index = (offset >> 45) & 127
    z_bits = bits - (exponent << 52)
    z_high = bits_to_float(z_bits & ~_LOW_BITS)
    z_low = bits_to_float(z_bits) - z_high
    inverse = INVERSE[index]
    exact = z_high * inverse - 1.0
    rest = z_low * inverse
    r = exact + rest
    r_low = exact - r + rest
    if added != 0.0:  # then the exponent is below 54
        r_low += added * bits_to_float((1023 - exponent) << 52) * inverse
    exponent -= shift
    base = exponent * LN2_HIGH + LOGARITHM_HIGH[index]
    high = base + r
    low = base - high + r + (exponent * LN2_LOW + LOGARITHM_LOW[index]) + r_low
    return high, low, r, r_low


@kernel
def log_of_sum(x: float, added: float, shift: int) -> float:
    """log((x + added) / 2**shift) for a positive normal x, |added| <= ulp(x)."""
    high, low, r, r_low = reduced(x, added, shift)
    return high + (low - r * r_low + r * r * (r * cubic_rest(r) - 0.5))  # type: ignore[no-any-return]


@kernel
def log_parts(x: float) -> tuple[float, float]:
    """log x as an unevaluated sum of two float64 (relative error about 2**-67), for 0 < x < inf."""
    if x < _SMALLEST_NORMAL:
        high, low, r, r_low = reduced(x * _TWO_52, 0.0, 52)
    else:
        high, low, r, r_low = reduced(x, 0.0, 0)
    half = -0.5 * r
    square = half * r
    square_low = product_error(half, r, square) - r * r_low
    first = high + square
    second = high - first + square + (low + square_low + r * r * r * cubic_rest(r))
    result = first + second
    return result, first - result + second


@kernel
def log(x: float) -> float:
    """Natural logarithm. log(0) is -inf; of negative numbers NaN; NaN stays NaN."""
    if _SMALLEST_NORMAL <= x < _INFINITY:
        return log_of_sum(x, 0.0, 0)  # type: ignore[no-any-return]
    if x == 0.0:
        return -_INFINITY
    if 0.0 < x < _INFINITY:
        return log_of_sum(x * _TWO_52, 0.0, 52)  # type: ignore[no-any-return]
    return x if x > 0.0 or x != x else math.nan


@kernel
def log1p(x: float) -> float:
    """log(1 + x), precise around 0. log1p(-1) is -inf; below that NaN; the sign of zero is kept."""
    if -0.0078125 < x < 0.0078125:
        return x + x * x * (x * cubic_rest(x) - 0.5)  # type: ignore[no-any-return]
    if x <= -1.0:
        return -_INFINITY if x == -1.0 else math.nan
    if x != x or x == _INFINITY:
        return x
    total = 1.0 + x
    if total > _TWO_54:
        return log_of_sum(total, 0.0, 0)  # type: ignore[no-any-return]
    lost = 1.0 - (total - x) if x > 1.0 else x - (total - 1.0)
    return log_of_sum(total, lost, 0)  # type: ignore[no-any-return]
