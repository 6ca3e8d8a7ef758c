"""A compiled declaration: all that a task needs to know, and its digests (rule 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stream import avro, drift, features, models
from stream.records import Column

LAST = "last"  # the last stage, which predicts and whose name is "": in a chain, as a label and in sentences


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
    travels: bool = False  # events go on to other stages, within the records of topics between them
    carried: tuple[Column, ...] = ()  # behind the schema's own: features that stages before this one have computed


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
    spilled_bytes: int  # budget of the ids of rows that wait outside of memory; 0: none do
    is_handed_on: bool = False  # by a stage that reads the label topic and puts labels where their events are (rule 19)


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
class Hop:
    """A repartition topic between two stages (rule 34)."""

    topic: str
    key: tuple[Column, ...]  # records lie by these columns; none: in the partition of the event topic they came from
    layout: int  # which features records bring along: of a digest of their definitions
    features: int  # how many those are
    is_of_labels: bool = False  # records are labels as they were fetched, under the key of their event


@dataclass(frozen=True, slots=True)
class SentBack:
    """Where a label goes once it is learned: to a stage whose features count labels by another key (rule 34)."""

    topic: str  # the repartition topic that the stage reads
    key: Column


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a task needs to know: of an app, or of one of its stages."""

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
    chain: str = ""  # names of all stages, where there are several
    stage: str = ""  # "" for the last, which predicts, and where there is no other
    arrives: Hop | None = None  # where records come from; None: the event topic itself
    leaves: Hop | None = None  # where they go on to; None: this stage predicts
    sent_back: tuple[SentBack, ...] = ()  # of the last stage

    @property
    def counts_labels(self) -> bool:
        """True for a stage before the last one whose features learn from labels: they come back to it."""
        return self.leaves is not None and self.features.label_inputs > 0

    @property
    def label_inputs(self) -> int:
        """Numbers to keep for each event until its label comes: features learn from it by them."""
        return self.features.label_inputs + len(self.sent_back)

    @property
    def name(self) -> str:
        """What group, transactional ids, journal and snapshots are named by."""
        return f"{self.app}.{self.stage}" if self.stage else self.app

    @property
    def other_stages(self) -> tuple[str, ...]:
        """Those of the app besides this one; "" is the last."""
        stages = ["" if name == LAST else name for name in self.chain.split(" > ")] if self.chain else []
        return tuple(stage for stage in stages if stage != self.stage)

    @property
    def input_topic(self) -> str:
        """Where the events of its tasks come from."""
        return self.arrives.topic if self.arrives else self.events.topic

    @property
    def handed_on(self) -> tuple[str, ...]:
        """Those of its inputs that other stages write."""
        labels = (self.labels.topic,) if self.labels and self.labels.is_handed_on else ()
        return (*((self.arrives.topic,) if self.arrives else ()), *labels)
