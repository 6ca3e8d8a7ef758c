"""The topics that an app needs and the rights that its workers need, as data: what `stream topics create` does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stream.config import InputTopics, KafkaSettings, TopicNames

# Rule 23: a reader that found a manifest must still find its chunks an hour later.
_MIN_COMPACTION_LAG_MS = 3_600_000
# Rule 36: features stay for the horizon of their labels, and for a day in which a worker may be away or replay.
ROWS_MARGIN_MS = 86_400_000

_ANY_MS = "9223372036854775807"
# Like the journal it is trimmed up to the older snapshot. Its records have the events' times, which may be a year old,
# and hold records of up to 900,000 bytes (stream.engine.admission). No broker may refuse what the event topic took.
_BETWEEN_STAGES = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": _ANY_MS,
    "message.timestamp.after.max.ms": _ANY_MS,
}

ResourceKind = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Delete", "Create"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int = -1  # -1: the broker's default.replication.factor
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acl:
    """One right of a principal."""

    kind: ResourceKind
    name: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What an administrator has to create and to allow."""

    topics: tuple[TopicSpec, ...]
    acls: tuple[Acl, ...]


def topics_of_app(
    names: TopicNames,
    partitions: int,
    replication: int = -1,
    *,
    keeps_snapshots: bool = True,
    repartition: Sequence[str] = (),
    horizon_ms: int = 0,
) -> tuple[TopicSpec, ...]:
    """The topics that an app, or one of its stages, owns.

    Args:
        names: see TopicNames.
        partitions: of the event topic; journal and snapshots of a task lie in its partition (rule 21).
        replication: of each topic; -1 leaves it to the broker.
        keeps_snapshots: whether snapshots are kept in a topic, and not in a folder or object store.
        repartition: the topics that the stage reads and others write (rule 34).
        horizon_ms: of the labels, if their features wait in a topic (rule 36); 0 otherwise.
    """
    outputs = (names.predictions, names.alerts, names.dead_letters)
    # The journal is trimmed up to the older snapshot and never by age: without it nothing can be replayed (rule 23).
    # Its times are the broker's, so that a worker can compare clocks.
    journal = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
    }
    snapshots = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_MIN_COMPACTION_LAG_MS)}
    features = {"cleanup.policy": "delete", "retention.ms": str(horizon_ms + ROWS_MARGIN_MS), "retention.bytes": "-1"}
    return (
        *(TopicSpec(name, partitions, replication) for name in outputs),
        *([TopicSpec(names.features, partitions, replication, features)] if horizon_ms else []),
        TopicSpec(names.journal, partitions, replication, journal),
        *(TopicSpec(name, partitions, replication, _BETWEEN_STAGES) for name in repartition),
        *([TopicSpec(names.snapshots, partitions, replication, snapshots)] if keeps_snapshots else []),
    )


def plan(settings: KafkaSettings, inputs: InputTopics, topics: Iterable[TopicSpec]) -> TopicPlan:
    """What a worker with these settings needs: topics to create, and rights on them, its group and its id."""
    owned = tuple(topics)
    written = [spec.name for spec in owned]
    read = [*inputs.sources, inputs.journal, *filter(None, (inputs.snapshots, inputs.features))]
    acls = [
        *(Acl("topic", name, operation) for name in read for operation in ("Read", "Describe")),
        *(Acl("topic", name, "Write") for name in written),
        *(Acl("topic", name, "Describe") for name in written if name not in read),
        # Retention, cleanup policy and largest record are compared with what the protocol needs (rules 12, 20 and 23).
        *(Acl("topic", name, "DescribeConfigs") for name in dict.fromkeys((*read, *written))),
        # Of records: these are trimmed (rule 23), and features are deleted where a task is reset.
        *(Acl("topic", name, "Delete") for name in (inputs.journal, *inputs.repartition, inputs.features) if name),
        Acl("group", settings.group_id, "Read"),
        Acl("group", settings.group_id, "Describe"),
        Acl("transactional-id", settings.transactional_id, "Write"),
        Acl("transactional-id", settings.transactional_id, "Describe"),
    ]
    return TopicPlan(owned, tuple(acls))
