"""sin and cos in plain IEEE operations."""

import math

import numpy as np

from stream.kernels.bits import float_to_bits, high_product
from stream.kernels.compile import kernel
from stream.kernels.double_double import product_error, two_sum
from stream.kernels.elementary_tables import (
    HALF_PI_1,
    HALF_PI_2,
    HALF_PI_3,
    HALF_PI_4,
    HALF_PI_HIGH,
    HALF_PI_LOW,
    TWO_OVER_PI,
)

_ROUNDER = 6755399441055744.0  # 1.5 * 2**52, as in exponential.py
_TWO_OVER_PI = 2.0 / math.pi
_LOW_32 = 0xFFFFFFFF
_LARGE = 524288.0  # 2**19: up to here the quotient by pi / 2 has 19 bits, and 33 + 19 bits are exact


@kernel
def sine_of_reduced(r: float, low: float) -> float:
    """sin(r + low) for |r| <= pi / 4, by its Taylor series."""
    s = r * r
    f = s * s
    upper = 1.0 / 6227020800.0 - s * (1.0 / 1307674368000.0) + f * (1.0 / 355687428096000.0)
    middle = -1.0 / 5040.0 + s * (1.0 / 362880.0) - f * (1.0 / 39916800.0)
    series = 1.0 / 120.0 + s * middle + f * f * upper
    # sin(r + low) = sin r + low * cos r
    return r + (low * (1.0 - 0.5 * s) + s * r * (s * series - 1.0 / 6.0))


@kernel
def cosine_of_reduced(r: float, low: float) -> float:
    """cos(r + low) for |r| <= pi / 4, by its Taylor series."""
    s = r * r
    f = s * s
    upper = -1.0 / 3628800.0 + s * (1.0 / 479001600.0) - f * (1.0 / 87178291200.0 - s * (1.0 / 20922789888000.0))
    series = 1.0 / 24.0 - s * (1.0 / 720.0) + f * (1.0 / 40320.0 + s * upper)
    half = 0.5 * s
    first = 1.0 - half
    return first + (1.0 - first - half + (f * series - r * low))


@kernel
def reduced_huge(x: float) -> tuple[int, float, float]:
    """Quadrant and rest (in two parts) of x >= 2**19: x's 53 bits times those bits of 2 / pi that matter.

    Bits whose product with x is a multiple of four quadrants are left out (Payne and Hanek 1983); three words give 126
    bits of fraction, and no float64 comes nearer to a quadrant than 2**-62.
    """
    bits = float_to_bits(x)
    exponent = (bits >> 52) - 1075
    mantissa = np.uint64((bits & 0xFFFFFFFFFFFFF) | 0x10000000000000)
    start = exponent - 2 + 64  # behind the word of zeros
    word, shift, back = start >> 6, np.uint64(start & 63), np.uint64(63 - (start & 63))
    one = np.uint64(1)
    first = (TWO_OVER_PI[word] << shift) | ((TWO_OVER_PI[word + 1] >> one) >> back)
    second = (TWO_OVER_PI[word + 1] << shift) | ((TWO_OVER_PI[word + 2] >> one) >> back)
    third = (TWO_OVER_PI[word + 2] << shift) | ((TWO_OVER_PI[word + 3] >> one) >> back)
    low = second * mantissa + high_product(third, mantissa)
    carry = np.uint64(1) if low < second * mantissa else np.uint64(0)
    high = first * mantissa + high_product(second, mantissa) + carry
    two, sixty_two = np.uint64(2), np.uint64(62)
    quadrant = int(np.int64(high >> sixty_two))
    signed = np.int64((high << two) | (low >> sixty_two))  # a fraction of one half and more counts from the next one
    if signed < 0:
        quadrant += 1
    fraction, rest = two_sum(float(signed >> 32) * 2.0**-32, float(signed & _LOW_32) * 2.0**-64)
    rest += float(low << two) * 2.0**-128
    r = fraction * HALF_PI_HIGH
    return quadrant, r, product_error(fraction, HALF_PI_HIGH, r) + (fraction * HALF_PI_LOW + rest * HALF_PI_HIGH)


@kernel
def reduced_angle(x: float) -> tuple[int, float, float]:
    """n and x - n * pi / 2 in two parts, for 0 <= x < inf and n the nearest whole number (Cody and Waite 1980)."""
    if x >= _LARGE:
        return reduced_huge(x)  # type: ignore[no-any-return]
    n = x * _TWO_OVER_PI + _ROUNDER - _ROUNDER
    r, low = two_sum(x - n * HALF_PI_1, -n * HALF_PI_2)
    r, second = two_sum(r, -n * HALF_PI_3)
    return int(n), r, low + second - n * HALF_PI_4


@kernel
def sin(x: float) -> float:
    """Sine of x in radians, also of huge ones. NaN stays NaN, infinity gives NaN; the sign of zero is kept."""
    magnitude = abs(x)
    if magnitude <= 0.785:
        return sine_of_reduced(x, 0.0) if magnitude > 1e-8 else x
    if not magnitude < math.inf:
        return math.nan
    quadrant, r, low = reduced_angle(magnitude)
    result = sine_of_reduced(r, low) if quadrant & 1 == 0 else cosine_of_reduced(r, low)
    return -result if (quadrant & 2 != 0) != (x < 0.0) else result  # type: ignore[no-any-return]


@kernel
def cos(x: float) -> float:
    """Cosine of x in radians, also of huge ones. NaN stays NaN, infinity gives NaN."""
    magnitude = abs(x)
    if magnitude <= 0.785:
        return cosine_of_reduced(magnitude, 0.0)  # type: ignore[no-any-return]
    if not magnitude < math.inf:
        return math.nan
    quadrant, r, low = reduced_angle(magnitude)
    result = cosine_of_reduced(r, low) if quadrant & 1 == 0 else sine_of_reduced(r, low)
    return -result if (quadrant + 1) & 2 != 0 else result  # type: ignore[no-any-return]
