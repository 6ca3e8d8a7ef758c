"""Columns to records."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.avro import encoding_opcodes as op
from stream.avro.build import column_batch
from stream.avro.columns import TWO_CELLS, columns_of
from stream.avro.encode_kernel import NEXT, USED, encode_rows
from stream.avro.encoding_program import encoding_program
from stream.avro.framing import Framing
from stream.avro.json_text import json_text
from stream.avro.readonly import readonly
from stream.avro.schema import Schema
from stream.errors import SchemaError
from stream.records import Bytes, Column, ColumnBatch, Ints, Kind, Rejection, RejectReason

# Bytes a row that are made room for at first; doubled as often as that is too little.
_FIRST_BYTES_A_ROW: Final = 64
_FIRST_BYTES: Final = 256
_GOT: Final = {
    op.ABSENT: "nothing (the column is not present)",
    op.OUT_OF_RANGE: "a value outside its range",
    op.OUTSIDE: "start and end outside of the data",
    op.WRONG_SIZE: "bytes of another size",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as records."""

    data: Bytes
    values: Ints  # (rows, 2): start and end in data; -1, -1 of a row that the schema does not allow
    rejections: tuple[Rejection, ...]  # why, of each of these


class Encoder:
    """Encodes rows of columns: the mirror of `Decoder`.

    A batch has the columns `Encoder.columns` (those of `columns_of(schema)`). Absent is null; a nullable record none of
    whose columns is present is null; of a general union the first branch with a present column is written. The lists
    of one array of records, and the keys and values of one map, have as many items in every row. Decimals are rounded
    to their scale. Text is expected to be UTF-8.

    Args:
        schema: a record of which every part has a column.
        framing: JSON writes text (with wrappers `{"type": value}` in unions of several types) and is slow.
        schema_id: the registry's id or the fingerprint; 0 for JSON.

    Raises:
        SchemaError: the schema is no record, or part of it has no column.
    """

    def __init__(self, schema: Schema, framing: Framing, schema_id: int) -> None:
        self.schema: Final = schema
        self.framing: Final = framing
        self.columns: Final[tuple[Column, ...]] = columns_of(schema)
        program = encoding_program(schema, self.columns, framing, schema_id)
        self._program: Final = np.array(program.words, np.int64)
        self._places: Final = program.places
        self._lists: Final = [column for column in self.columns if column.kind is Kind.LIST]
        self._groups: Final = program.groups
        # Have the kernel compiled now, and not when the first rows come.
        self._binary(column_batch(self.columns, {}, {}, 0))

    def encode(self, batch: ColumnBatch) -> Encoded:
        """Encode every row.

        Raises:
            SchemaError: the batch has other columns, or lists of one array or map that do not go together.
        """
        self._check(batch)
        binary = self._binary(batch)
        return _as_json(self.schema, binary) if self.framing is Framing.JSON else binary

    def _binary(self, batch: ColumnBatch) -> "Encoded":
        results = np.empty((len(batch), 4), np.int64)
        state = np.zeros(2, np.int64)
        out = np.empty(_FIRST_BYTES + _FIRST_BYTES_A_ROW * len(batch), np.uint8)
        cells, present, data = readonly(batch.cells), readonly(batch.present), readonly(batch.data)
        lists, alive = self._list_table(batch)
        encode_rows(cells, present, data, lists, self._program, out, results, state)
        while state[NEXT] < len(batch):
            out = np.concatenate([out, np.empty_like(out)])
            encode_rows(cells, present, data, lists, self._program, out, results, state)
        del alive
        failed = np.flatnonzero(results[:, 2])
        rejections = tuple(self._rejection(int(row), int(results[row, 2]), int(results[row, 3])) for row in failed)
        return Encoded(out[: state[USED]], np.ascontiguousarray(results[:, :2]), rejections)

    def _list_table(self, batch: ColumnBatch) -> tuple[Ints, list[Ints]]:
        """What the kernel wants to know of each list, and the arrays whose addresses that holds."""
        items = [np.ascontiguousarray(batch.items[column.name], np.int64) for column in self._lists]
        rows = [
            (array.ctypes.data, 2 if column.item in TWO_CELLS else 1, len(array), column.slot)
            for array, column in zip(items, self._lists, strict=True)
        ]
        return np.array(rows, np.int64).reshape(-1, 4), items

    def _check(self, batch: ColumnBatch) -> None:
        if batch.columns != self.columns:
            raise SchemaError(
                f"the batch's columns are not those of {self.schema.canonical}: "
                f"expected {_names(self.columns)}, got {_names(batch.columns)}"
            )
        for group in self._groups:
            counts = [_checked_counts(batch, column) for column in group]
            for column, count in zip(group, counts, strict=True):
                if not np.array_equal(count, counts[0]):
                    raise SchemaError(f"{column.name} has not as many items in every row as {group[0].name}")

    def _rejection(self, row: int, code: int, address: int) -> Rejection:
        place = self._places[address]
        return Rejection(row, RejectReason.INVALID_VALUE, place.field, place.expected, _GOT[code])


def _names(columns: tuple[Column, ...]) -> str:
    return ", ".join(column.name for column in columns)


def _checked_counts(batch: ColumnBatch, column: Column) -> Ints:
    """Items in each row; their starts and ends are looked at here, so that the kernel need not."""
    bounds = batch.cells[:, column.slot : column.slot + 2]
    items = batch.items[column.name]
    width = 2 if column.item in TWO_CELLS else 1
    inside = (bounds[:, 0] >= 0) & (bounds[:, 1] >= bounds[:, 0]) & (bounds[:, 1] <= len(items))
    if items.ndim != 2 or items.shape[1] != width or not inside.all():
        raise SchemaError(
            f"{column.name}: rows refer to items outside of its array, or its items are not {width} cells"
        )
    return bounds[:, 1] - bounds[:, 0]


def _as_json(schema: Schema, binary: Encoded) -> Encoded:
    data = binary.data.tobytes()
    texts = [json_text(schema, data[start:end]) if start >= 0 else b"" for start, end in binary.values.tolist()]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    values = np.stack([starts, ends], axis=1)
    values[binary.values[:, 0] < 0] = -1
    return Encoded(np.frombuffer(b"".join(texts), np.uint8), values, binary.rejections)
