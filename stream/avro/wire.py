"""Kernels that read Avro's binary encoding: each checks the end of the record before it reads.

A position is an address. They return the one behind what was read, or a negated code of `opcodes` (and then the detail
in place of the value).
"""

# Kernels and intrinsics give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from stream.avro.addresses import byte_at, word_at
from stream.avro.opcodes import OVERLONG, TRUNCATED
from stream.kernels import kernel


@kernel
def read_long(position: int, end: int) -> tuple[int, int]:
    """A zigzag variable-length integer of at most 64 bits: (value, position)."""
    if position < end:
        byte: int = byte_at(position)
        if byte < 128:
            return (byte >> 1) ^ -(byte & 1), position + 1
    return _read_several(position, end)


@kernel
def _read_several(position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            return 1, -TRUNCATED
        byte: int = byte_at(position)
        position += 1
        if shift == 63 and byte > 1:
            return 0, -OVERLONG
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), position


@kernel
def utf8_error(start: int, end: int) -> int:
    """Where in the text the first wrong byte stands, or -1: Unicode's table of well-formed sequences (3-7)."""
    every = 0
    position = start
    while position + 8 <= end:
        every |= word_at(position)
        position += 8
    while position < end:
        every |= byte_at(position)
        position += 1
    return -1 if every & -0x7F7F7F7F7F7F7F80 == 0 else _wide_utf8_error(start, end)


@kernel
def _wide_utf8_error(start: int, end: int) -> int:
    position = start
    while position < end:
        lead = byte_at(position)
        if lead < 0x80:
            position += 1
            continue
        more = 1 if 0xC2 <= lead <= 0xDF else 2 if 0xE0 <= lead <= 0xEF else 3 if 0xF0 <= lead <= 0xF4 else 0
        if more == 0 or position + more >= end:
            return position - start
        second = byte_at(position + 1)
        # No overlong forms, no surrogates, nothing above U+10FFFF: the lead narrows the second byte.
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if second < low or second > high:
            return position - start
        for each in range(2, more + 1):
            if byte_at(position + each) & 0xC0 != 0x80:
                return position - start
        position += more + 1
    return -1


@kernel
def decimal_value(start: int, end: int, power: float) -> float:
    """An unscaled integer (two's complement, big end first) over `power` (10**scale), as a float64.

    The integer is rounded to float64 correctly, whatever its length, and so is the quotient: up to 2**53 and scale 22
    the result is the double nearest to the decimal.
    """
    if start >= end:
        return 0.0
    if byte_at(start) < 128:
        return _magnitude(start, end, 0) / power
    # -value has its bytes flipped and one added at the end; without zero bytes there, nothing is carried.
    while end > start and byte_at(end - 1) == 0:
        end -= 1
        power *= 1.0 / 256.0
    return -_magnitude(start, end, 255) / power


@kernel
def _magnitude(start: int, end: int, flip: int) -> float:
    """The integer of the bytes, each flipped by `flip` (and then one added to the last).

    55 to 62 leading bits are taken as they are, and whether anything but zeros follows as one bit below them: that is
    what rounding to 53 bits needs to know.
    """
    one = flip & 1
    position = start
    while position < end - 1 and (byte_at(position) ^ flip) == 0:
        position += 1
    leading = 0
    stop = min(position + 7, end)
    while position < stop:
        leading = leading << 8 | (byte_at(position) ^ flip) + (one if position == end - 1 else 0)
        position += 1
    if position == end:
        return float(leading)
    byte: int = (byte_at(position) ^ flip) + (one if position == end - 1 else 0)
    leading = leading << 6 | byte >> 2
    sticky = byte & 3
    scale = 4.0
    for rest in range(position + 1, end):
        sticky |= (byte_at(rest) ^ flip) + (one if rest == end - 1 else 0)
        scale *= 256.0
    return float(leading << 1 | (1 if sticky != 0 else 0)) * (scale * 0.5)
