"""JSON events to the reader's own Avro."""

from dataclasses import dataclass

import numpy as np
import orjson

from stream.avro.schema import Schema
from stream.avro.values import InvalidValue, ValueWriter, shown
from stream.records import Bytes, Ints, RecordBatch, Rejection, RejectReason


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """Records as Avro. A rejected one, like a null one, has start and end -1."""

    data: Bytes  # what is to lie behind the batch's data
    values: Ints  # (n, 2), counted from the beginning of the batch's data
    rejections: tuple[Rejection, ...]


class JsonReader:
    """Validates JSON objects against the reader's schema: see `encode_one` for what it takes as what.

    An enum symbol that the reader does not know becomes the enum's default, as it does in Avro.
    """

    def __init__(self, reader: Schema) -> None:
        self._write = ValueWriter().of(reader.type)

    def encode(self, batch: RecordBatch, first: int) -> EncodedEvents:
        """The records of a batch from `first` on; those before are left out."""
        out = bytearray()
        values = np.full((len(batch), 2), -1, np.int64)
        rejected: list[Rejection] = []
        base = len(batch.data)
        text = memoryview(np.ascontiguousarray(batch.data).data)
        for row, (start, end) in enumerate(batch.values[first:].tolist(), first):
            if start < 0:
                continue
            before = len(out)
            rejection = self._append(text[start:end], row, out)
            if rejection is None:
                values[row] = base + before, base + len(out)
            else:
                del out[before:]
                rejected.append(rejection)
        return EncodedEvents(np.frombuffer(bytes(out), np.uint8), values, tuple(rejected))

    def _append(self, text: memoryview, row: int, out: bytearray) -> Rejection | None:
        try:
            self._write(orjson.loads(text), out)
        except orjson.JSONDecodeError as error:
            return Rejection(row, RejectReason.INVALID_JSON, "", f"JSON ({error})", shown(bytes(text[:60])))
        except InvalidValue as error:
            return Rejection(row, RejectReason.INVALID_VALUE, error.field, error.expected, error.got)
        except RecursionError:
            return Rejection(row, RejectReason.INVALID_VALUE, "", "records nested at most some hundred deep", "more")
        return None
