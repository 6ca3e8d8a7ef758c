"""The journal: what each cycle of a task consumed, in which order and at which time. State is a function of it.

A record is Avro in single-object encoding (by the schemas in schemas/journal), so that any Avro tool reads it. It is of
the oldest version that has room for what it says.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import fastavro
import orjson

from stream.errors import TaskCorrupted
from stream.records import TopicPartition
from stream.resources import schema_text


@dataclass(frozen=True, slots=True)
class Range:
    """Delivered records first to last of one partition, handled at `now_ms`. Offsets between them may have holes."""

    topic: str
    partition: int
    first: int
    last: int
    count: int
    now_ms: int

    @property
    def source(self) -> TopicPartition:
        """The partition that the records came from."""
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class SchemaAnswer:
    """A writer's schema id met for the first time: accepted with its text, or refused with the reason."""

    at: int  # the answer came before the range of this index in the cycle
    topic: str
    schema_id: int
    schema: str  # "" if refused
    refusal: str  # the reason's value; "" if accepted
    message: str


@dataclass(frozen=True, slots=True)
class LostRows:
    """A segment of feature rows that a label wanted and that is not there any more: its labels teach nothing."""

    at: int  # that was known before the range of this index in the cycle
    name: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """How a task was told to begin when it had no journal: it stands in every record, and holds from then on.

    Times are those of records: a rejected one has no other, and of labels none says when they were known.
    """

    begin_ms: int | None  # the first record of each input with this timestamp or a later one; None: its beginning
    emit_from_ms: int  # outputs of records with earlier timestamps are not written


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One cycle of one task (rule 1)."""

    cycle: int  # counts from 1
    previous: str  # hex digest of the cycle before; "" for the first
    plan_digest: str
    epoch: int
    ranges: tuple[Range, ...]
    schemas: tuple[SchemaAnswer, ...]
    digest: str = ""  # hex, over everything else
    backfill: Backfill | None = None  # how the task was told to begin; None: as the settings say
    partitions: int = 0  # of the event topic during this cycle: where keys belong (rule 19); 0 if not known
    lost_rows: tuple[LostRows, ...] = ()

    @property
    def answered_at(self) -> frozenset[int]:
        """The ranges before which an answer came from outside, by their index."""
        return frozenset({answer.at for answer in self.schemas} | {lost.at for lost in self.lost_rows})

    def sealed(self) -> "JournalRecord":
        """The same record with its digest."""
        fields = {**_fields(self), "digest": ""}
        if not self.lost_rows:  # as before there were any
            del fields["lost_rows"]
        content = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return replace(self, digest=hashlib.sha256(content).hexdigest()[:32])


def _fields(record: JournalRecord) -> dict[str, Any]:
    """As `dataclasses.asdict`, which takes six times as long: half a second of a restore of 600 cycles."""
    fields: dict[str, Any] = orjson.loads(orjson.dumps(record))
    return fields


# Marker of Avro's single-object encoding (Avro 1.12, "Single-object encoding").
_MARKER = b"\xc3\x01"
_FINGERPRINT_BYTES = 8
_VERSIONS = (1, 2)


def encode(record: JournalRecord) -> bytes:
    """The record's bytes in the journal topic."""
    schema, fingerprint = _schema(2 if record.lost_rows else 1)
    out = io.BytesIO()
    out.write(_MARKER + fingerprint)
    fastavro.schemaless_writer(out, schema, _fields(record))
    return out.getvalue()


def decode(value: bytes) -> JournalRecord:
    """Read a record of the journal topic; raises TaskCorrupted if it is damaged or of an unknown version."""
    found = [schema for schema, fingerprint in map(_schema, _VERSIONS) if value.startswith(_MARKER + fingerprint)]
    if not found:
        raise TaskCorrupted("a journal record is not of a version that this release can read (schemas/journal)")
    try:
        rest = io.BytesIO(value[len(_MARKER) + _FINGERPRINT_BYTES :])
        fields: Any = fastavro.schemaless_reader(rest, found[0], None)
    except (EOFError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise TaskCorrupted(f"a journal record is damaged: {error}") from error
    ranges = tuple(Range(**item) for item in fields.pop("ranges"))
    schemas = tuple(SchemaAnswer(**item) for item in fields.pop("schemas"))
    lost_rows = tuple(LostRows(**item) for item in fields.pop("lost_rows", ()))
    backfill = fields.pop("backfill")
    return JournalRecord(
        ranges=ranges, schemas=schemas, lost_rows=lost_rows, backfill=backfill and Backfill(**backfill), **fields
    )


def check_chain(records: Sequence[JournalRecord]) -> None:
    """Raise TaskCorrupted unless each record is intact and follows the one before it."""
    for record in records:
        if record.sealed().digest != record.digest:
            raise TaskCorrupted(f"the journal record of cycle {record.cycle} does not match its digest {record.digest}")
        for item in record.ranges:
            if not 0 < item.count <= item.last - item.first + 1:
                raise TaskCorrupted(
                    f"cycle {record.cycle} names {item.count} records from offset {item.first} to {item.last} of "
                    f"{item.topic}[{item.partition}]: it was written by a defective release, and its state is wrong"
                )
    for before, after in pairwise(records):
        if after.previous != before.digest or after.cycle != before.cycle + 1:
            raise TaskCorrupted(
                f"the journal is broken: cycle {after.cycle} names {after.previous or 'no'} predecessor, "
                f"before it stands cycle {before.cycle} with digest {before.digest}"
            )


@cache
def _schema(version: int) -> tuple[Any, bytes]:
    parsed: Any = fastavro.parse_schema(orjson.loads(schema_text("journal", version)))
    canonical = fastavro.schema.to_parsing_canonical_form(parsed)
    fingerprint = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    return parsed, bytes.fromhex(fingerprint)[:_FINGERPRINT_BYTES]
