"""The kernel that interprets programs: one for every pair of schemas, so that a new one needs no compilation."""

# Kernels and intrinsics give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from typing import Final

import numpy as np

from stream.avro.addresses import byte_at, float_at, word_at
from stream.avro.opcodes import (
    BLOCKS_NEXT,
    BLOCKS_OPEN,
    BOOLEAN,
    CALL,
    CONSTANT,
    CONSTANT_BYTES,
    DECIMAL,
    DOUBLE,
    END,
    ENUM,
    FIRST_CONTROL,
    FIRST_OF_TWO_CELLS,
    FIXED,
    FLOAT,
    INT,
    INT_TO_DOUBLE,
    INT_TO_FLOAT,
    ITEMS_FULL,
    JUMP,
    LIST_BEGIN,
    LIST_END,
    LONG,
    LONG_TO_DOUBLE,
    MAX_DEPTH,
    MAX_EMPTY_ITEMS,
    NEGATIVE_LENGTH,
    NO_SUCH_BRANCH,
    NO_SUCH_SYMBOL,
    NOT_BOOLEAN,
    NOT_UTF8,
    NOWHERE,
    NULLABLE,
    OK,
    OUT_OF_INT,
    RETURN,
    STRING,
    TOO_DEEP,
    TOO_MANY_EMPTY,
    TRAILING,
    TRUNCATED,
    UNION,
    UNKNOWN_SYMBOL,
    UNRESOLVED_BRANCH,
    WIDTH,
)
from stream.avro.wire import decimal_value, read_long, utf8_error
from stream.kernels import kernel
from stream.kernels.bits import bits_to_float, float_to_bits
from stream.records import Bools, Bytes, Ints

# Words of the interpreter's state.
NEXT: Final = 0  # the record to go on with
STOP: Final = 1  # the record to stop before
ROW: Final = 2  # rows filled
ITEMS: Final = 3  # list items filled
DEFAULTS: Final = 4  # where in the data the defaults' bytes will lie
STACK: Final = 5  # MAX_DEPTH words; then items of each list
LISTS: Final = STACK + MAX_DEPTH


# One function, longer than any other: numba passes arrays to a callee as some fifty words and counts references to
# them, which made the version in parts seven times slower (1.4 against 10 million records/s).
@kernel
def decode_records(
    data: Bytes, bodies: Ints, outcomes: Ints, program: Ints, cells: Ints, present: Bools, items: Ints, state: Ints
) -> None:
    """Decode records NEXT to STOP of the state into rows, or stop before the one for whose list items there is no room.

    Args:
        data: the records' bytes.
        bodies: (n, 2), start and end of each record's Avro data.
        outcomes: (n, 3), in: OK and the address of the record's program (a record of another code is passed over);
            out: a code, the address of the instruction that failed, a detail.
        program: the instructions of every pair of schemas.
        cells: (rows, width), zeros from ROW on; receives a row for each record that decodes.
        present: (rows, columns), likewise.
        items: (capacity, 3), receives list, first and second cell of each list item in order.
        state: as described above; written back.
    """
    base = data.ctypes.data
    defaults = base + state[DEFAULTS]
    code_at = program.ctypes.data
    row = state[ROW]
    used = state[ITEMS]
    stop = state[STOP]
    record = state[NEXT]
    while record < stop:
        if outcomes[record, 0] != OK:
            record += 1
            continue
        position = base + bodies[record, 0]
        end = base + bodies[record, 1]
        pc = outcomes[record, 1]
        code = np.int64(OK)
        detail = np.int64(0)
        depth = 0
        empty = 0
        used_before = used
        while True:
            operation = program[pc]
            slot = program[pc + 1]
            if operation < FIRST_CONTROL:
                first, second, position = _value(operation, program[pc + 3], position, end, code_at, defaults)
                if position < 0:
                    code = -position
                    detail = first
                    break
                if operation >= FIRST_OF_TWO_CELLS:
                    first -= base
                    second -= base
                if slot >= 0:
                    cells[row, slot] = first
                    if operation >= FIRST_OF_TWO_CELLS:
                        cells[row, slot + 1] = second
                    present[row, program[pc + 2]] = True
                elif slot != NOWHERE:
                    if used == items.shape[0]:
                        code = np.int64(ITEMS_FULL)
                        break
                    items[used, 0] = -2 - slot
                    items[used, 1] = first
                    items[used, 2] = second
                    used += 1
                    state[LISTS - 2 - slot] += 1
                pc += WIDTH
            elif operation == NULLABLE:
                branch, position = read_long(position, end)
                if position < 0 or branch < 0 or branch > 1:
                    code = -position if position < 0 else np.int64(NO_SUCH_BRANCH)
                    detail = branch
                    break
                pc = program[pc + 3] if branch == slot else pc + WIDTH
            elif operation == END:
                if position != end:
                    code = np.int64(TRAILING)
                    detail = end - position
                break
            elif operation == JUMP:
                pc = program[pc + 3]
            elif operation == BLOCKS_OPEN:
                if depth == MAX_DEPTH:
                    code = np.int64(TOO_DEEP)
                    break
                state[STACK + depth] = 0
                depth += 1
                pc += WIDTH
            elif operation == BLOCKS_NEXT:
                left = state[STACK + depth - 1]
                if left == 0:
                    left, position = _block(position, end, program[pc + 2])
                    if position < 0:
                        code = -position
                        detail = left
                        break
                    if left == 0:
                        depth -= 1
                        pc = program[pc + 3]
                        continue
                    if program[pc + 2] == 0:
                        if left > MAX_EMPTY_ITEMS - empty:
                            code = np.int64(TOO_MANY_EMPTY)
                            detail = left
                            break
                        empty += left
                state[STACK + depth - 1] = left - 1
                pc += WIDTH
            elif operation == UNION:
                branch, position = read_long(position, end)
                table = program[pc + 3]
                if position < 0 or branch < 0 or branch >= program[table]:
                    code = -position if position < 0 else np.int64(NO_SUCH_BRANCH)
                    detail = branch
                    break
                pc = program[table + 1 + branch]
            elif operation in (LIST_BEGIN, LIST_END):
                cells[row, slot + 1] = state[LISTS + program[pc + 3]]
                if operation == LIST_BEGIN:
                    cells[row, slot] = cells[row, slot + 1]
                    present[row, program[pc + 2]] = True
                pc += WIDTH
            elif operation == CALL:
                if depth == MAX_DEPTH:
                    code = np.int64(TOO_DEEP)
                    break
                state[STACK + depth] = pc + WIDTH
                depth += 1
                pc = program[pc + 3]
            elif operation == RETURN:
                depth -= 1
                pc = state[STACK + depth]
            else:
                code = np.int64(UNRESOLVED_BRANCH)
                break
        if code == OK:
            outcomes[record, 0] = OK
            row += 1
        else:
            while used > used_before:
                used -= 1
                state[LISTS + items[used, 0]] -= 1
            cells[row, :] = 0
            present[row, :] = False
            if code == ITEMS_FULL:
                break
            outcomes[record, 0] = code
            outcomes[record, 1] = pc
            outcomes[record, 2] = detail
        record += 1
    state[NEXT] = record
    state[ROW] = row
    state[ITEMS] = used


@kernel
def _block(position: int, end: int, least: int) -> tuple[int, int]:
    """The header of a block of items: (count, position). Of a negative count the size in bytes is read and ignored:
    the items are walked through in any case, so that whether a record is accepted does not depend on how it was cut."""
    count, position = read_long(position, end)
    if position >= 0 and count < 0:
        count = -count
        if count < 0:
            return count, -NEGATIVE_LENGTH
        size, position = read_long(position, end)
        if position >= 0 and size < 0:
            return size, -NEGATIVE_LENGTH
    if position >= 0 and least > 0 and count > (end - position) // least:
        return count * least - (end - position) if count < (1 << 31) else count, -TRUNCATED
    return count, position


@kernel
def _value(operation: int, operand: int, position: int, end: int, program: int, defaults: int) -> tuple[int, int, int]:
    """The value at the position as the instruction wants it: (first cell, second cell, position).

    `program` and `defaults` are the addresses of both. Of a value of two cells these are addresses, too.
    """
    if operation >= FIRST_OF_TWO_CELLS:
        return _text(operation, operand, position, end, program, defaults)
    if operation == DOUBLE:
        if end - position < 8:
            return 8 - (end - position), 0, -TRUNCATED
        return word_at(position), 0, position + 8
    if operation == FLOAT:
        if end - position < 4:
            return 4 - (end - position), 0, -TRUNCATED
        return float_to_bits(float_at(position)), 0, position + 4
    if operation == BOOLEAN:
        if position >= end:
            return 1, 0, -TRUNCATED
        byte = byte_at(position)
        return byte, 0, position + 1 if byte <= 1 else -NOT_BOOLEAN
    if operation == CONSTANT:
        return operand, 0, position
    if operation == DECIMAL:
        return _decimal(program + 8 * operand, position, end)
    value, position = read_long(position, end)
    if position < 0 or operation == LONG:
        return value, 0, position
    if operation == ENUM:
        table = program + 8 * operand
        if value < 0 or value >= word_at(table):
            return value, 0, -NO_SUCH_SYMBOL
        mapped = word_at(table + 8 + 8 * value)
        return (mapped, 0, position) if mapped >= 0 else (value, 0, -UNKNOWN_SYMBOL)
    return _number(operation, value, position)


@kernel
def _number(operation: int, value: int, position: int) -> tuple[int, int, int]:
    """An int, or an int or long promoted to a floating-point type."""
    if operation in (INT, INT_TO_FLOAT, INT_TO_DOUBLE):
        if value < -0x80000000 or value > 0x7FFFFFFF:
            return value, 0, -OUT_OF_INT
        if operation == INT:
            return value, 0, position
    if operation in (INT_TO_DOUBLE, LONG_TO_DOUBLE):
        return float_to_bits(np.float64(value)), 0, position
    return float_to_bits(np.float64(np.float32(value))), 0, position


@kernel
def _text(operation: int, operand: int, position: int, end: int, program: int, defaults: int) -> tuple[int, int, int]:
    """Start and end of a string, bytes or fixed, and the position behind it."""
    if operation == CONSTANT_BYTES:
        start = defaults + word_at(program + 8 * operand)
        return start, start + word_at(program + 8 * operand + 8), position
    length = operand
    if operation != FIXED:
        length, position = read_long(position, end)
        if position < 0:
            return length, 0, position
        if length < 0:
            return length, 0, -NEGATIVE_LENGTH
    if length > end - position:
        return length - (end - position), 0, -TRUNCATED
    behind = position + length
    if operation == STRING:
        wrong = utf8_error(position, behind)
        if wrong >= 0:
            return wrong, 0, -NOT_UTF8
    return position, behind, behind


@kernel
def _decimal(table: int, position: int, end: int) -> tuple[int, int, int]:
    """The bits of a decimal as float64. Its bytes have a length of their own unless the table gives a size."""
    length = word_at(table)
    if length < 0:
        length, position = read_long(position, end)
        if position < 0:
            return length, 0, position
        if length < 0:
            return length, 0, -NEGATIVE_LENGTH
    if length > end - position:
        return length - (end - position), 0, -TRUNCATED
    power = bits_to_float(word_at(table + 8))
    return float_to_bits(decimal_value(position, position + length, power)), 0, position + length
