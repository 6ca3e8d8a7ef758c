"""From a declaration to a plan. Reads no files: schemas come as texts."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import orjson

from stream import avro, features, models
from stream.app.declaration import App, Events, Labels, Monitor, SchemaSource
from stream.app.suggest import one_of
from stream.app.target import problem_of, target_plan
from stream.engine.plan import (
    DecisionPlan,
    EventPlan,
    KeyEncoding,
    LabelPlan,
    ModelPlan,
    MonitorPlan,
    Plan,
    SentBack,
    Signal,
    TargetPlan,
)
from stream.errors import ConfigError, SchemaError
from stream.features import Expression
from stream.features.duration import duration_ms
from stream.records import Column, FeatureLayout, Kind

# What computes: another version of one of these may give other bits (rule 5).
_LIBRARIES = ("numpy", "numba", "river", "stream-learn")


def schema_names(app: App) -> tuple[str, ...]:
    """The schemas that the app names, whose texts `compile_app` wants."""
    streams = (app.event_stream, app.label_stream)
    return tuple(stream.schema for stream in streams if stream is not None and isinstance(stream.schema, str))


def compile_app(app: App, schemas: Mapping[str, str]) -> Plan:
    """Check the declaration against its schemas and compile it, as one stage that sees all events.

    Args:
        app: the declaration.
        schemas: text of each schema that the app names.

    Raises:
        ConfigError: what is wrong, where, and what was expected.
    """
    events = app.event_stream
    if events is None:
        raise ConfigError(f"app {app.name!r} has no event topic: declare app.events(...)")
    return compile_carrying(app, events, schemas, (), {})


def compile_carrying(
    app: App,
    events: Events,
    schemas: Mapping[str, str],
    carried: Sequence[str],
    counted_by: Mapping[str, str],
) -> Plan:
    """Compile the stage that predicts.

    Args:
        app: the declaration.
        events: its events, with the features that this stage computes.
        schemas: text of each schema that the app names.
        carried: names of numbers that events bring along, columns like those of the schema.
        counted_by: topics to which labels go once they are learned, and the column that each is keyed by.

    Raises:
        ConfigError: what is wrong, where, and what was expected.
    """
    if not app.models:
        raise ConfigError(f"app {app.name!r} has no model: declare app.model(NAME, ...)")
    if not events.declared:
        raise ConfigError(f"{events.topic!r} has no features: declare events.features(NAME=expression, ...)")
    schema = _schema(events.schema, schemas)
    wanted = _wanted(events, schema, carried, tuple(counted_by.values()))
    columns = _with_carried({column.name: column for column in avro.columns_of(schema, wanted)}, carried)
    event_id = id_column(columns, events.id, events.topic) if events.id else None
    labels = _labels(app, app.label_stream, schemas) if app.label_stream else None
    if labels and event_id:
        _check_ids(events.topic, event_id, labels)
    target = target_plan(app, columns, events.target, f"label of {events.topic}") if events.target else None
    problem = problem_of(app, labels.target if labels else target)
    truth = truth_of(labels.target if labels else target, problem)
    computed = feature_plan(events, events.declared, tuple(columns.values()), truth)
    scale_at = models.ScaleAt.ARRIVAL if labels else models.ScaleAt.LABEL
    model_plans = _models(app, computed.layout, problem, scale_at)
    monitors = tuple(_monitor(app, monitor, computed.layout.dense) for monitor in app.monitors)
    event_plan = EventPlan(
        topic=events.topic,
        schema=schema,
        framing=_framing(events.framing),
        wanted=wanted,
        key=tuple(_column(columns, name, f"key of {events.topic}") for name in events.key),
        key_encoding=KeyEncoding(events.key_encoding),
        rejects_null_key=events.null_key == "reject",
        time=time_column(columns, events) if events.time else None,
        event_id=event_id,
        target=target,
        ahead_ms=duration_ms(events.ahead, "ahead"),
        carried=tuple(columns[name] for name in carried),
    )
    parts = _parts(event_plan, computed, labels, model_plans, monitors, truth)
    if counted_by and "labels" in parts:
        parts["labels"] = _sha(parts["labels"], *counted_by.values())
    return Plan(
        app=app.name,
        events=event_plan,
        labels=labels,
        features=computed,
        problem=problem,
        scale_at=scale_at,
        models=model_plans,
        decision=_decision(app, problem),
        monitors=monitors,
        rejection_limit=app.rejection_limit,
        digest=_digest(app, event_plan, labels, parts, truth),
        parts=parts,
        sent_back=tuple(SentBack(topic, columns[name]) for topic, name in counted_by.items()),
    )


def _schema(source: SchemaSource, schemas: Mapping[str, str]) -> avro.Schema:
    if not isinstance(source, str):
        return avro.parse_schema(orjson.dumps(source).decode())
    if source not in schemas:
        raise ConfigError(
            f"schema {source!r} is named by the app, and its text was not given: pass "
            f'schemas={{"{source}": Path("{source}.avsc").read_text()}}'
        )
    try:
        return avro.parse_schema(schemas[source])
    except SchemaError as error:
        raise SchemaError(f"schema {source!r}: {error}") from error


def _column(columns: Mapping[str, Column], name: str, what: str) -> Column:
    return columns[one_of(name, columns, what, "column")]


def _framing(name: str) -> avro.Framing:
    return avro.Framing[name.replace("-", "_").upper()]


def _wanted(events: Events, schema: avro.Schema, carried: Sequence[str], counted_by: Sequence[str]) -> frozenset[str]:
    """The columns that are read at all; the decoder skips the others."""
    every = _with_carried({column.name: column for column in avro.columns_of(schema)}, carried)
    named = [name for name in (*events.key, events.time, events.id, events.target, *counted_by) if name is not None]
    read = feature_plan(events, events.declared, tuple(every.values())).wanted
    return frozenset(read).difference(carried) | {one_of(name, every, events.topic, "column") for name in named}


def _with_carried(columns: Mapping[str, Column], carried: Sequence[str]) -> dict[str, Column]:
    """Columns, and behind them those of numbers that events bring along."""
    width = sum(2 if column.kind in avro.TWO_CELLS else 1 for column in columns.values())
    return {**columns} | {
        name: Column(name, Kind.DOUBLE, width + place, len(columns) + place, nullable=True)
        for place, name in enumerate(carried)
    }


def time_column(columns: Mapping[str, Column], events: Events) -> Column:
    """Where the time of an event that says it stands; raises ConfigError for a column that can be none."""
    assert events.time is not None
    column = _column(columns, events.time, f"time of {events.topic}")
    if column.kind is not Kind.LONG or not (column.logical or "").endswith(("timestamp-millis", "timestamp-micros")):
        raise ConfigError(
            f"time of {events.topic}: column {column.name!r} is {column.logical or column.kind.value}; "
            "a long with logicalType timestamp-millis or timestamp-micros is wanted"
        )
    return column


def id_column(columns: Mapping[str, Column], name: str, topic: str) -> Column:
    """Where an event's id stands; raises ConfigError for a column that can be none."""
    column = _column(columns, name, f"id of {topic}")
    if column.kind not in (Kind.STRING, Kind.LONG):
        raise ConfigError(f"id of {topic}: column {name!r} is {column.kind.value}; a string or a long is wanted")
    return column


def _check_ids(topic: str, event_id: Column, labels: LabelPlan) -> None:
    other = labels.event_id
    if other.kind is not event_id.kind:
        raise ConfigError(
            f"id of {labels.topic}: column {other.name!r} is {other.kind.value}, and id of {topic}, column "
            f"{event_id.name!r}, is {event_id.kind.value}: no label would ever meet its event. Give both one type"
        )


def feature_plan(
    events: Events, declared: Mapping[str, Expression], columns: tuple[Column, ...], truth: str = ""
) -> features.FeaturePlan:
    """Features of these events, bounded as the events say."""
    return features.compile_features(
        declared,
        columns,
        key=events.key or None,
        state_bytes=events.state_bytes,
        lateness_ms=duration_ms(events.lateness, "lateness") if events.lateness else 0,
        key_expiry_ms=duration_ms(events.key_expiry, "key_expiry"),
        truth=truth,
    )


def _labels(app: App, labels: Labels, schemas: Mapping[str, str]) -> LabelPlan:
    schema = _schema(labels.schema, schemas)
    every = [column.name for column in avro.columns_of(schema)]
    wanted = frozenset(one_of(name, every, labels.topic, "column") for name in (labels.id, labels.target))
    columns = {column.name: column for column in avro.columns_of(schema, wanted)}
    return LabelPlan(
        topic=labels.topic,
        schema=schema,
        framing=_framing(labels.framing),
        wanted=wanted,
        event_id=id_column(columns, labels.id, labels.topic),
        target=target_plan(app, columns, labels.target, f"target of {labels.topic}"),
        horizon_ms=duration_ms(labels.horizon, "horizon"),
        state_bytes=labels.state_bytes,
        spilled_bytes=labels.spilled_bytes,
    )


def label_key_columns(labels: Labels, schema: avro.Schema) -> tuple[Column, ...]:
    """Where labels say the key of their event; raises ConfigError for columns that can be none."""
    every = [column.name for column in avro.columns_of(schema)]
    wanted = frozenset(one_of(name, every, f"key of {labels.topic}", "column") for name in labels.key)
    columns = {column.name: column for column in avro.columns_of(schema, wanted)}
    for column in columns.values():
        if column.kind not in (Kind.STRING, Kind.LONG):
            raise ConfigError(
                f"key of {labels.topic}: column {column.name!r} is {column.kind.value}; a string or a long is wanted"
            )
    return tuple(columns[name] for name in labels.key)


def _models(app: App, layout: FeatureLayout, problem: models.Task, scale_at: models.ScaleAt) -> tuple[ModelPlan, ...]:
    return tuple(model_plan(name, declaration, layout, problem, scale_at) for name, declaration in app.models.items())


def model_plan(
    name: str, declaration: object, layout: FeatureLayout, problem: models.Task, scale_at: models.ScaleAt
) -> ModelPlan:
    """One model of an app; raises ConfigError with its name where it does not go with features and target."""
    try:
        digest = models.compile_model(declaration, layout, problem, scale_at).digest
    except ConfigError as error:
        raise ConfigError(f"model {name!r}: {error}") from error
    return ModelPlan(name, declaration, digest)


def _decision(app: App, problem: models.Task) -> DecisionPlan:
    names = list(app.models)
    if app.decision is None:
        return DecisionPlan(0, 0.5)
    threshold = app.decision.threshold
    if problem.kind is models.TaskKind.BINARY and not 0 <= threshold <= 1:
        raise ConfigError(
            f"decide: threshold={threshold:g}: scores of a binary target are probabilities, "
            "and a number between 0 and 1 is wanted"
        )
    return DecisionPlan(names.index(one_of(app.decision.by, names, "decide", "model")), threshold)


def _monitor(app: App, monitor: Monitor, dense: Sequence[str]) -> MonitorPlan:
    signals = tuple(signal for name in monitor.signals for signal in signals_of(app, name, dense))
    names = [f"{signal.model}:{signal.name}" for signal in signals]
    return MonitorPlan(
        monitor.detector, signals, monitor.policy, _sha(monitor.detector.definition, repr(monitor.policy), *names)
    )


def signals_of(app: App, name: str, dense: Sequence[str]) -> list[Signal]:
    """The series that one word of `monitor(on=...)` means; raises ConfigError for a word that means none."""
    if name in ("error", "score"):
        return [Signal(name, model, -1, name) for model in range(len(app.models))]
    if name == "features":
        return [Signal("feature", -1, place, f"feature:{feature}") for place, feature in enumerate(dense)]
    one_of(name, ["error", "score", "features", *(f"feature:{feature}" for feature in dense)], "monitor", "signal")
    feature = name.removeprefix("feature:")
    return [Signal("feature", -1, list(dense).index(feature), name)]


def truth_of(target: TargetPlan | None, problem: models.Task) -> str:
    """All that a label's number depends on."""
    read = (target.column.name, target.column.kind.value, target.classes) if target else ()
    return _sha(repr(read), problem.kind.value, repr(problem.classes))


def _parts(
    events: EventPlan,
    feature_plan: features.FeaturePlan,
    labels: LabelPlan | None,
    model_plans: Sequence[ModelPlan],
    monitors: Sequence[MonitorPlan],
    truth: str,
) -> dict[str, str]:
    """Digest of each stateful part, by the prefix of its arrays in a snapshot."""
    parts = {"features": feature_plan.digest}
    # A part's definition includes that of what it reads.
    parts |= {f"model/{plan.name}": _sha(plan.digest, feature_plan.rows_digest, truth) for plan in model_plans}
    for place, plan in enumerate(monitors):
        watched = [_watched(signal, feature_plan, parts) for signal in plan.signals]
        parts[f"monitor/{place}"] = _sha(plan.digest, *watched)
    if labels is not None and events.event_id is not None:
        ids = (events.event_id.name, labels.event_id.name)
        bounds = (labels.horizon_ms, labels.state_bytes, *([labels.spilled_bytes] if labels.spilled_bytes else []))
        parts["labels"] = _sha(feature_plan.rows_digest, truth, repr(ids), repr(bounds))
    return parts


def _watched(signal: Signal, feature_plan: features.FeaturePlan, parts: Mapping[str, str]) -> str:
    """The digest of the feature or model whose series a signal is."""
    if signal.model < 0:
        return feature_plan.digests[feature_plan.layout.dense[signal.feature]]
    return [digest for name, digest in parts.items() if name.startswith("model/")][signal.model]


def _digest(app: App, events: EventPlan, labels: LabelPlan | None, parts: Mapping[str, str], truth: str) -> str:
    """Over all that decides what a replay gives; topics and framings too: a journal of others is of other records."""
    declared = app.event_stream
    assert declared is not None
    settings = [app.name, app.decision, app.rejection_limit, truth]
    keys = [declared.key, declared.null_key, declared.key_encoding]
    times = [declared.time, declared.id, declared.target, declared.ahead]
    streams: list[tuple[str, ...]] = [(events.topic, events.framing.name, _meaning(events.schema))]
    if labels is not None:
        columns = (labels.event_id.name, labels.target.column.name)
        streams.append((labels.topic, labels.framing.name, _meaning(labels.schema), *columns))
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    texts = [*map(repr, (settings, keys, times, streams)), *versions, *(f"{name} {parts[name]}" for name in parts)]
    return _sha(*texts)


def digest_of_stage(plan: Plan, chain: str) -> str:
    """Of one of several stages, whose events come and go with certain features."""
    hops = [(hop.layout, [column.name for column in hop.key]) for hop in (plan.arrives, plan.leaves) if hop]
    back = [f"back by {each.key.name}" for each in plan.sent_back]
    parts = [f"{name} {part}" for name, part in plan.parts.items()]
    return _sha(plan.digest, chain, plan.stage, repr(hops), *back, *parts)


def _meaning(schema: avro.Schema) -> str:
    """The schema without its documentation. Defaults, aliases and logical types, which decide too, stay in."""
    return orjson.dumps(_undocumented(orjson.loads(schema.text)), option=orjson.OPT_SORT_KEYS).decode()


def _undocumented(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_undocumented(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value if name == "default" else _undocumented(value) for name, value in schema.items() if name != "doc"
    }


def _sha(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]
