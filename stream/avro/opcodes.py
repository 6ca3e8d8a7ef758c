"""The instructions that a pair of schemas (writer, reader) becomes, and the codes with which a record fails.

An instruction is four int64 words: operation, slot, index, operand. `slot` is the first cell in the row, NOWHERE where
the value is only checked, or -2 - k where it is pushed to list k. Tables lie behind the instructions.
"""

from typing import Final

WIDTH: Final = 4  # words of an instruction
NOWHERE: Final = -1

# Values of one cell.
BOOLEAN: Final = 0
INT: Final = 1
LONG: Final = 2
INT_TO_FLOAT: Final = 3  # rounded to 32 bits, as the reader's type is
LONG_TO_FLOAT: Final = 4
INT_TO_DOUBLE: Final = 5
LONG_TO_DOUBLE: Final = 6
FLOAT: Final = 7
DOUBLE: Final = 8
ENUM: Final = 9  # operand: table of the number of the writer's symbols, then the reader's index of each (-1: none)
DECIMAL: Final = 10  # operand: table of size (-1: bytes, with their own length) and the bits of 10.0**scale
CONSTANT: Final = 11  # operand: the cell
# Values of two cells.
STRING: Final = 12  # checked to be UTF-8
BYTES: Final = 13
FIXED: Final = 14  # operand: size
CONSTANT_BYTES: Final = 15  # operand: table of start and length in the defaults
# Control.
END: Final = 16
JUMP: Final = 17  # operand: target
NULLABLE: Final = 18  # slot: index of null in a union of two; operand: where to go if it is null
UNION: Final = 19  # operand: table of the number of branches, then the target of each
LIST_BEGIN: Final = 20  # slot, index: of the list column; operand: k
LIST_END: Final = 21
BLOCKS_OPEN: Final = 22  # begins an array or a map
BLOCKS_NEXT: Final = 23  # index: least bytes of an item; operand: where to go behind the last item
CALL: Final = 24  # operand: target
RETURN: Final = 25
REJECT: Final = 26  # the writer's branch does not resolve to the reader's type

FIRST_OF_TWO_CELLS: Final = STRING
FIRST_CONTROL: Final = END

# Why a record fails. Positive; the kernels return them negated in place of a position.
OK: Final = 0
TRUNCATED: Final = 1  # detail: bytes that are missing, at least
OVERLONG: Final = 2  # a variable-length integer of more than 64 bits
OUT_OF_INT: Final = 3  # detail: the value
NOT_BOOLEAN: Final = 4  # detail: the byte
NEGATIVE_LENGTH: Final = 5  # detail: the length
NO_SUCH_SYMBOL: Final = 6  # detail: the writer's index
UNKNOWN_SYMBOL: Final = 7  # the reader has neither the symbol nor a default; detail: the writer's index
NO_SUCH_BRANCH: Final = 8  # detail: the index
NOT_UTF8: Final = 9  # detail: position of the first wrong byte in the text
TOO_DEEP: Final = 10
TOO_MANY_EMPTY: Final = 11  # items that take no bytes; detail: the count
UNRESOLVED_BRANCH: Final = 12
TRAILING: Final = 13  # detail: bytes left
NULL: Final = 14
SHORT_HEADER: Final = 15  # detail: bytes there are
WRONG_MAGIC: Final = 16  # detail: the byte
REFUSED: Final = 17  # detail: which refusal
ITEMS_FULL: Final = 18  # not the record's fault: the space for list items is used up

# Arrays and calls inside each other, in one record.
MAX_DEPTH: Final = 128
# Items that take no bytes (null, empty records) could be counted by the billion in five bytes; so many a record.
MAX_EMPTY_ITEMS: Final = 65536
