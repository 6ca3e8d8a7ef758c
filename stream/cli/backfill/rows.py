"""The rows of a file as records of an app's event topic, in chunks that are sent whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from stream.avro import Schema
from stream.cli.files.encoding import Misfit, RowEncoder
from stream.cli.files.opening import RowFile
from stream.cli.producing.keys import KeyWriter, check_text_key, integer_bytes, key_schema
from stream.cli.producing.records import OutRecord, RecordWriter, wire_format
from stream.cli.producing.times import record_time
from stream.engine.effects import OutputBatch
from stream.engine.plan import EventPlan, KeyEncoding
from stream.errors import ConfigError
from stream.records import Ints

# A chunk is encoded, then sent and committed well within transaction_timeout_ms (10 s): a hundred thousand records a
# second arrive on two cores, and 8 MiB take a second on the slowest of networks.
CHUNK_ROWS = 10_000
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file that are sent together."""

    records: OutputBatch
    first_row: int  # counted from 1
    rows: int  # of the file, up to and with its last
    misfits: tuple[Misfit, ...]  # among them
    is_last: bool


def chunks(file: RowFile, writer: RecordWriter, topic: str, behind: int) -> Iterator[Chunk]:
    """The rows behind the first `behind`, in order; the last chunk may be empty.

    Args:
        file: the rows.
        writer: makes records of them.
        topic: where they go.
        behind: so many rows are passed over.
    """
    records: list[OutRecord] = []
    misfits: list[Misfit] = []
    first, rows, size = behind + 1, behind, 0
    for row in islice(file.rows(), behind, None):
        made = writer.write(row)
        if isinstance(made, Misfit):
            misfits.append(made)
        else:
            records.append(made)
            size += len(made.value) + len(made.key or b"")
        rows += 1
        if rows - first + 1 >= CHUNK_ROWS or size >= _CHUNK_BYTES:
            yield Chunk(packed(topic, records), first, rows, tuple(misfits), False)
            records, misfits, first, size = [], [], rows + 1, 0
    yield Chunk(packed(topic, records), first, rows, tuple(misfits), True)


def record_writer(events: EventPlan, file: RowFile, schema_id: int, key_schema_id: int) -> RecordWriter:
    """Makes records of rows as the app reads them: its schema, framing, key and time.

    Args:
        events: of the app.
        file: the rows; its columns are named as the schema's fields.
        schema_id: of the schema in the registry, where the framing needs it.
        key_schema_id: likewise of the key's, of an Avro key.

    Raises:
        ConfigError: a field that is needed has no column, or the app says no time of its events.
    """
    if events.time is None:
        raise ConfigError(
            f"{file.path}: the app says no time of its events (events(..., time=FIELD)), and a backfill goes by the "
            f"times of records. Send the file with `stream produce {file.path} --topic {events.topic} --time COLUMN` "
            "first, then `stream run --from beginning --emit-from TIME`"
        )
    framing = framing_name(events)
    chosen, head = wire_format(framing, events.schema, schema_id)
    fields = tuple(column.name for column in events.key)
    of_key = schema_of_key(events)
    if of_key is not None:
        keys = KeyWriter(fields, of_key, wire_format(framing, of_key, key_schema_id)[1])
    else:
        check_text_key(fields, events.schema)
        is_binary = events.key_encoding is KeyEncoding.BYTES
        keys = KeyWriter(fields, integer_bytes=integer_bytes(fields, events.schema) if is_binary else 0)
    times = record_time(events.time.name, events.schema, file)
    return RecordWriter(
        events.schema, _encoder(events, file), keys, chosen, head, times, takes_null_key=not events.rejects_null_key
    )


def schema_of_key(events: EventPlan) -> Schema | None:
    """The schema of an Avro key; None of other keys."""
    if events.key_encoding is not KeyEncoding.AVRO or not events.key:
        return None
    return key_schema(tuple(column.name for column in events.key), events.schema)


def framing_name(events: EventPlan) -> str:
    """The framing as `stream produce` names it."""
    return events.framing.name.lower().replace("_", "-")


def packed(topic: str, records: list[OutRecord]) -> OutputBatch:
    """Records as one buffer."""
    keys: list[tuple[int, int]] = []
    values: list[tuple[int, int]] = []
    parts, end = [], 0
    for key, value, _ in records:
        begin, end = end, end + len(key or b"")
        keys.append((-1, -1) if key is None else (begin, end))
        values.append((end, end + len(value)))
        end += len(value)
        parts += [key or b"", value]
    times = np.array([record.timestamp_ms for record in records], np.int64)
    none = np.full((len(records), 2), -1, np.int64)
    return OutputBatch(topic, -1, np.frombuffer(b"".join(parts), np.uint8), _spans(keys), _spans(values), none, times)


def _spans(of: list[tuple[int, int]]) -> Ints:
    return np.array(of, np.int64).reshape(len(of), 2)


def _encoder(events: EventPlan, file: RowFile) -> RowEncoder:
    try:
        return RowEncoder(events.schema, file, {})
    except ConfigError as error:
        raise ConfigError(
            f"{error}: in the file, or as it is sent by `stream produce {file.path} --topic {events.topic} --columns "
            "FIELD=COLUMN,... --time FIELD`; then `stream run --from beginning --emit-from TIME`"
        ) from error
