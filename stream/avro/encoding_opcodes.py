"""The instructions that a schema becomes for encoding, and the codes with which a row fails.

An instruction is four int64 words: operation, slot, index, operand. A value lies in the row's cells from `slot` on and
must be present under `index`; or, where `index` is -2 - k, at `slot` in the current item of list k.
"""

from typing import Final

WIDTH: Final = 4  # words of an instruction

BOOLEAN: Final = 0
INT: Final = 1
LONG: Final = 2
FLOAT: Final = 3
DOUBLE: Final = 4
ENUM: Final = 5  # operand: number of symbols
STRING: Final = 6  # also bytes
FIXED: Final = 7  # operand: size
DECIMAL: Final = 8  # operand: table of size (-1: bytes), bits of 10.0**scale, bits of the least float64 too large
FIRST_CONTROL: Final = 9
RAW: Final = 9  # slot: how many of the operand's bytes to write
INDEX: Final = 10  # operand: the index of a union's branch
IF_PRESENT: Final = 11  # slot, index: first and past-the-last column; operand: where to go if none is present
JUMP: Final = 12  # operand: target
ITEMS: Final = 13  # slot, index: of the list column; operand: where to go behind the last item
NEXT_ITEM: Final = 14  # operand: where the items' instructions begin
FAIL: Final = 15  # no branch of the union is present, and null is none of them
END: Final = 16

OK: Final = 0
ABSENT: Final = 1  # no value, and null is not allowed
OUT_OF_RANGE: Final = 2  # an int, boolean or enum outside its range, a decimal with too many digits
OUTSIDE: Final = 3  # start and end of a text or list lie outside the data or the items
WRONG_SIZE: Final = 4  # of a fixed
FULL: Final = 5  # not the row's fault: the space for the output is used up
