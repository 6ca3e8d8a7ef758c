"""Exact errors of floating-point operations, without a fused multiply-add."""

from stream.kernels.compile import kernel

_SPLITTER = 134217729.0  # 2**27 + 1: cuts 53 bits into 26 and 27 (Veltkamp)


@kernel
def product_error(a: float, b: float, product: float) -> float:
    """a * b - product, exactly, where product is a * b rounded (Dekker 1971); |a|, |b| below 2**995, no underflow."""
    a_scaled = _SPLITTER * a
    a_high = a_scaled - (a_scaled - a)
    a_low = a - a_high
    b_scaled = _SPLITTER * b
    b_high = b_scaled - (b_scaled - b)
    b_low = b - b_high
    return a_low * b_low - (product - a_high * b_high - a_low * b_high - a_high * b_low)


@kernel
def two_sum(a: float, b: float) -> tuple[float, float]:
    """a + b rounded, and its exact error (Knuth)."""
    total = a + b
    added = total - a
    return total, (a - (total - added)) + (b - added)
