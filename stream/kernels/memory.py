"""Numbers in byte arrays: little-endian loads and stores at any position, and zigzag variable-length integers.

Loads and stores are intrinsics (one machine instruction each), so they can be called inside kernels only. They take a
contiguous uint8 array and a byte position, and check neither: whoever calls them has compared with the end.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from stream.kernels.compile import intrinsic, kernel

if sys.byteorder != "little":
    raise ImportError("the kernels read numbers as the machine stores them, and need a little-endian machine")

MAX_VARINT_BYTES = 10  # 64 bits in groups of 7


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, stored: ir.Type) -> Any:
    """Where arguments[1] bytes into the array arguments[0] lies, as a pointer to `stored`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), stored.as_pointer())


def _load(result: Any, data: Any, stored: ir.Type) -> Any:
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature, arguments, stored), align=1)
        if isinstance(stored, ir.FloatType):
            return builder.fpext(value, ir.DoubleType())
        return value if stored != ir.IntType(32) else builder.zext(value, ir.IntType(64))

    return result(data, types.int64), lower


def _store(value: Any, data: Any, stored: ir.Type) -> Any:
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments, stored), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, value), lower


@intrinsic
def load_int64(typing_context: Any, data: Any, position: Any) -> Any:
    """The int64 in data[position : position + 8]."""
    return _load(types.int64, data, ir.IntType(64))


@intrinsic
def load_uint64(typing_context: Any, data: Any, position: Any) -> Any:
    """The uint64 in data[position : position + 8]."""
    return _load(types.uint64, data, ir.IntType(64))


@intrinsic
def load_uint32(typing_context: Any, data: Any, position: Any) -> Any:
    """The uint32 in data[position : position + 4], as a uint64."""
    return _load(types.uint64, data, ir.IntType(32))


@intrinsic
def load_float64(typing_context: Any, data: Any, position: Any) -> Any:
    """The float64 in data[position : position + 8]."""
    return _load(types.float64, data, ir.DoubleType())


@intrinsic
def load_float32(typing_context: Any, data: Any, position: Any) -> Any:
    """The float32 in data[position : position + 4], as a float64."""
    return _load(types.float64, data, ir.FloatType())


@intrinsic
def store_int64(typing_context: Any, data: Any, position: Any, value: Any) -> Any:
    """Write an int64 to data[position : position + 8]."""
    return _store(types.int64, data, ir.IntType(64))


@intrinsic
def store_float64(typing_context: Any, data: Any, position: Any, value: Any) -> Any:
    """Write a float64 to data[position : position + 8]."""
    return _store(types.float64, data, ir.DoubleType())


@kernel
def read_varint(data: NDArray[np.uint8], position: int, end: int) -> tuple[int, int]:
    """Avro's long: zigzag, seven bits a byte, at most ten bytes, none at `end` or behind it.

    Returns the value and the position behind it; 0 and -1 where the bytes end too early or hold more than 64 bits.
    """
    result = 0
    shift = 0
    for i in range(position, min(end, position + MAX_VARINT_BYTES)):
        byte = int(np.int64(data[i]))
        result |= (byte & 127) << shift
        if byte < 128:
            if shift == 63 and byte > 1:
                return 0, -1
            return ((result >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(result & 1), i + 1
        shift += 7
    return 0, -1


@kernel
def write_varint(data: NDArray[np.uint8], position: int, value: int) -> int:
    """Write `value` as Avro's long at `position` (up to MAX_VARINT_BYTES must be free); returns the position behind."""
    rest = (value << 1) ^ (value >> 63)
    while rest & ~127 != 0:
        data[position] = (rest & 127) | 128
        rest = (rest >> 7) & 0x1FFFFFFFFFFFFFF
        position += 1
    data[position] = rest
    return position + 1
