"""What one cycle of one task did, in numbers: filled by the engine, shown by the runtime."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

from stream.records import RejectReason


class LabelOutcome(Enum):
    """What became of a label; the value is the `outcome` in metrics."""

    JOINED = "joined"  # its event was waiting: learned from
    EARLY = "early"  # came before its event: kept until the event comes
    DUPLICATE = "duplicate"  # the event has its label already; the first one wins
    LATE = "late"  # came behind its horizon, or its event was dropped for the byte budget: not learned
    UNKNOWN = "unknown"  # was early, and no event with its id came within two horizons: not learned
    INVALID = "invalid"  # says nothing usable: id or target null, or a target of no known class


@dataclass(frozen=True, slots=True)
class DriftStatistic:
    """Where a detector's signal stands now."""

    model: str  # "" where the signal is no model's
    signal: str  # error, score, feature:NAME, rejections
    detector: str
    value: float


@dataclass(frozen=True, slots=True)
class Losses:
    """What state has let go of, or not let in: where a count grows, features or learning are not what was declared."""

    keys_evicted: int = 0  # from keyed state, for its byte budget
    keys_expired: int = 0  # not seen for the declared `key_expiry`: as declared, nothing is lost
    late_events: int = 0  # behind the stream's time by more than the lateness: scored, but not in windows
    window_events_dropped: int = 0  # left a window before their time, for the byte budget of keyed state
    label_rows_evicted: int = 0  # features that a label might still have met, for the byte budget of labels

    def since(self, before: "Losses") -> "Losses":
        """What came on top of an earlier count."""
        return Losses(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class CycleMetrics:
    """What one cycle of one task did: counts of this cycle alone.

    It holds no time and no partition: the engine reads no clock, and whoever records a cycle knows its partition.
    """

    events: int  # accepted and scored
    undecided: int  # of those without a decision: the deciding model's score was NaN
    rejections: Mapping[RejectReason, int]
    labels: Mapping[LabelOutcome, int]
    learned: Mapping[str, int]  # by model: events it learned from
    alerts: int
    losses: Losses


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands, its open cycle included: asked for now and then, since it takes longer than a small batch."""

    models: Mapping[str, Mapping[str, float]]  # by model, by metric (roc_auc, ...): its value since the task began
    drift: tuple[DriftStatistic, ...]
    state_bytes: int
    state_keys: int
