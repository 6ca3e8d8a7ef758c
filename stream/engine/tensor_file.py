"""Arrays as a safetensors file that is nowhere in memory as a whole, and back without a copy.

The library reads and writes whole files: a gigabyte of state would be there three times. The format is small
(https://github.com/huggingface/safetensors#format): the length of a JSON header as uint64, the header, the arrays
without holes between them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream.records import Bytes

_LENGTH_BYTES = 8
_NAMES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
_TYPES = {name: np.dtype(type_) for type_, name in _NAMES.items()}


class TensorFileError(ValueError):
    """The bytes are no safetensors file of numeric arrays."""


def blocks_of(arrays: Mapping[str, NDArray[np.generic]], small_bytes: int) -> list[memoryview]:
    """The file's bytes as views of the arrays, in blocks that begin anew with each large one.

    Wide types come first, as safetensors has it, so that each array is aligned in a file that is.

    Args:
        arrays: numeric ones.
        small_bytes: arrays up to this size share a block with those beside them, which is copied.
    """
    plain = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    names = sorted(plain, key=lambda name: (-plain[name].itemsize, plain[name].nbytes > small_bytes, name))
    blocks, small = [], bytearray(_header([(name, plain[name]) for name in names]))
    for name in names:
        content = plain[name].reshape(-1).view(np.uint8).data
        if len(content) <= small_bytes:
            small += content
            continue
        blocks += [memoryview(small), content] if small else [content]
        small = bytearray()
    return [*blocks, memoryview(small)] if small else blocks


def arrays_of(file: Bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of a file, as views of it; raises TensorFileError where it is none."""
    data_at = _LENGTH_BYTES + int.from_bytes(file[:_LENGTH_BYTES].tobytes(), "little")
    if not _LENGTH_BYTES < data_at <= len(file):
        raise TensorFileError("its header is longer than the file")
    try:
        header: Any = orjson.loads(file[_LENGTH_BYTES:data_at].tobytes())
        header.pop("__metadata__", None)
        return {name: _array(file[data_at:], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(f"its header does not fit it: {error!r}") from error


def _header(arrays: list[tuple[str, NDArray[np.generic]]]) -> bytes:
    entries, start = {}, 0
    for name, array in arrays:
        end = start + array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype.name], "shape": array.shape, "data_offsets": (start, end)}
        start = end
    text = orjson.dumps(entries)
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _array(data: Bytes, entry: Mapping[str, Any]) -> NDArray[np.generic]:
    start, end = entry["data_offsets"]
    return data[start:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
