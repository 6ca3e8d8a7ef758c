"""Kernels that read Avro's binary encoding: each checks the end of the record before it reads.

They return a position behind what was read, or a negated code of `opcodes` (and then the detail in place of the value).
"""

import numpy as np

from stream.avro.opcodes import OVERLONG, TRUNCATED
from stream.kernels import kernel
from stream.records import Bytes


@kernel
def read_long(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """A zigzag variable-length integer of at most 64 bits: (value, position)."""
    if position < end:
        byte = np.int64(data[position])
        if byte < 128:
            return (byte >> 1) ^ -(byte & 1), position + 1
    return _read_several(data, position, end)


@kernel
def _read_several(data: Bytes, position: int, end: int) -> tuple[int, int]:
    value = np.int64(0)
    for shift in range(0, 70, 7):
        if position >= end:
            return 1, -TRUNCATED
        byte = np.int64(data[position])
        position += 1
        if shift == 63 and byte > 1:
            return 0, -OVERLONG
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), position


@kernel
def load_8(data: Bytes, position: int) -> int:
    """Eight bytes, little end first, as a signed integer."""
    return (
        np.int64(data[position])
        | np.int64(data[position + 1]) << 8
        | np.int64(data[position + 2]) << 16
        | np.int64(data[position + 3]) << 24
        | np.int64(data[position + 4]) << 32
        | np.int64(data[position + 5]) << 40
        | np.int64(data[position + 6]) << 48
        | np.int64(data[position + 7]) << 56
    )


@kernel
def load_float(data: Bytes, position: int) -> float:
    """Four bytes, little end first, as a float of 32 bits."""
    bits = (
        np.int64(data[position])
        | np.int64(data[position + 1]) << 8
        | np.int64(data[position + 2]) << 16
        | np.int64(data[position + 3]) << 24
    )
    return np.float64(np.int32(bits).view(np.float32))


@kernel
def bits_of(value: float) -> int:
    """The bits of a float64 as a cell."""
    return np.float64(value).view(np.int64)


@kernel
def utf8_error(data: Bytes, start: int, end: int) -> int:
    """Where in the text the first wrong byte stands, or -1: Unicode's table of well-formed sequences (3-7)."""
    every = np.uint8(0)
    for position in range(start, end):
        every |= data[position]
    return np.int64(-1) if every < 128 else _wide_utf8_error(data, start, end)


@kernel
def _wide_utf8_error(data: Bytes, start: int, end: int) -> int:
    position = start
    while position < end:
        lead = np.int64(data[position])
        if lead < 0x80:
            position += 1
            continue
        more = 1 if 0xC2 <= lead <= 0xDF else 2 if 0xE0 <= lead <= 0xEF else 3 if 0xF0 <= lead <= 0xF4 else 0
        if more == 0 or position + more >= end:
            return position - start
        second = np.int64(data[position + 1])
        # No overlong forms, no surrogates, nothing above U+10FFFF: the lead narrows the second byte.
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if second < low or second > high:
            return position - start
        for each in range(2, more + 1):
            if data[position + each] & 0xC0 != 0x80:
                return position - start
        position += more + 1
    return np.int64(-1)


@kernel
def decimal_value(data: Bytes, start: int, end: int, power: float) -> float:
    """An unscaled integer (two's complement, big end first) over `power` (10**scale), as a float64.

    The integer is rounded to float64 correctly, whatever its length, and so is the quotient: up to 2**53 and scale 22
    the result is the double nearest to the decimal.
    """
    if start >= end:
        return 0.0
    if data[start] < 128:
        return _magnitude(data, start, end, 0) / power
    # -value has its bytes flipped and one added at the end; without zero bytes there, nothing is carried.
    while end > start and data[end - 1] == 0:
        end -= 1
        power *= 1.0 / 256.0
    return -_magnitude(data, start, end, 255) / power


@kernel
def _magnitude(data: Bytes, start: int, end: int, flip: int) -> float:
    """The integer of the bytes, each flipped by `flip` (and then one added to the last).

    55 to 62 leading bits are taken as they are, and whether anything but zeros follows as one bit below them: that is
    what rounding to 53 bits needs to know.
    """
    one = np.int64(flip & 1)
    position = start
    while position < end - 1 and (np.int64(data[position]) ^ flip) == 0:
        position += 1
    leading = np.int64(0)
    stop = min(position + 7, end)
    while position < stop:
        leading = leading << 8 | (np.int64(data[position]) ^ flip) + (one if position == end - 1 else 0)
        position += 1
    if position == end:
        return np.float64(leading)
    byte = (np.int64(data[position]) ^ flip) + (one if position == end - 1 else 0)
    leading = leading << 6 | byte >> 2
    sticky = byte & 3
    scale = 4.0
    for rest in range(position + 1, end):
        sticky |= (np.int64(data[rest]) ^ flip) + (one if rest == end - 1 else 0)
        scale *= 256.0
    return np.float64(leading << 1 | (1 if sticky != 0 else 0)) * (scale * 0.5)
