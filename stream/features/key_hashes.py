"""Hashes of whole columns as the kernel of a plan hashes them, for whoever sends records where their key belongs."""

import numpy as np

from stream.features.categories import hash_int64, hash_text, never_zero
from stream.features.text import bucket_of
from stream.kernels import kernel
from stream.records import Bools, Bytes, Column, ColumnBatch, Ints, Kind


def key_hashes(column: Column, columns: ColumnBatch) -> Ints:
    """64-bit hashes (n,) of a column's values; 0 is null."""
    hashes, present = np.zeros(len(columns), np.int64), np.ascontiguousarray(columns.present[:, column.index])
    if column.kind in (Kind.STRING, Kind.BYTES):
        _hash_texts(columns.cells, column.slot, columns.data, present, hashes)
        return hashes
    values = columns.cells[:, column.slot].copy()
    if column.kind is Kind.DOUBLE:
        values = (values.view(np.float64) + 0.0).view(np.int64)  # -0.0 + 0.0 is 0.0
    _hash_numbers(values, present, hashes)
    return hashes


@kernel
def places_of_categories(hashes: Ints, first: int, buckets: int, places: Ints) -> None:
    """The place of each hashed category among `buckets` from `first` on; -1 for null."""
    for row in range(len(hashes)):
        places[row] = first + bucket_of(hashes[row], buckets) if hashes[row] != 0 else -1


@kernel
def _hash_texts(cells: Ints, slot: int, data: Bytes, present: Bools, hashes: Ints) -> None:
    for row in range(len(hashes)):
        if present[row]:
            hashes[row] = never_zero(hash_text(data, cells[row, slot], cells[row, slot + 1]))


@kernel
def _hash_numbers(values: Ints, present: Bools, hashes: Ints) -> None:
    for row in range(len(hashes)):
        if present[row]:
            hashes[row] = never_zero(hash_int64(values[row]))
