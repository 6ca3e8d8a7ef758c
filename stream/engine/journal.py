"""The journal: what each cycle of a task consumed, in which order and at which time. State is a function of it.

The record is Avro (schemas/journal/v1.avsc), so that any tool can read it.
"""

from dataclasses import dataclass

from stream.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Range:
    """Delivered records first to last of one partition, handled at `now_ms`. Offsets between them may have holes."""

    source: TopicPartition
    first: int
    last: int
    count: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class SchemaAnswer:
    """A writer's schema id met for the first time: accepted with its text, or refused with the reason."""

    schema_id: int
    at: int  # index in the cycle's ranges before which the answer came
    schema: str
    refusal: str


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One cycle of one task (rule 1)."""

    cycle: int  # counts from 1
    previous: str  # hex digest of the cycle before; "" for the first
    digest: str  # hex, over everything else in this record and `previous`
    plan_digest: str
    epoch: int
    ranges: tuple[Range, ...]
    schemas: tuple[SchemaAnswer, ...]
