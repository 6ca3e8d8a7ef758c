"""exp, expm1, tanh and sigmoid in plain IEEE operations.

With n = round(x * 128 / ln 2), exp(x) = 2**(n / 128) * exp(r), |r| <= ln 2 / 256. The power comes from a table in two
parts (float64 and the rest), exp(r) from its Taylor series, which six terms carry beyond 63 bits. After Tang,
"Table-driven implementation of the exponential function in IEEE floating-point arithmetic" (TOMS 15, 1989).
"""

import math

from stream.kernels.bits import bits_to_float
from stream.kernels.compile import kernel
from stream.kernels.double_double import product_error
from stream.kernels.elementary_tables import INVERSE_STEP, POWER_HIGH, POWER_LOW, STEP_HIGH, STEP_LOW

# Adding it leaves a float64 rounded to the nearest whole number in the last bits: 1.5 * 2**52.
_ROUNDER = 6755399441055744.0
_SIXTH = 1.0 / 6.0
_INFINITY = math.inf


@kernel
def power_of_two(exponent: int) -> float:
    """2.0 ** exponent, for -1022 <= exponent <= 1023."""
    return bits_to_float((exponent + 1023) << 52)  # type: ignore[no-any-return]


@kernel
def scaled(value: float, exponent: int) -> float:
    """value * 2**exponent, also where 2**exponent alone would be out of range; rounded once."""
    half = exponent >> 1
    return value * power_of_two(half) * power_of_two(exponent - half)  # type: ignore[no-any-return]


@kernel
def square_series(r: float) -> float:
    """e**r - 1 - r for |r| <= 0.0028: what is left out is below 2**-63 of r."""
    return r * r * (0.5 + r * _SIXTH + r * r * (1.0 / 24.0 + r * (1.0 / 120.0) + r * r * (1.0 / 720.0)))


@kernel
def exp_series(r: float) -> float:
    """e**r - 1 for |r| <= 0.0028, of which the first term is r itself."""
    return r + square_series(r)  # type: ignore[no-any-return]


@kernel
def exp_of_sum(high: float, low: float) -> float:
    """exp(high + low), where |low| is small beside 1 and -746 < high < 710."""
    rounded = high * INVERSE_STEP + _ROUNDER - _ROUNDER
    step = int(rounded)
    r = high - rounded * STEP_HIGH - rounded * STEP_LOW + low
    power = POWER_HIGH[step & 127]
    mantissa = power + (POWER_LOW[step & 127] + power * exp_series(r))
    if -708.0 < high < 708.0:
        return mantissa * power_of_two(step >> 7)  # type: ignore[no-any-return]
    return scaled(mantissa, step >> 7)  # type: ignore[no-any-return]


@kernel
def exp_parts(x: float) -> tuple[float, float]:
    """e**x as an unevaluated sum of two float64, for |x| < 708."""
    rounded = x * INVERSE_STEP + _ROUNDER - _ROUNDER
    step = int(rounded)
    r = x - rounded * STEP_HIGH - rounded * STEP_LOW
    scale = power_of_two(step >> 7)
    power = POWER_HIGH[step & 127] * scale
    rest = POWER_LOW[step & 127] * scale + power * exp_series(r)
    high = power + rest
    return high, power - high + rest


@kernel
def exp(x: float) -> float:
    """e**x. NaN stays NaN; overflow gives inf, underflow subnormals and then 0."""
    if -746.0 < x < 710.0:
        return exp_of_sum(x, 0.0)  # type: ignore[no-any-return]
    if x != x:
        return x
    return _INFINITY if x > 0.0 else 0.0


@kernel
def expm1_parts(x: float) -> tuple[float, float]:
    """e**x - 1 as an unevaluated sum of two float64, for -40 <= x < 709."""
    rounded = x * INVERSE_STEP + _ROUNDER - _ROUNDER
    step = int(rounded)
    exact = x - rounded * STEP_HIGH
    correction = rounded * STEP_LOW
    r = exact - correction
    r_low = exact - r - correction
    tail = r_low + square_series(r)
    # The exponent is chosen so that the power lies around 1 where x does: between 2**-0.5 and 2**0.5.
    exponent = (step + 64) >> 7
    index = step - (exponent << 7)
    scale = power_of_two(exponent) if index >= 0 else power_of_two(exponent - 1)
    power = POWER_HIGH[index & 127] * scale
    power_low = POWER_LOW[index & 127] * scale
    base = power - 1.0
    if exponent == 0:
        first = base + r  # base is exact, and 0 or larger than r
        rest = base - first + r + (power_low * (1.0 + r) + (tail + base * (r + tail)))
    else:
        first = base
        added = base - power  # what was really added to power; the first summand is the exact error (Knuth)
        rest = power - (base - added) - (1.0 + added) + (power_low + power * (r + tail))
    high = first + rest
    return high, first - high + rest


@kernel
def expm1(x: float) -> float:
    """e**x - 1, precise around 0. NaN stays NaN, -inf gives -1; the sign of zero is kept."""
    if x == 0.0 or x != x:
        return x
    if -40.0 <= x < 709.0:
        return expm1_parts(x)[0]  # type: ignore[no-any-return]
    return -1.0 if x < 0.0 else exp(x) - 1.0


@kernel
def refined_quotient(high: float, low: float, divisor: float, divisor_low: float) -> float:
    """(high + low) / (divisor + divisor_low), rounded about once."""
    inverse = 1.0 / divisor
    quotient = high * inverse
    product = quotient * divisor
    rest = high - product - product_error(quotient, divisor, product) + low - quotient * divisor_low
    return quotient + rest * inverse  # type: ignore[no-any-return]


@kernel
def tanh(x: float) -> float:
    """Hyperbolic tangent. NaN stays NaN; the sign of zero is kept."""
    magnitude = abs(x)
    if magnitude < 2.0**-28 or x != x:
        return x
    if magnitude >= 20.0:
        return math.copysign(1.0, x)
    high, low = expm1_parts(-2.0 * magnitude)  # tanh a = -m / (2 + m) with m = e**-2a - 1
    divisor = 2.0 + high
    divisor_low = 2.0 - divisor + high + low
    return math.copysign(refined_quotient(-high, -low, divisor, divisor_low), x)


@kernel
def sigmoid(x: float) -> float:
    """1 / (1 + e**-x). NaN stays NaN; far out it gives 1, and e**x."""
    if x != x:
        return x
    if x >= 40.0:
        return 1.0
    if x <= -40.0:
        return exp(x)  # type: ignore[no-any-return]
    high, low = exp_parts(-abs(x))
    divisor = 1.0 + high
    divisor_low = 1.0 - divisor + high + low
    if x > 0.0:
        return refined_quotient(1.0, 0.0, divisor, divisor_low)  # type: ignore[no-any-return]
    return refined_quotient(high, low, divisor, divisor_low)  # type: ignore[no-any-return]
