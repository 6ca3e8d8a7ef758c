"""Numbers in byte arrays: little-endian loads at any position.

Loads are intrinsics (one machine instruction each), so they can be called inside kernels only. They take a contiguous
uint8 array and a byte position, and check neither: whoever calls them has compared with the end.
"""

import sys
from typing import Any

from llvmlite import ir
from numba.core import types

from stream.kernels.compile import intrinsic

if sys.byteorder != "little":
    raise ImportError("the kernels read numbers as the machine stores them, and need a little-endian machine")


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, stored: ir.Type) -> Any:
    """Where arguments[1] bytes into the array arguments[0] lies, as a pointer to `stored`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), stored.as_pointer())


def _load(result: Any, data: Any, stored: ir.Type) -> Any:
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature, arguments, stored), align=1)
        return value if stored != ir.IntType(32) else builder.zext(value, ir.IntType(64))

    return result(data, types.int64), lower


@intrinsic
def load_uint64(typing_context: Any, data: Any, position: Any) -> Any:
    """The uint64 in data[position : position + 8]."""
    return _load(types.uint64, data, ir.IntType(64))


@intrinsic
def load_uint32(typing_context: Any, data: Any, position: Any) -> Any:
    """The uint32 in data[position : position + 4], as a uint64."""
    return _load(types.uint64, data, ir.IntType(32))
