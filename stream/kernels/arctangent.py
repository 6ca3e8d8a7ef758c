"""atan2 in plain IEEE operations.

With q the smaller over the larger magnitude and c the nearest 64th to it, atan q = atan c + atan((q - c) / (1 + q c)).
The first comes from a table in two parts; the second's argument is a quotient in two parts of at most 2**-7.
"""

import math

from stream.kernels.compile import kernel
from stream.kernels.double_double import product_error, two_sum
from stream.kernels.elementary_tables import (
    ARCTANGENT_HIGH,
    ARCTANGENT_LOW,
    HALF_PI_HIGH,
    HALF_PI_LOW,
    PI_HIGH,
    PI_LOW,
)


@kernel
def arctangent_of_quotient(smaller: float, larger: float) -> tuple[float, float]:
    """atan(smaller / larger) in two parts, for 0 <= smaller <= larger, both in the middle of the range."""
    index = int(smaller / larger * 64.0 + 0.5)
    c = index / 64.0
    # c has 7 bits: its products are exact in two parts.
    product = c * larger
    top, top_low = two_sum(smaller, -product)
    top_low -= product_error(c, larger, product)
    product = c * smaller
    bottom, bottom_low = two_sum(larger, product)
    bottom_low += product_error(c, smaller, product)
    inverse = 1.0 / bottom
    t = top * inverse
    product = t * bottom
    t_low = (top - product - product_error(t, bottom, product) + top_low - t * bottom_low) * inverse
    s = t * t
    series = t * s * (-1.0 / 3.0 + s * (0.2 - s * (1.0 / 7.0 - s * (1.0 / 9.0))))
    high, low = two_sum(ARCTANGENT_HIGH[index], t)
    return high, low + (ARCTANGENT_LOW[index] + t_low + series)


@kernel
def first_quadrant(y: float, x: float) -> tuple[float, float]:
    """atan2(y, x) in two parts for finite y, x >= 0 that are not both 0."""
    smaller, larger = min(x, y), max(x, y)
    if larger > 2.0**900:
        smaller, larger = smaller * 2.0**-200, larger * 2.0**-200
    elif larger < 2.0**-700:
        smaller, larger = smaller * 2.0**300, larger * 2.0**300
    if smaller < larger * 2.0**-64:
        high, low = smaller / larger, 0.0
    else:
        high, low = arctangent_of_quotient(smaller, larger)
    if y <= x:
        return high, low
    total = HALF_PI_HIGH - high
    return total, HALF_PI_HIGH - total - high + (HALF_PI_LOW - low)


@kernel
def atan2(y: float, x: float) -> float:
    """Angle of the point (x, y) in radians, -pi to pi; the special cases are C99's (signed zeros, infinities)."""
    if x != x or y != y:
        return x + y
    across, up = abs(x), abs(y)
    if across == math.inf:
        across, up = 1.0, 1.0 if up == math.inf else 0.0
    elif up == math.inf:
        across, up = 0.0, 1.0
    left = math.copysign(1.0, x) < 0.0
    if up == 0.0:
        return math.copysign(PI_HIGH if left else 0.0, y)
    if not left and up <= across * 2.0**-64:
        return math.copysign(up / across, y)  # may be subnormal: rounded once
    high, low = first_quadrant(up, across)
    if left:
        total = PI_HIGH - high
        low = PI_HIGH - total - high + (PI_LOW - low)
        high = total
    return math.copysign(high + low, y)
