"""Whether a record's own key is its key field (rule 19): partitions come from one, keyed state from the other."""

# Kernels give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from typing import Final

import numpy as np

from stream.avro.framing import HEADER_BYTES
from stream.avro.wire import read_long
from stream.engine.plan import EventPlan, KeyEncoding
from stream.kernels import kernel
from stream.records import Bools, Bytes, ColumnBatch, Ints, Kind, RecordBatch

# Forms of a key: the bytes of a text; an integer in decimal digits, or in 4 or 8 bytes, big end first; Avro's text and
# integer behind a header.
TEXT, DIGITS, BIG_ENDIAN, AVRO_TEXT, AVRO_LONG = 0, 1, 2, 3, 4

_FORMS: Final = {
    (KeyEncoding.UTF8, False): TEXT,
    (KeyEncoding.BYTES, False): TEXT,
    (KeyEncoding.AVRO, False): AVRO_TEXT,
    (KeyEncoding.UTF8, True): DIGITS,
    (KeyEncoding.BYTES, True): BIG_ENDIAN,
    (KeyEncoding.AVRO, True): AVRO_LONG,
}


def with_other_key(events: EventPlan, batch: RecordBatch, columns: ColumnBatch) -> Bools:
    """Events (n,) whose key field does not encode to the record's key; null record keys do not count.

    Compared are single keys of text, bytes and integers; composite keys and other types are not looked at.
    """
    differs = np.zeros(len(columns), np.bool_)
    column = events.key[0] if len(events.key) == 1 else None
    if column is None or column.kind not in (Kind.STRING, Kind.BYTES, Kind.LONG):
        return differs
    form = _FORMS[events.key_encoding, column.kind is Kind.LONG]
    header_bytes = HEADER_BYTES[events.framing]
    compare_keys(columns.cells, column.slot, columns.data, columns.rows, batch.keys, form, header_bytes, differs)
    return differs & columns.present[:, column.index]


@kernel
def compare_keys(
    cells: Ints, slot: int, data: Bytes, rows: Ints, keys: Ints, form: int, header_bytes: int, differs: Bools
) -> None:
    """Mark the events whose value is not the key of their record.

    Args:
        cells: (n, cells) from `slot` on start and end of a text in `data`, or an integer.
        slot: of the key field.
        data: the records' bytes.
        rows: (n,) the record of each event.
        keys: (records, 2) start and end of their keys.
        form: of the keys, see above.
        header_bytes: what stands before an Avro key.
        differs: (n,) receives the marks.
    """
    base = data.ctypes.data
    for row in range(len(rows)):
        start, end = keys[rows[row], 0], keys[rows[row], 1]
        value = cells[row, slot]
        if start < 0:
            continue
        if form == DIGITS:
            differs[row] = not is_decimal(data, start, end, value)
        elif form == BIG_ENDIAN:
            differs[row] = not is_big_endian(data, start, end, value)
        elif form == AVRO_LONG:
            number, behind = read_long(base + start + header_bytes, base + end)
            differs[row] = behind != base + end or number != value
        else:
            if form == AVRO_TEXT:
                size, behind = read_long(base + start + header_bytes, base + end)
                start = behind - base
                if behind < 0 or size != end - start:
                    differs[row] = True
                    continue
            differs[row] = not is_same(data, start, end, value, cells[row, slot + 1])


@kernel
def is_same(data: Bytes, start: int, end: int, first: int, behind: int) -> bool:
    """Whether two stretches hold the same bytes."""
    size, place = end - start, 0
    while place < size and place < behind - first and data[start + place] == data[first + place]:
        place += 1
    return place == size == behind - first


@kernel
def is_decimal(data: Bytes, start: int, end: int, value: int) -> bool:
    """Whether the bytes are this integer's decimal digits, as `str` writes them."""
    rest = np.uint64(-value) if value < 0 else np.uint64(value)
    if value < 0:
        if start == end or data[start] != 45:
            return False
        start += 1
    place = end - 1
    ten = np.uint64(10)
    while place >= start:
        if np.uint64(data[place]) != np.uint64(48) + rest % ten:
            return False
        rest //= ten
        place -= 1
        if rest == np.uint64(0):
            return place < start
    return False


@kernel
def is_big_endian(data: Bytes, start: int, end: int, value: int) -> bool:
    """Whether the bytes are this integer as Kafka's LongSerializer (8 bytes) or IntegerSerializer (4) writes it."""
    if end - start != 4 and end - start != 8:
        return False
    number = -1 if data[start] >= 128 else 0
    for place in range(start, end):
        number = number << 8 | int(data[place])
    return number == value
