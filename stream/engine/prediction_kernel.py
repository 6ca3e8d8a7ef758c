"""The kernel that writes predictions as Avro (schemas/prediction/v1.avsc): texts that repeat stand ready as pieces.

It works on addresses and copies in blocks, since arrays passed on and single bytes took most of its time: up to
SPARE_BYTES behind a text are written too, and then overwritten by what comes next.
"""

# Kernels and intrinsics give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.avro.addresses import byte_at, put_block, put_byte, put_word, word_at
from stream.kernels import kernel
from stream.kernels.bits import float_to_bits
from stream.records import Bools, Bytes, Floats, Ints

# Pieces of encoded bytes that stand ready, by number; then the scores' names, the features' names.
PREFIX, MODEL, SUFFIX, NO_DECISION, DECISIONS = 0, 1, 2, 3, 4

# In place of a decision's number: there is no score to decide by.
UNDECIDED = NO_DECISION - DECISIONS

# Cells of the layout: how the event id stands in the columns, how many decisions there are, and which score is given
# (FIRST_SCORE + SCORE_STEP * decision).
ID_KIND, ID_INDEX, ID_SLOT, DECISION_COUNT, FIRST_SCORE, SCORE_STEP = 0, 1, 2, 3, 4, 5
NO_ID, TEXT_ID, INTEGER_ID = 0, 1, 2

# Most bytes that one row adds beside pieces, scores, id and key: ten varints of 10 bytes, 20 digits, a score.
FIXED_BYTES = 140
# What is copied goes in blocks: of one that begins with the last byte of a text, 31 bytes lie behind it.
BLOCK_BYTES = 32
SPARE_BYTES = BLOCK_BYTES


class Events(NamedTuple):
    """Of which events; see ColumnBatch and RecordBatch."""

    data: Bytes
    cells: Ints
    present: Bools
    rows: Ints
    offsets: Ints
    keys: Ints
    times_ms: Ints


class Said(NamedTuple):
    """What is said of them, row by row."""

    scores: Floats  # (n, scores)
    decisions: Ints  # (n,): numbers; UNDECIDED where the deciding model has no score
    features: NDArray[np.int32]  # (n, 3)
    contributions: Floats  # (n, 3)


class Pieces(NamedTuple):
    """Piece p is data[ends[p] : ends[p + 1]]; SPARE_BYTES follow the last one."""

    data: Bytes
    ends: Ints
    layout: Ints


class Written(NamedTuple):
    """Where predictions are written to."""

    data: Bytes
    keys: Ints  # (n, 2): start and end in data; -1 where null
    values: Ints  # (n, 2)


@kernel
def put_long(at: int, value: int) -> int:
    """Avro's long at an address; returns the address behind it."""
    rest = (value << 1) ^ (value >> 63)
    while rest & ~127 != 0:
        put_byte(at, (rest & 127) | 128)
        rest = (rest >> 7) & 0x1FFFFFFFFFFFFFF
        at += 1
    put_byte(at, rest)
    return at + 1


@kernel
def put_blocks(at: int, start: int, end: int) -> int:
    """Copy what lies from `start` to `end`, all addresses; up to SPARE_BYTES behind it are read and written as well."""
    for block in range(0, end - start, BLOCK_BYTES):
        put_block(at + block, start + block)
    return at + end - start


@kernel
def put_piece(at: int, texts: int, ends: int, number: int) -> int:
    """Copy piece `number`; the addresses are those of Pieces' arrays."""
    return put_blocks(at, texts + word_at(ends + 8 * number), texts + word_at(ends + 8 * number + 8))


@kernel
def put_text(at: int, start: int, end: int, limit: int) -> int:
    """Copy what lies from `start` to `end`, all addresses; nothing is read from `limit` on. Returns the one behind."""
    if end + SPARE_BYTES <= limit:
        return put_blocks(at, start, end)
    for byte in range(end - start):
        put_byte(at + byte, byte_at(start + byte))
    return at + end - start


@kernel
def put_decimal(at: int, value: int) -> int:
    """An Avro string: the integer in decimal digits."""
    sign = 1 if value < 0 else 0
    magnitude = np.uint64(-value) if value < 0 else np.uint64(value)
    ten = np.uint64(10)
    digits = 1
    rest = magnitude // ten
    while rest != 0:
        digits += 1
        rest //= ten
    at = put_long(at, sign + digits)
    if sign:
        put_byte(at, 45)
        at += 1
    rest = magnitude
    for place in range(at + digits - 1, at - 1, -1):
        put_byte(place, np.int64(48) + np.int64(rest % ten))
        rest //= ten
    return at + digits


@kernel
def put_event_id(at: int, events: Events, layout: Ints, row: int) -> int:
    """The event's id, an optional string."""
    if layout[ID_KIND] == NO_ID or not events.present[row, layout[ID_INDEX]]:
        put_byte(at, 0)
        return at + 1
    put_byte(at, 2)
    slot = layout[ID_SLOT]
    if layout[ID_KIND] == INTEGER_ID:
        return put_decimal(at + 1, events.cells[row, slot])
    base = events.data.ctypes.data
    start, end = events.cells[row, slot], events.cells[row, slot + 1]
    at = put_long(at + 1, end - start)
    return put_text(at, base + start, base + end, base + len(events.data))


@kernel
def put_contributions(at: int, said: Said, row: int, pieces: Pieces, names: int) -> int:
    """The array of the strongest features, whose names are the pieces from `names` on."""
    count = 0
    while count < said.features.shape[1] and said.features[row, count] >= 0:
        count += 1
    if count > 0:
        at = put_long(at, count)
        for place in range(count):
            at = put_piece(at, pieces.data.ctypes.data, pieces.ends.ctypes.data, names + said.features[row, place])
            put_word(at, float_to_bits(said.contributions[row, place]))
            at += 8
    put_byte(at, 0)
    return at + 1


@kernel
def most_bytes(events: Events, layout: Ints, row: int) -> int:
    """Most bytes that the id and the key of a row take."""
    record = events.rows[row]
    size = events.keys[record, 1] - events.keys[record, 0]
    if layout[ID_KIND] == TEXT_ID:
        size += events.cells[row, layout[ID_SLOT] + 1] - events.cells[row, layout[ID_SLOT]]
    return size


@kernel
def write_predictions(
    events: Events, said: Said, pieces: Pieces, row_bytes: int, out: Written, first: int, position: int
) -> tuple[int, int]:
    """Write one prediction per row from row `first` on, as long as there is room.

    Args:
        events: of which events.
        said: what is said of them.
        pieces: see Pieces.
        row_bytes: most bytes of a row beside its id and its key.
        out: receives them, and where each lies.
        first: the row to begin with.
        position: where to write in out.data.

    Returns:
        The row that had no room (their number if all had), and the position behind what was written.
    """
    layout, ends, texts = pieces.layout, pieces.ends.ctypes.data, pieces.data.ctypes.data
    data, base = events.data.ctypes.data, out.data.ctypes.data
    names = DECISIONS + layout[DECISION_COUNT]
    at = base + position
    for row in range(first, len(events.rows)):
        record = events.rows[row]
        if at - base + row_bytes + most_bytes(events, layout, row) > len(out.data):
            return row, at - base
        out.values[row, 0] = at - base
        at = put_piece(at, texts, ends, PREFIX)
        at = put_long(at, events.offsets[record])
        at = put_event_id(at, events, layout, row)
        start, end = events.keys[record, 0], events.keys[record, 1]
        out.keys[row, 0] = -1
        out.keys[row, 1] = -1
        if start < 0:
            put_byte(at, 0)
            at += 1
        else:
            put_byte(at, 2)
            at = put_long(at + 1, end - start)
            out.keys[row, 0] = at - base
            at = put_text(at, data + start, data + end, data + len(events.data))
            out.keys[row, 1] = at - base
        at = put_piece(at, texts, ends, MODEL)
        decision = said.decisions[row]
        put_byte(at, 0)
        at += 1
        if decision != UNDECIDED:
            put_byte(at - 1, 2)
            put_word(at, float_to_bits(said.scores[row, layout[FIRST_SCORE] + layout[SCORE_STEP] * decision]))
            at += 8
        at = put_piece(at, texts, ends, DECISIONS + decision)
        for column in range(said.scores.shape[1]):
            at = put_piece(at, texts, ends, names + column)
            put_word(at, float_to_bits(said.scores[row, column]))
            at += 8
        put_byte(at, 0)
        at = put_contributions(at + 1, said, row, pieces, names + said.scores.shape[1])
        at = put_long(at, events.times_ms[row])
        at = put_piece(at, texts, ends, SUFFIX)
        out.values[row, 1] = at - base
    return len(events.rows), at - base
