"""What one cycle of one task did, in numbers: filled by the engine, shown by the runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from stream.records import RejectReason


class LabelOutcome(Enum):
    """What became of a label; the value is the `outcome` in metrics."""

    JOINED = "joined"  # its event was waiting: learned from
    EARLY = "early"  # came before its event: kept until the event comes
    DUPLICATE = "duplicate"  # the event has its label already; the first one wins
    LATE = "late"  # its event's horizon is over
    UNKNOWN = "unknown"  # no such event within the horizon


@dataclass(frozen=True, slots=True)
class DriftStatistic:
    """Where a detector's signal stands now."""

    model: str  # "" where the signal is no model's
    signal: str  # error, score, feature:NAME, rejections
    detector: str
    value: float


@dataclass(frozen=True, slots=True)
class CycleMetrics:
    """What one cycle of one task did. Counts are of this cycle alone; the rest is how things stand at its end.

    It holds no time and no partition: the engine reads no clock, and whoever records a cycle knows its partition.
    """

    events: int  # accepted and scored
    rejections: Mapping[RejectReason, int]
    labels: Mapping[LabelOutcome, int]
    learned: Mapping[str, int]  # by model: events it learned from
    alerts: int
    evictions: int  # keys that left keyed state to keep its budget
    models: Mapping[str, Mapping[str, float]]  # by model, by metric (roc_auc, ...): its value since the task began
    drift: tuple[DriftStatistic, ...]
    state_bytes: int
    state_keys: int
