"""Loads from and stores to addresses: one machine instruction each.

They are intrinsics: they can be called inside kernels only. Kernels that call each other for every value pass addresses
rather than arrays, since numba passes an array as seven words and counts references to it (half of the decoder's time).
Nothing is checked here: whoever calls has compared the address with the end of the record.
"""

from typing import Any

from llvmlite import ir
from numba.core import types

from stream.kernels.compile import intrinsic

_BYTE = ir.IntType(8)
_INT64 = ir.IntType(64)
_BLOCK = ir.VectorType(_INT64, 4)


@intrinsic
def byte_at(typing_context: Any, address: Any) -> Any:
    """The byte at the address, as an int64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
        return builder.zext(builder.load(pointer, align=1), _INT64)

    return types.int64(types.int64), lower


@intrinsic
def word_at(typing_context: Any, address: Any) -> Any:
    """The eight bytes at the address, little end first, as an int64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _INT64.as_pointer()), align=1)

    return types.int64(types.int64), lower


@intrinsic
def float_at(typing_context: Any, address: Any) -> Any:
    """The float of 32 bits at the address, little end first, as a float64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = builder.load(builder.inttoptr(arguments[0], ir.FloatType().as_pointer()), align=1)
        return builder.fpext(single, ir.DoubleType())

    return types.float64(types.int64), lower


@intrinsic
def put_byte(typing_context: Any, address: Any, value: Any) -> Any:
    """Write the lowest byte of an int64 to the address."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
        builder.store(builder.trunc(arguments[1], _BYTE), pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower


@intrinsic
def put_word(typing_context: Any, address: Any, value: Any) -> Any:
    """Write an int64 to the address, little end first."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _INT64.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower


@intrinsic
def put_block(typing_context: Any, address: Any, source: Any) -> Any:
    """Copy the 32 bytes at the address `source` to the address."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, source = (builder.inttoptr(argument, _BLOCK.as_pointer()) for argument in arguments)
        builder.store(builder.load(source, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower
