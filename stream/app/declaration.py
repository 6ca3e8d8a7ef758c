"""What a user writes: an app is declared in a Python module, and nothing in the declaration does I/O."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.drift import AlertPolicy, Declaration
from stream.errors import ConfigError
from stream.features import Expression

# Kafka's legal characters of a topic name, of which apps make several.
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,150}")
# What stages are named by, behind the name of their app (stream.app.stages).
_OF_STAGE = re.compile(r"\.(entry$|labels$|by-)")

SchemaSource = str | Mapping[str, Any]


@dataclass(slots=True)
class Events:
    """The one event topic of an app. Made by `App.events`."""

    topic: str
    schema: SchemaSource
    key: tuple[str, ...]
    time: str | None
    id: str | None
    target: str | None
    framing: str
    key_encoding: str
    null_key: str
    lateness: str | None
    ahead: str
    key_expiry: str
    state_bytes: int
    declared: dict[str, Expression] = field(default_factory=dict)

    def features(self, **features: Expression) -> None:
        """Declare features by name; may be called several times.

        Raises:
            ConfigError: a name is declared twice, or something is no expression.
        """
        for name, expression in features.items():
            if name in self.declared:
                raise ConfigError(f"feature {name!r} is declared twice")
            if not isinstance(expression, Expression):
                raise ConfigError(f"feature {name!r} is {expression!r}; an expression is wanted, e.g. col('amount')")
            self.declared[name] = expression


@dataclass(frozen=True, slots=True)
class Labels:
    """The label topic of an app. Made by `App.labels`."""

    topic: str
    schema: SchemaSource
    id: str
    target: str
    horizon: str
    framing: str
    state_bytes: int
    spilled_bytes: int
    key: tuple[str, ...] = ()  # with the key of the event, where the topic is keyed otherwise


@dataclass(frozen=True, slots=True)
class Decision:
    """Which model decides, and from which score on the decision is "true"."""

    by: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Monitor:
    """A detector on signals."""

    detector: Declaration
    signals: tuple[str, ...]
    policy: AlertPolicy


class App:
    """A streaming inference app: events in, predictions and alerts out, models that learn on the way.

    Args:
        name: names the app's consumer group and its topics (`<name>.predictions`, `.alerts`, `.dead-letters`,
            `.journal`, `.snapshots`, `.features`); letters, digits, `.`, `_` and `-`. It does not end as the name of a
            stage of another app would: `.entry`, `.labels` or `.by-KEY` (rule 34).

    Raises:
        ConfigError: another name; the text says what is wrong with it.

    Example:
        >>> from stream import App, col, models
        >>> app = App("card-fraud")
        >>> payments = app.events("payments", schema="payment", key="card_id", time="event_time", label="is_fraud")
        >>> payments.features(amount=col("amount").log1p(), spend_1h=col("amount").sum("1h"))
        >>> app.model("champion", models.StandardScaler() | models.LogisticRegression())
    """

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"app name {name!r}: letters, digits, '.', '_' and '-' are allowed, 150 at most")
        if found := _OF_STAGE.search(name):
            raise ConfigError(
                f"app name {name!r}: {found[0]!r} is how stages of an app {name[: found.start()]!r} would be named, "
                "whose group, transactional ids, journal and snapshots would then be this app's too (rule 34): choose "
                "another name"
            )
        self.name = name
        self.event_stream: Events | None = None
        self.label_stream: Labels | None = None
        self.models: dict[str, Any] = {}
        self.decision: Decision | None = None
        self.monitors: list[Monitor] = []
        self.problem: str | None = None
        self.classes: tuple[str, ...] = ()
        self.rejection_limit = 0.05

    def events(
        self,
        topic: str,
        *,
        schema: SchemaSource,
        key: str | Sequence[str] | None = None,
        time: str | None = None,
        id: str | None = None,
        label: str | None = None,
        framing: str = "confluent",
        key_encoding: str = "utf8",
        null_key: str = "reject",
        lateness: str | None = "1m",
        ahead: str = "1h",
        key_expiry: str = "90d",
        state_bytes: int = 256 << 20,
    ) -> Events:
        """Declare the event topic.

        Args:
            topic: its name.
            schema: the reader's schema: name of a file `<name>.avsc` in the app's folder or its `schemas/`, or the
                schema itself as a mapping.
            key: field, or several, by which keyed features and the partitions go; it must encode to the record's key.
            time: field of the event's time (a timestamp); the record's own timestamp where None.
            id: field of the event's id, which labels name.
            label: field with the target, where it comes in the event itself (null while unknown).
            framing: "confluent" (schema registry), "single-object" (local schemas) or "json".
            key_encoding: how the field stands in the record's key: "utf8" (its text, an integer's digits), "bytes" (as
                Kafka's serializers write it: integers in 4 or 8 bytes, big end first) or "avro" (in the framing of the
                events). An alert tells of records that have another key.
            null_key: "reject" events without a key, or "score" them without keyed features.
            lateness: how far behind the stream's time, the largest event time of its partition so far, an event may
                be and still enter keyed state; later ones are scored, and counted (`stream_late_events_total`). Not at
                all if None: of producers whose clocks differ by a few milliseconds most events are then left out.
            ahead: how far ahead of the broker's timestamp an event's time may be; beyond it is rejected.
            key_expiry: a key not seen for so long is forgotten.
            state_bytes: budget of keyed state, per partition.

        Raises:
            ConfigError: a second event topic, a word that is not one of those listed, or no budget.
        """
        if self.event_stream is not None:
            raise ConfigError(
                f"app {self.name!r} has its event topic already: {self.event_stream.topic!r}; one per app"
            )
        _one_of("framing", framing, ("confluent", "single-object", "json"))
        _one_of("key_encoding", key_encoding, ("utf8", "avro", "bytes"))
        _one_of("null_key", null_key, ("reject", "score"))
        _budget("events", state_bytes)
        keys = () if key is None else (key,) if isinstance(key, str) else tuple(key)
        self.event_stream = Events(
            _topic(topic),
            schema,
            keys,
            time,
            id,
            label,
            framing,
            key_encoding,
            null_key,
            lateness,
            ahead,
            key_expiry,
            state_bytes,
        )
        return self.event_stream

    def labels(
        self,
        topic: str,
        *,
        of: Events,
        schema: SchemaSource,
        target: str,
        id: str | None = None,
        key: str | Sequence[str] | None = None,
        horizon: str = "30d",
        framing: str | None = None,
        state_bytes: int = 256 << 20,
        spilled_bytes: int = 0,
    ) -> Labels:
        """Declare the label topic: truths about events, that come later.

        A label without an id, without a target or with one of no known class teaches nothing, and an event without an
        id waits for no label. What became of each label is counted (`stream_labels_total`).

        Args:
            topic: its name; keyed as the event topic (unless `key` is given), with as many partitions.
            of: the event topic.
            schema: the reader's schema, as for events.
            target: field with the truth.
            id: field with the event's id; named as in the events where None.
            key: field, or several, with the event's key. Give it where the topic is keyed otherwise than the events, or
                placed by another partitioner: labels then go through a stage that puts them where their events are,
                which takes about a commit interval.
            horizon: how long features wait for their label, by the stream's time.
            framing: as the events' where None.
            state_bytes: budget of waiting rows in memory, per partition.
            spilled_bytes: budget of the ids of rows that no longer fit there, per partition: 16 bytes each. Their
                features wait in the topic `<app>.features`, and are read back when the label comes. With 0 the oldest
                rows are dropped for newer ones, and their labels teach nothing (`stream_label_rows_evicted_total`).
                Where it is changed, to or from 0 too, all rows that wait are dropped, and told as `label_rows_dropped`.

        Raises:
            ConfigError: a second label topic, the event topic itself, events without an id, or no budget.
        """
        if self.label_stream is not None:
            raise ConfigError(
                f"app {self.name!r} has its label topic already: {self.label_stream.topic!r}; one per app"
            )
        if of.id is None:
            raise ConfigError(f"labels of {of.topic!r} need an id to join by: declare events(..., id=FIELD)")
        if of.target is not None:
            raise ConfigError(
                f"events of {of.topic!r} carry their label in {of.target!r}; a label topic is one too many"
            )
        if topic == of.topic:
            raise ConfigError(
                f"labels of {of.topic!r} need a topic of their own; where events carry their label declare "
                "events(..., label=FIELD)"
            )
        _budget("labels", state_bytes)
        if spilled_bytes < 0:
            raise ConfigError(f"labels: spilled_bytes={spilled_bytes}: a budget is wanted, such as 256 << 20, or 0")
        keys = () if key is None else (key,) if isinstance(key, str) else tuple(key)
        if keys and (len(keys) != len(of.key) or of.key_encoding != "utf8"):
            raise ConfigError(
                f"labels({topic!r}, key={key!r}): the events are keyed by {', '.join(of.key) or 'nothing'} as "
                f"{of.key_encoding}; one field for each part of a key that is text (utf8) is wanted"
            )
        self.label_stream = Labels(
            _topic(topic),
            schema,
            id or of.id,
            target,
            horizon,
            framing or of.framing,
            state_bytes,
            spilled_bytes,
            keys,
        )
        return self.label_stream

    def target(self, problem: str, classes: Sequence[str] = ()) -> None:
        """Say what kind of truth the target is, where its type does not.

        Args:
            problem: "binary", "multiclass", "regression" or "anomaly".
            classes: of a text target: (negative, positive) if binary, all classes if multiclass.

        Raises:
            ConfigError: another problem, or classes that are no list.
        """
        _one_of("problem", problem, ("binary", "multiclass", "regression", "anomaly"))
        if isinstance(classes, str):
            raise ConfigError(f"target: classes={classes!r}: a list of names is wanted, such as ('no', 'yes')")
        self.problem, self.classes = problem, tuple(classes)

    def model(self, name: str, declaration: Any) -> None:
        """Add a model: a compiled one, a pipeline of such, or any estimator of River. The first decides unless said.

        Args:
            name: stands in predictions, alerts, metrics and snapshots; letters, digits, `.`, `_` and `-`.
            declaration: what it is.

        Raises:
            ConfigError: another name, or one that is taken.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"model name {name!r}: letters, digits, '.', '_' and '-' are allowed, 150 at most")
        if name in self.models:
            raise ConfigError(f"model {name!r} is declared twice")
        self.models[name] = declaration

    def decide(self, by: str, threshold: float = 0.5) -> None:
        """Let a model decide; a score at or above the threshold makes the decision "true" (binary and anomaly).

        Raises:
            ConfigError: the threshold is no finite number.
        """
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
            raise ConfigError(f"decide: threshold={threshold!r}: a number is wanted, such as 0.8")
        self.decision = Decision(by, float(threshold))

    def monitor(self, detector: Declaration, on: Sequence[str] = ("error",), policy: AlertPolicy | None = None) -> None:
        """Watch signals with a drift detector.

        Args:
            detector: e.g. `drift.ADWIN(delta=0.002)`.
            on: "error", "score" (of each model), "features" (each dense one) or "feature:NAME".
            policy: which detections are worth an alert; `drift.AlertPolicy()` if None.

        Raises:
            ConfigError: `on` is no list.
        """
        if isinstance(on, str):
            raise ConfigError(f"monitor: on={on!r}: a list of signals is wanted, such as on=[{on!r}]")
        self.monitors.append(Monitor(detector, tuple(on), policy or AlertPolicy()))

    def alert_on_rejections(self, above: float) -> None:
        """Raise an alert when the share of rejected records among the last 1,000 passes this limit (0.05 if unsaid).

        Likewise of the last 1,000 labels the share that teach nothing: rejected, or without an id or a usable target.
        """
        if not 0 < above <= 1:
            raise ConfigError(f"alert_on_rejections: a share in (0, 1] is wanted, got {above}")
        self.rejection_limit = above


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(allowed)}")


def _budget(what: str, state_bytes: int) -> None:
    if state_bytes <= 0:
        raise ConfigError(f"{what}: state_bytes={state_bytes}: a budget above 0 is wanted, such as 256 << 20")


def _topic(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"topic name {name!r}: letters, digits, '.', '_' and '-' are allowed")
    return name
