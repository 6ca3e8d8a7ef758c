"""The kernel that writes predictions as Avro (schemas/prediction/v1.avsc): texts that repeat stand ready as pieces."""

import numpy as np
from numpy.typing import NDArray

from stream.kernels import kernel
from stream.kernels.memory import store_float64, write_varint
from stream.records import Bytes, Floats, Ints

# Pieces of encoded bytes that stand ready, by number; then the decisions, the scores' names, the features' names.
PREFIX, MODEL, THRESHOLD, SUFFIX, DECISIONS = 0, 1, 2, 3, 4

# Cells of a row: what is written, and (from VALUE_START on) where it came to stand.
OFFSET, ID_START, ID_END, KEY_START, KEY_END, EVENT_TIME, DECISION, SCORE = 0, 1, 2, 3, 4, 5, 6, 7
VALUE_START, VALUE_END, OUT_KEY_START, OUT_KEY_END = 8, 9, 10, 11
ROW_CELLS = 12

# ID_START of an event without id, and of one whose id is the integer in ID_END.
NO_ID, INTEGER_ID = -1, -2

# Most bytes that one row adds beside pieces, id and key: ten varints of 10 bytes, 20 digits, a score.
FIXED_BYTES = 140


@kernel
def write_piece(out: Bytes, position: int, pieces: Bytes, ends: Ints, number: int) -> int:
    """Copy piece `number`; returns the position behind it."""
    for source in range(ends[number], ends[number + 1]):
        out[position] = pieces[source]
        position += 1
    return position


@kernel
def write_text(out: Bytes, position: int, data: Bytes, start: int, end: int) -> int:
    """An Avro string or bytes value: its length, then data[start:end]."""
    position = write_varint(out, position, end - start)
    for source in range(start, end):
        out[position] = data[source]
        position += 1
    return position


@kernel
def write_decimal_text(out: Bytes, position: int, value: int) -> int:
    """An Avro string: the integer in decimal digits."""
    sign = 1 if value < 0 else 0
    magnitude = np.uint64(-value) if value < 0 else np.uint64(value)
    ten = np.uint64(10)
    digits = 1
    rest = magnitude // ten
    while rest != 0:
        digits += 1
        rest //= ten
    position = write_varint(out, position, sign + digits)
    if sign:
        out[position] = 45
        position += 1
    rest = magnitude
    for place in range(position + digits - 1, position - 1, -1):
        out[place] = 48 + np.int64(rest % ten)
        rest //= ten
    return position + digits


@kernel
def write_predictions(
    data: Bytes,
    rows: Ints,
    scores: Floats,
    top_features: NDArray[np.int32],
    top_contributions: Floats,
    pieces: Bytes,
    ends: Ints,
    out: Bytes,
) -> int:
    """Write one prediction per row; returns the bytes written. `rows` says what (the cells above) and hears where."""
    decisions = ends[0]
    names = DECISIONS + decisions
    features = names + scores.shape[1]
    position = 0
    for row in range(len(rows)):
        rows[row, VALUE_START] = position
        position = write_piece(out, position, pieces, ends[1:], PREFIX)
        position = write_varint(out, position, rows[row, OFFSET])
        if rows[row, ID_START] == NO_ID:
            position = write_varint(out, position, 0)
        else:
            position = write_varint(out, position, 1)
            if rows[row, ID_START] == INTEGER_ID:
                position = write_decimal_text(out, position, rows[row, ID_END])
            else:
                position = write_text(out, position, data, rows[row, ID_START], rows[row, ID_END])
        rows[row, OUT_KEY_START] = -1
        rows[row, OUT_KEY_END] = -1
        if rows[row, KEY_START] < 0:
            position = write_varint(out, position, 0)
        else:
            position = write_varint(out, position, 1)
            position = write_text(out, position, data, rows[row, KEY_START], rows[row, KEY_END])
            rows[row, OUT_KEY_START] = position - (rows[row, KEY_END] - rows[row, KEY_START])
            rows[row, OUT_KEY_END] = position
        position = write_piece(out, position, pieces, ends[1:], MODEL)
        score = scores[row, rows[row, SCORE]]
        if np.isnan(score):
            position = write_varint(out, position, 0)
        else:
            position = write_varint(out, position, 1)
            store_float64(out, position, score)
            position += 8
        position = write_piece(out, position, pieces, ends[1:], DECISIONS + rows[row, DECISION])
        position = write_piece(out, position, pieces, ends[1:], THRESHOLD)
        position = write_varint(out, position, scores.shape[1])
        for column in range(scores.shape[1]):
            position = write_piece(out, position, pieces, ends[1:], names + column)
            store_float64(out, position, scores[row, column])
            position += 8
        position = write_varint(out, position, 0)
        position = write_contributions(
            out,
            position,
            top_features[row],
            top_contributions[row],
            pieces,
            ends,
            features,
        )
        position = write_varint(out, position, rows[row, EVENT_TIME])
        position = write_piece(out, position, pieces, ends[1:], SUFFIX)
        rows[row, VALUE_END] = position
    return position


@kernel
def write_contributions(
    out: Bytes,
    position: int,
    features: NDArray[np.int32],
    contributions: Floats,
    pieces: Bytes,
    ends: Ints,
    names: int,
) -> int:
    """The array of the strongest features, whose names are the pieces from `names` on."""
    count = 0
    while count < len(features) and features[count] >= 0:
        count += 1
    if count > 0:
        position = write_varint(out, position, count)
        for place in range(count):
            position = write_piece(out, position, pieces, ends[1:], names + features[place])
            store_float64(out, position, contributions[place])
            position += 8
    return int(write_varint(out, position, 0))
