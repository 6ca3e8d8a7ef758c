"""Whether what a restore needs of an input is still there (rule 20). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Standing:
    """A snapshot that a restore may begin at."""

    positions: Mapping[TopicPartition, int]  # of each input: the first record that it has not learned from
    margins: Mapping[TopicPartition, int] = field(default_factory=dict)  # when it was first looked at


@dataclass(frozen=True, slots=True)
class Look:
    """How the inputs of one task stand."""

    margins: Mapping[TopicPartition, int]  # records that may still go before a restore misses one
    danger: str  # why the task must take nothing more; "" if it may
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InputReport:
    """What the last look gave."""

    warnings: tuple[str, ...] = ()
    dangers: Mapping[int, str] = field(default_factory=dict)  # by partition: why it is held back
    margins: Mapping[TopicPartition, int] = field(default_factory=dict)  # see Look


def margins_of(
    positions: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Offsets between the log's start and a snapshot's position; below 0 where records that it needs are gone."""
    return {source: position - starts[source] for source, position in positions.items() if source in starts}


def look_at(
    standing: Sequence[Standing], starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> Look:
    """Judge a task by the older of its snapshots.

    A margin of 0 is no loss: it is that of a topic's first event, and of a label topic whose labels are all read and
    have gone by age. Nor is anything needed of an input that ends where the snapshot stands.

    Args:
        standing: the two newest snapshots, the older one first; one or none while there are no more.
        starts: first offset that is still there, of each input.
        ends: of each input.
    """
    if not standing:
        return Look({}, "", ())
    older = standing[0]
    margins = margins_of(older.positions, starts)
    needed = {source: margin for source, margin in margins.items() if ends[source] > older.positions[source]}
    gone = [source for source, margin in needed.items() if margin < 0]
    low = [source for source, margin in needed.items() if 0 <= margin < older.margins.get(source, 0) / 2]
    danger = "; ".join(_gone(source, older.positions[source], starts[source]) for source in gone)
    return Look(margins, danger, tuple(_low(source, margins[source], older.margins[source]) for source in low))


def _gone(source: TopicPartition, position: int, start: int) -> str:
    return (
        f"{source.topic}[{source.partition}]: a restore from the older of two snapshots reads from offset {position} "
        f"on, but the topic begins at {start}: records that it needs were deleted. Nothing more is taken until newer "
        "snapshots need none of them (rule 20). Raise retention.ms, or stop whoever deletes records"
    )


def _low(source: TopicPartition, margin: int, before: int) -> str:
    return (
        f"{source.topic}[{source.partition}]: of {before:,} records before the position of the older snapshot, "
        f"{margin:,} are left: retention comes near what a restore needs (rule 20). Raise retention.ms, or see why "
        "this partition is behind or has no new snapshot"
    )
