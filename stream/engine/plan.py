"""A compiled declaration: all that a task needs to know, and its digests (rule 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stream import avro, drift, features, models
from stream.records import Column


class KeyEncoding(Enum):
    """How the key field stands in the record's key."""

    UTF8 = "utf8"  # text of the field, an integer in decimal digits; the parts of a composite key joined by "|"
    AVRO = "avro"  # Avro binary of the field, in the events' framing
    BYTES = "bytes"  # as Kafka's serializers write it: text and bytes as they are, integers big end first


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """Where the truth stands and how it becomes a number."""

    column: Column
    classes: tuple[str, ...]  # of a text target, in the order of their numbers


@dataclass(frozen=True, slots=True)
class EventPlan:
    """How events are read."""

    topic: str
    schema: avro.Schema
    framing: avro.Framing
    wanted: frozenset[str]
    key: tuple[Column, ...]
    key_encoding: KeyEncoding
    rejects_null_key: bool
    time: Column | None  # None: the record's timestamp
    event_id: Column | None
    target: TargetPlan | None
    ahead_ms: int


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """How labels are read, and how long features wait for them."""

    topic: str
    schema: avro.Schema
    framing: avro.Framing
    wanted: frozenset[str]
    event_id: Column
    target: TargetPlan
    horizon_ms: int
    state_bytes: int


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model by its name."""

    name: str
    declaration: Any
    digest: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One series that a detector watches: of a model, or of a feature."""

    kind: str  # "error", "score" or "feature"
    model: int  # index among the models; -1 for a feature
    feature: int  # index among the dense features; -1 otherwise
    name: str  # as in alerts: error, score, feature:NAME


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """A detector and the series it watches."""

    detector: drift.Declaration
    signals: tuple[Signal, ...]
    policy: drift.AlertPolicy  # which detections are worth an alert
    digest: str


@dataclass(frozen=True, slots=True)
class DecisionPlan:
    """Which model decides, and from which score on."""

    model: int  # index among the models
    threshold: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a task needs to know."""

    app: str
    events: EventPlan
    labels: LabelPlan | None
    features: features.FeaturePlan
    problem: models.Task
    scale_at: models.ScaleAt
    models: tuple[ModelPlan, ...]
    decision: DecisionPlan
    monitors: tuple[MonitorPlan, ...]
    rejection_limit: float
    digest: str  # hex; over all of it, the kernels and the versions of what computes
    parts: Mapping[str, str]  # digest of each stateful part by the prefix of its arrays
