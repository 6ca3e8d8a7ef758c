"""Constants of the elementary functions, computed from their definitions in 60-digit decimal arithmetic.

Decimal arithmetic is exact by specification, so every machine gets the same bits; the frozen vectors of the tests
would tell otherwise. It takes a few milliseconds, once per process.
"""

from decimal import Context, Decimal, localcontext
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CONTEXT: Final = Context(prec=60)
_BIG_PI: Final = 1400  # bits of pi behind the point: 1,024 for the largest exponent, the rest for what is kept

Table = NDArray[np.float64]


def _frozen(values: list[float]) -> Table:
    table = np.array(values, dtype=np.float64)
    table.flags.writeable = False
    return table


def split(value: Decimal, parts: int = 2) -> tuple[float, ...]:
    """The float64s, largest first, whose sum is `value` to 53 bits a part."""
    result = []
    for _ in range(parts):
        result.append(float(value))
        value -= Decimal(result[-1])
    return tuple(result)


def split_short(value: Decimal, step_bits: int) -> tuple[float, float]:
    """`value` as a multiple of 2**-step_bits (so that sums and products with it are exact) and what is left."""
    high = float((value * 2**step_bits).to_integral_value()) / 2.0**step_bits
    return high, float(value - Decimal(high))


def powers_of_two() -> tuple[Table, Table]:
    """2**(i / 128) for i in 0 .. 127, as float64 and the rest behind it."""
    root = Decimal(2)
    for _ in range(7):
        root = root.sqrt()
    value, high, low = Decimal(1), [], []
    for _ in range(128):
        first, second = split(value)
        high.append(first)
        low.append(second)
        value *= root
    return _frozen(high), _frozen(low)


def logarithms() -> tuple[Table, Table, Table]:
    """A 12-bit inverse of the middle of each of 128 intervals of [0.6875, 1.375), and minus its logarithm.

    The first part is a multiple of 2**-42, so that adding exponent times ln 2 to it is exact. The intervals on both
    sides of 1 have the inverse 1: the logarithm keeps its relative precision there.
    """
    inverses, high, low = [], [], []
    for index in range(128):
        start = np.int64(0x3FE6000000000000 + (index << 45)).view(np.float64)
        stop = np.int64(0x3FE6000000000000 + ((index + 1) << 45)).view(np.float64)
        inverse = 1.0 if 1.0 in (start, stop) else round(4096.0 * 2.0 / float(start + stop)) / 4096.0
        first, second = split_short(-Decimal(inverse).ln(), 42)
        inverses.append(inverse)
        high.append(first)
        low.append(second)
    return _frozen(inverses), _frozen(high), _frozen(low)


def _arctangent(numerator: int, denominator: int) -> Decimal:
    """Euler's series, which converges for every argument up to 1."""
    square = Decimal(numerator * numerator)
    base = square + denominator * denominator
    term = Decimal(numerator * denominator) / base
    total, n = term, 1
    while term > Decimal(10) ** -58:
        term *= 2 * n * square / ((2 * n + 1) * base)
        total += term
        n += 1
    return total


def arctangents() -> tuple[Table, Table]:
    """atan(i / 64) for i in 0 .. 64, as float64 and the rest behind it."""
    pairs = [split(_arctangent(i, 64)) if i else (0.0, 0.0) for i in range(65)]
    return _frozen([pair[0] for pair in pairs]), _frozen([pair[1] for pair in pairs])


def _pi_scaled(bits: int) -> int:
    """pi * 2**bits, by Machin's formula in whole numbers (32 guard bits)."""

    def inverse_arctangent(x: int) -> int:
        term = (1 << (bits + 32)) // x
        total, n = term, 1
        while term:
            term //= -x * x
            total += term // (2 * n + 1)
            n += 1
        return total

    return 4 * (4 * inverse_arctangent(5) - inverse_arctangent(239)) >> 32


def two_over_pi_words() -> NDArray[np.uint64]:
    """The bits of 2 / pi, 64 to a word, for the reduction of huge angles; a word of zeros stands first."""
    count = 20  # the largest exponent is 971 (of a whole mantissa), from where three words and a shift are read
    fraction = (2 << (64 * count + _BIG_PI)) // _pi_scaled(_BIG_PI)
    words = [0] + [(fraction >> (64 * (count - 1 - i))) & 0xFFFFFFFFFFFFFFFF for i in range(count)]
    table = np.array(words, dtype=np.uint64)
    table.flags.writeable = False
    return table


def half_pi_parts() -> tuple[float, float, float, float]:
    """pi / 2 in three parts of 33 bits (their products with numbers below 2**20 are exact), and the rest."""
    rest = Decimal(_pi_scaled(_BIG_PI)) / Decimal(2) ** (_BIG_PI + 1)
    parts = []
    for step_bits in (32, 65, 98):
        part = float(int(rest * 2**step_bits)) / 2.0**step_bits
        parts.append(part)
        rest -= Decimal(part)
    return parts[0], parts[1], parts[2], float(rest)


with localcontext(_CONTEXT):
    LN2: Final = Decimal(2).ln()
    # 128 / ln 2 and ln 2 / 128: the high part has so few bits that its product with an 18-bit number is exact.
    INVERSE_STEP: Final = float(128 / LN2)
    STEP_HIGH, STEP_LOW = split_short(LN2 / 128, 41)
    LN2_HIGH, LN2_LOW = split_short(LN2, 42)
    POWER_HIGH, POWER_LOW = powers_of_two()
    INVERSE, LOGARITHM_HIGH, LOGARITHM_LOW = logarithms()
    ARCTANGENT_HIGH, ARCTANGENT_LOW = arctangents()
    TWO_OVER_PI: Final = two_over_pi_words()
    HALF_PI_1, HALF_PI_2, HALF_PI_3, HALF_PI_4 = half_pi_parts()
    PI: Final = Decimal(_pi_scaled(200)) / Decimal(2) ** 200
    PI_HIGH, PI_LOW = split(PI)
    HALF_PI_HIGH, HALF_PI_LOW = split(PI / 2)
