"""Record headers packed into bytes, so that a batch carries them in its one buffer and parses them only where needed.

Per header: key length (uint32, little-endian), key (UTF-8), value length (int32, little-endian; -1 for null), value.
"""

import struct
from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes | None]]

_KEY_LENGTH = struct.Struct("<I")
_VALUE_LENGTH = struct.Struct("<i")


def pack(headers: Headers) -> bytes:
    """Pack headers in their order; repeated keys are kept, as Kafka keeps them."""
    parts = []
    for name, value in headers:
        key = name.encode()
        parts += [
            _KEY_LENGTH.pack(len(key)),
            key,
            _VALUE_LENGTH.pack(-1 if value is None else len(value)),
            value or b"",
        ]
    return b"".join(parts)


def unpack(packed: bytes) -> list[tuple[str, bytes | None]]:
    """The headers that `pack` packed."""
    headers: list[tuple[str, bytes | None]] = []
    position = 0
    while position < len(packed):
        (length,) = _KEY_LENGTH.unpack_from(packed, position)
        position += _KEY_LENGTH.size
        name = packed[position : position + length].decode()
        position += length
        (length,) = _VALUE_LENGTH.unpack_from(packed, position)
        position += _VALUE_LENGTH.size
        headers.append((name, None if length < 0 else packed[position : position + length]))
        position += max(length, 0)
    return headers
