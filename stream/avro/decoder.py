"""Batches of records to columns."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stream.avro import opcodes as op
from stream.avro import rejections
from stream.avro.columns import TWO_CELLS, columns_of
from stream.avro.framing import HEADER_BYTES, Framing, read_headers
from stream.avro.interpreter import DEFAULTS, ITEMS, LISTS, NEXT, ROW, STOP, decode_records
from stream.avro.json_events import JsonReader
from stream.avro.program import Place
from stream.avro.readonly import readonly
from stream.avro.resolution import Target, resolve
from stream.avro.schema import Schema
from stream.records import Bools, Bytes, Column, ColumnBatch, Ints, Kind, RecordBatch, Rejection, RejectReason

# Room for list items at first; doubled when a batch needs more.
_FIRST_ITEMS: Final = 1024


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of the records of a batch from `first` on."""

    columns: ColumnBatch
    rejections: tuple[Rejection, ...]  # in the order of their rows
    end: int  # the first record not handled: len(batch), or the first whose schema is not known
    needs: int | None  # the id of the schema that the record at `end` was written with


@dataclass(slots=True)
class _Run:
    """The arrays of one call."""

    outcomes: Ints
    bodies: Ints
    cells: Ints
    present: Bools
    items: Ints
    state: Ints


class Decoder:
    """Decodes records to the wanted columns of the reader's schema, whichever known schema wrote them.

    Whether a record is accepted depends on its bytes and the schemas alone: not on the wanted columns, nor on the
    records around it. Every field of the reader is checked (ranges, symbols, UTF-8, lengths); fields that the reader
    does not have are checked for their form only.

    Args:
        reader: the schema that events are read as; a record.
        wanted: names of the columns to decode; None decodes all.
        framing: how records say which schema wrote them. JSON needs no writer's schema.

    Raises:
        SchemaError: the reader's schema is no record, or a wanted column does not exist.
    """

    def __init__(self, reader: Schema, wanted: Collection[str] | None, framing: Framing) -> None:
        self.reader: Final = reader
        self.framing: Final = framing
        self.columns: Final[tuple[Column, ...]] = columns_of(reader, wanted)
        self._target = Target.of(self.columns)
        self._width = sum(2 if column.kind in TWO_CELLS else 1 for column in self.columns)
        self._program: Ints = np.zeros(0, np.int64)
        self._places: dict[int, Place] = {}
        self._known: dict[int, int] = {}
        self._known_table: Ints | None = None
        self._refusals: dict[int, tuple[RejectReason, str]] = {}
        self._refusals_ever = 0
        self._defaults = bytearray()
        self._json: JsonReader | None = JsonReader(reader) if framing is Framing.JSON else None
        if self._json is not None:
            self.add_writer(0, reader)
        self._compile()

    def add_writer(self, schema_id: int, writer: Schema) -> None:
        """Make a writer's schema known: its registry id, or its fingerprint for single-object encoding.

        Raises:
            SchemaError: it does not resolve to the reader's; says where, and both types. Refuse the id then.
        """
        defaults = bytearray(self._defaults)
        assembled = resolve(writer, self.reader, self._target, defaults, len(self._program))
        self._know(schema_id, len(self._program))
        self._program = np.concatenate([self._program, np.array(assembled.words(), np.int64)])
        self._places |= assembled.places
        self._defaults = defaults

    def refuse(self, schema_id: int, reason: RejectReason, message: str) -> None:
        """Reject every later record of this schema id for this reason; `message` is what its rejection says it got."""
        self._know(schema_id, -1 - self._refusals_ever)
        self._refusals[self._refusals_ever] = (reason, message)
        self._refusals_ever += 1

    def forget(self, schema_id: int) -> None:
        """Refuse this id no more: the next record of it is one whose schema is not known."""
        number = -1 - self._known[schema_id]
        del self._known[schema_id], self._refusals[number]
        self._known_table = None

    def decode(self, batch: RecordBatch, first: int = 0) -> Decoded:
        """Decode the records from `first` on, up to the first whose schema is not known yet.

        Then `needs` is its id: call `add_writer` or `refuse`, and decode from `end` on.
        """
        if self._json is not None:
            return self._decode_json(self._json, batch, first)
        return self._decode(batch.data, batch.values, first)

    def _decode_json(self, reader: JsonReader, batch: RecordBatch, first: int) -> Decoded:
        """JSON becomes the reader's own Avro, behind the batch's bytes: one way into the columns for both."""
        encoded = reader.encode(batch, first)
        data = np.concatenate([batch.data, encoded.data])
        decoded = self._decode(data, encoded.values, first)
        mine = {rejection.row: rejection for rejection in encoded.rejections}
        return replace(decoded, rejections=tuple(mine.get(each.row, each) for each in decoded.rejections))

    def _decode(self, data: Bytes, values: Ints, first: int) -> Decoded:
        data, spans = readonly(data), readonly(values[first:])
        count = len(spans)
        outcomes, bodies = np.empty((count, 3), np.int64), np.empty((count, 2), np.int64)
        needs = np.zeros(1, np.int64)
        end = int(read_headers(data, spans, HEADER_BYTES[self.framing], self._known_ids(), outcomes, bodies, needs))
        run = _Run(
            outcomes=outcomes,
            bodies=bodies,
            cells=np.zeros((end, self._width), np.int64),
            present=np.zeros((end, len(self.columns)), np.bool_),
            items=np.empty((_FIRST_ITEMS if self._target.lists else 0, 3), np.int64),
            state=np.zeros(LISTS + len(self._target.lists), np.int64),
        )
        run.state[STOP] = end
        run.state[DEFAULTS] = len(data)
        self._interpret(data, run)
        if self._defaults:
            data = np.concatenate([data, np.frombuffer(self._defaults, np.uint8)])
        failed = np.flatnonzero(outcomes[:end, 0])
        return Decoded(
            self._batch(run, data, first, end),
            tuple(self._rejection(int(row) + first, *map(int, outcomes[row])) for row in failed),
            first + end,
            int(needs[0]) if end < count else None,
        )

    def _interpret(self, data: Bytes, run: _Run) -> None:
        """Run the kernel over all records, doubling the room for list items as often as it stops for want of it."""
        while run.state[NEXT] < run.state[STOP]:
            decode_records(data, run.bodies, run.outcomes, self._program, run.cells, run.present, run.items, run.state)
            if run.state[NEXT] < run.state[STOP]:
                run.items = np.concatenate([run.items, np.empty_like(run.items)])

    def _batch(self, run: _Run, data: Bytes, first: int, end: int) -> ColumnBatch:
        rows = int(run.state[ROW])
        items = run.items[: run.state[ITEMS]]
        by_list = {
            column.name: np.ascontiguousarray(items[items[:, 0] == k, 1 : 3 if column.item in TWO_CELLS else 2])
            for k, column in enumerate(column for column in self.columns if column.kind is Kind.LIST)
        }
        accepted = np.flatnonzero(run.outcomes[:end, 0] == op.OK) + first
        return ColumnBatch(self.columns, accepted, run.cells[:rows], run.present[:rows], data, by_list)

    def _rejection(self, row: int, code: int, address: int, detail: int) -> Rejection:
        if code == op.REFUSED:
            reason, message = self._refusals[detail]
            return Rejection(row, reason, "", "a schema that resolves to the reader's", message)
        if code in (op.NULL, op.SHORT_HEADER, op.WRONG_MAGIC):
            return rejections.of_header(row, code, detail, self.framing)
        return rejections.of_value(row, code, detail, self._places[address])

    def _know(self, schema_id: int, address: int) -> None:
        if self._known.get(schema_id, 0) < 0:
            self.forget(schema_id)
        self._known[schema_id] = address
        self._known_table = None

    def _known_ids(self) -> Ints:
        if self._known_table is None:
            self._known_table = np.array([[*item, 0] for item in self._known.items()], np.int64).reshape(-1, 3)
        return self._known_table

    def _compile(self) -> None:
        """Have the kernels compiled now, and not when the first record comes."""
        self._decode(np.zeros(0, np.uint8), np.full((1, 2), -1, np.int64), 0)
