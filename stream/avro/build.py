"""Batches of columns made from arrays: what an encoder is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.avro.columns import TWO_CELLS
from stream.errors import SchemaError
from stream.records import Bools, Bytes, Column, ColumnBatch, Ints, Kind


@dataclass(frozen=True, slots=True)
class Texts:
    """Strings or bytes: where each lies in one buffer. Columns that share a buffer share its copy."""

    data: Bytes
    bounds: Ints  # (n, 2): start and end of each

    @classmethod
    def of(cls, values: Sequence[str | bytes]) -> "Texts":
        """From Python's strings (as UTF-8) or bytes."""
        pieces = [value.encode() if isinstance(value, str) else value for value in values]
        return cls.from_offsets(b"".join(pieces), np.cumsum([0, *map(len, pieces)], dtype=np.int64))

    @classmethod
    def from_offsets(cls, data: bytes | Bytes, offsets: Ints) -> "Texts":
        """From Arrow's layout: text i lies at offsets[i] to offsets[i + 1]."""
        buffer = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        return cls(buffer, np.stack([offsets[:-1], offsets[1:]], axis=1).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists of one leaf: how many items each row has, and the items of all rows in order."""

    counts: Ints  # (n,)
    items: "NDArray[Any] | Texts"


ColumnValues: TypeAlias = NDArray[Any] | Texts | Lists


def column_batch(
    columns: tuple[Column, ...], values: Mapping[str, ColumnValues], present: Mapping[str, Bools], count: int
) -> ColumnBatch:
    """Put columns into a batch of `count` rows.

    Args:
        columns: the columns, e.g. `Encoder.columns`.
        values: by column: numbers, booleans and indices of enum symbols as (count,) arrays, `Texts`, or `Lists`. A
            column that is not there is null in every row.
        present: by column, where it is not null; one that is not there is present in every row.
        count: number of rows.

    Raises:
        SchemaError: a column does not exist, or has values of another kind or number.
    """
    unknown = sorted((set(values) | set(present)) - {column.name for column in columns})
    if unknown:
        raise SchemaError(f"no column is called {', '.join(unknown)}; there are {', '.join(c.name for c in columns)}")
    width = sum(2 if column.kind in TWO_CELLS else 1 for column in columns)
    cells = np.zeros((count, width), np.int64)
    there = np.zeros((count, len(columns)), np.bool_)
    buffers = _Buffers()
    items: dict[str, Ints] = {}
    for column in columns:
        given = values.get(column.name)
        if given is None:
            if column.kind is Kind.LIST:
                items[column.name] = np.zeros((0, 2 if column.item in TWO_CELLS else 1), np.int64)
            continue
        there[:, column.index] = present.get(column.name, True)
        if isinstance(given, Lists) and column.kind is Kind.LIST and column.item is not None:
            items[column.name] = _cells(column.name, column.item, given.items, buffers)
            filled = _list_bounds(column.name, given, len(items[column.name]))
        else:
            filled = _cells(column.name, column.kind, given, buffers)
        if len(filled) != count:
            raise SchemaError(f"{column.name}: {count} values were expected, not {len(filled)}")
        cells[:, column.slot : column.slot + filled.shape[1]] = np.where(there[:, column.index, None], filled, 0)
    return ColumnBatch(columns, np.arange(count), cells, there, buffers.joined(), items)


class _Buffers:
    """The buffers of all texts, each once, one behind the other."""

    def __init__(self) -> None:
        self._starts: dict[int, int] = {}
        self._parts: list[Bytes] = []
        self._size = 0

    def start(self, data: Bytes) -> int:
        """Where this buffer begins among all."""
        if id(data) not in self._starts:
            self._starts[id(data)] = self._size
            self._parts.append(data)
            self._size += len(data)
        return self._starts[id(data)]

    def joined(self) -> Bytes:
        """All of them; one alone is not copied."""
        return self._parts[0] if len(self._parts) == 1 else np.concatenate([np.zeros(0, np.uint8), *self._parts])


def _cells(name: str, kind: Kind, given: ColumnValues, buffers: _Buffers) -> Ints:
    """The cells of a leaf, (n, 1) or (n, 2)."""
    if isinstance(given, Texts) and kind in (Kind.STRING, Kind.BYTES):
        return given.bounds + buffers.start(given.data)
    if isinstance(given, np.ndarray) and kind not in TWO_CELLS:
        if kind is Kind.DOUBLE:
            return np.ascontiguousarray(given, np.float64).view(np.int64)[:, None]
        if given.dtype.kind in "iub":
            return given.astype(np.int64)[:, None]
    got = given.dtype if isinstance(given, np.ndarray) else type(given).__name__
    raise SchemaError(f"{name}: values of kind {kind.value} were expected, not {got}")


def _list_bounds(name: str, given: Lists, items: int) -> Ints:
    ends = np.cumsum(given.counts, dtype=np.int64)
    if len(ends) and ends[-1] != items:
        raise SchemaError(f"{name}: the counts add up to {ends[-1]}, and there are {items} items")
    return np.stack([ends - given.counts, ends], axis=1)
