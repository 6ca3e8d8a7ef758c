"""The kernel that encodes rows of columns by interpreting a schema's program."""

# Kernels and intrinsics give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from typing import Final

import numpy as np

from stream.avro.addresses import byte_at, put_byte, put_word, word_at
from stream.avro.encoding_opcodes import (
    ABSENT,
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    ENUM,
    FAIL,
    FIRST_CONTROL,
    FIXED,
    FLOAT,
    FULL,
    IF_PRESENT,
    INDEX,
    INT,
    ITEMS,
    JUMP,
    NEXT_ITEM,
    OK,
    OUT_OF_RANGE,
    OUTSIDE,
    RAW,
    STRING,
    WIDTH,
    WRONG_SIZE,
)
from stream.kernels import kernel
from stream.kernels.bits import bits_to_float
from stream.records import Bools, Bytes, Ints

# Words of the state.
NEXT: Final = 0  # the row to go on with
USED: Final = 1  # bytes of the output
# What one instruction writes at most, the bytes of a text apart: an integer of ten bytes, rounded up to words.
_ROOM: Final = 32


# One function for the reason that `decode_records` is one.
@kernel
def encode_rows(
    cells: Ints, present: Bools, data: Bytes, lists: Ints, program: Ints, out: Bytes, results: Ints, state: Ints
) -> None:
    """Encode rows NEXT of the state and on, or stop before the one for which there is no room.

    Args:
        cells: (rows, width), as in a ColumnBatch.
        present: (rows, columns).
        data: what starts and ends refer to.
        lists: (lists, 4), for each list column the address of its items, their width, their number, its slot.
        program: the schema's instructions.
        out: receives the bytes.
        results: (rows, 4), receives start, end, code, address of the instruction that failed.
        state: as described above; written back.
    """
    program_at = program.ctypes.data
    first = out.ctypes.data
    limit = first + out.shape[0] - _ROOM
    row = state[NEXT]
    at = first + state[USED]
    while row < cells.shape[0]:
        begin = at
        pc = np.int64(0)
        item = np.int64(0)
        count = np.int64(0)
        code = np.int64(OK)
        while True:
            operation = program[pc]
            slot = program[pc + 1]
            index = program[pc + 2]
            if at > limit:
                code = np.int64(FULL)
                break
            if operation < FIRST_CONTROL:
                if index >= 0:
                    if not present[row, index]:
                        code = np.int64(ABSENT)
                        break
                    source = cells.ctypes.data + 8 * (row * cells.shape[1] + slot)
                else:
                    k = -2 - index
                    source = lists[k, 0] + 8 * ((cells[row, lists[k, 3]] + item) * lists[k, 1] + slot)
                if operation < STRING:
                    at, code = _number(operation, program[pc + 3], word_at(source), at)
                elif operation == DECIMAL:
                    at, code = _decimal(program_at + 8 * program[pc + 3], bits_to_float(word_at(source)), at)
                else:
                    start = word_at(source)
                    end = word_at(source + 8)
                    if start < 0 or end < start or end > data.shape[0]:
                        code = np.int64(OUTSIDE)
                    elif operation == FIXED and end - start != program[pc + 3]:
                        code = np.int64(WRONG_SIZE)
                    elif end - start > limit - at:
                        code = np.int64(FULL)
                    else:
                        if operation != FIXED:
                            at = write_long(at, end - start)
                        at = _copy(at, data.ctypes.data + start, end - start)
                if code != OK:
                    break
                pc += WIDTH
            elif operation == RAW:
                put_word(at, program[pc + 3])
                at += slot
                pc += WIDTH
            elif operation == INDEX:
                at = write_long(at, program[pc + 3])
                pc += WIDTH
            elif operation == IF_PRESENT:
                pc = pc + WIDTH if _any(present.ctypes.data + row * present.shape[1], slot, index) else program[pc + 3]
            elif operation == JUMP:
                pc = program[pc + 3]
            elif operation == ITEMS:
                item = np.int64(0)
                count = cells[row, slot + 1] - cells[row, slot]
                if not present[row, index]:
                    code = np.int64(ABSENT)
                    break
                if count < 0:
                    code = np.int64(OUTSIDE)
                    break
                at = write_long(at, count)
                pc = program[pc + 3] if count == 0 else pc + WIDTH
            elif operation == NEXT_ITEM:
                item += 1
                if item < count:
                    pc = program[pc + 3]
                else:
                    put_byte(at, 0)
                    at += 1
                    pc += WIDTH
            else:
                code = np.int64(ABSENT if operation == FAIL else OK)
                break
        if code == FULL:
            at = begin
            break
        results[row, 0] = begin - first if code == OK else -1
        results[row, 1] = at - first if code == OK else -1
        results[row, 2] = code
        results[row, 3] = pc
        if code != OK:
            at = begin
        row += 1
    state[NEXT] = row
    state[USED] = at - first


@kernel
def write_long(at: int, value: int) -> int:
    """Write a zigzag variable-length integer; returns the address behind it."""
    rest = (value << 1) ^ (value >> 63)
    while rest & ~127 != 0:
        put_byte(at, rest & 127 | 128)
        rest = (rest >> 7) & 0x1FFFFFFFFFFFFFF
        at += 1
    put_byte(at, rest)
    return at + 1


@kernel
def _any(at: int, first: int, behind: int) -> bool:
    """Whether any of these columns is present in the row of `present` at this address."""
    found = 0
    for column in range(first, behind):
        found |= byte_at(at + column)
    return found != 0


@kernel
def _copy(at: int, source: int, size: int) -> int:
    """Copy bytes; returns the address behind them."""
    end = source + size
    while source + 8 <= end:
        put_word(at, word_at(source))
        at += 8
        source += 8
    while source < end:
        put_byte(at, byte_at(source))
        at += 1
        source += 1
    return at


@kernel
def _number(operation: int, operand: int, cell: int, at: int) -> tuple[int, int]:
    """Write a value of one cell: (address behind it, code)."""
    if operation == DOUBLE:
        put_word(at, cell)
        return at + 8, OK
    if operation == FLOAT:
        single = np.float32(bits_to_float(cell)).view(np.int32)
        put_word(at, np.int64(single))
        return at + 4, OK
    if operation == BOOLEAN:
        if cell < 0 or cell > 1:
            return at, OUT_OF_RANGE
        put_byte(at, cell)
        return at + 1, OK
    if operation == INT and (cell < -0x80000000 or cell > 0x7FFFFFFF):
        return at, OUT_OF_RANGE
    if operation == ENUM and (cell < 0 or cell >= operand):
        return at, OUT_OF_RANGE
    return write_long(at, cell), OK


@kernel
def _decimal(table: int, value: float, at: int) -> tuple[int, int]:
    """Write a decimal, rounded to its scale: (address behind it, code)."""
    unscaled = np.rint(value * bits_to_float(word_at(table + 8)))
    if not abs(unscaled) < bits_to_float(word_at(table + 16)):
        return at, OUT_OF_RANGE
    integer = np.int64(unscaled)
    size = word_at(table)
    if size < 0:
        size = 1
        while size < 8 and integer >> (8 * size - 1) != integer >> 63:
            size += 1
        at = write_long(at, size)
    for each in range(size - 1, -1, -1):
        put_byte(at, integer >> min(8 * each, 63))
        at += 1
    return at, OK
