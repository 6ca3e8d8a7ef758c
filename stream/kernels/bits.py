"""The bits of floats and 128-bit products, as instructions of one cycle that numba has no name for.

These are intrinsics: they can be called inside kernels only.
"""

from typing import Any

from llvmlite import ir
from numba.core import types

from stream.kernels.compile import intrinsic

_INT64 = ir.IntType(64)
_INT128 = ir.IntType(128)
_DOUBLE = ir.DoubleType()


@intrinsic
def float_to_bits(typing_context: Any, value: Any) -> Any:
    """The 64 bits of a float64 as an int64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _INT64)

    return types.int64(types.float64), lower


@intrinsic
def bits_to_float(typing_context: Any, bits: Any) -> Any:
    """The float64 that has these 64 bits."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _DOUBLE)

    return types.float64(types.int64), lower


@intrinsic
def high_product(typing_context: Any, first: Any, second: Any) -> Any:
    """The upper 64 bits of the 128-bit product of two uint64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = [builder.zext(argument, _INT128) for argument in arguments]
        product = builder.mul(wide[0], wide[1])
        return builder.trunc(builder.lshr(product, ir.Constant(_INT128, 64)), _INT64)

    return types.uint64(types.uint64, types.uint64), lower
