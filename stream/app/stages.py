"""From a declaration to its stages: features by another key than the stream's, where events lie in several partitions.

A first stage takes events in and sends them on by the first other key; one stage for each such key computes features
and sends them on by the next; the last one, in the partition of the event topic again, restores the order, computes the
features by the stream's own key, joins labels, learns and predicts (rule 34).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stream.app.compile import compile_app, compile_carrying, digest_of_stage, feature_plan, label_key_columns, truth_of
from stream.app.declaration import App, Events, Labels
from stream.app.suggest import one_of
from stream.engine.plan import LAST, DecisionPlan, EventPlan, Hop, Plan
from stream.errors import ConfigError
from stream.features import Expression, FeaturePlan
from stream.features.expression import col
from stream.features.typed import KEYED
from stream.records import Column

FIRST, LABELS = "entry", "labels"
_ANY_TIME_MS = 1 << 62
# What holds state of its own: a stage computes from the event's columns alone.
_STATEFUL = KEYED | {"fill_mean", "target_mean"}


@dataclass(slots=True)
class _Split:
    """The declared features, taken apart."""

    own: dict[str, Expression] = field(default_factory=dict)  # by the stream's key; what others compute are columns
    by_key: dict[tuple[str, ...], dict[str, Expression]] = field(default_factory=dict)


def compile_stages(app: App, schemas: Mapping[str, str], partitions: int, prefix: str = "") -> tuple[Plan, ...]:
    """Check the declaration against its schemas and compile its stages, in the order in which events pass them.

    Args:
        app: the declaration.
        schemas: text of each schema that the app names.
        partitions: of the event topic. One partition sees all events of every key and needs one stage.
        prefix: what the names of the topics between stages begin with.

    Raises:
        ConfigError: what is wrong, where, and what was expected.
    """
    whole = compile_app(app, schemas)
    events = app.event_stream
    assert events is not None
    is_whole = partitions == 1 or all(foreign.is_local for foreign in whole.features.foreign_keys)
    plans = [whole] if is_whole else _by_keys(app, events, schemas, whole, prefix)
    if app.label_stream is not None and app.label_stream.key:
        plans = _with_labels_moved(app.label_stream, events, schemas, plans, prefix)
    if len(plans) == 1:
        return (whole,)
    chain = " > ".join(plan.stage or LAST for plan in plans)
    return tuple(replace(plan, chain=chain, digest=digest_of_stage(plan, chain)) for plan in plans)


def _by_keys(app: App, events: Events, schemas: Mapping[str, str], whole: Plan, prefix: str) -> list[Plan]:
    """A stage that takes events in, one for each other key, and the last one."""
    split = _split(events)
    names = [f"by-{'-'.join(by)}" for by in split.by_key]
    relays = [_relay(app, events, whole, by, split.by_key[by]) for by in split.by_key]
    carried: list[str] = []
    plans = [replace(_relay(app, events, whole, (), {}), stage=FIRST)]
    for by, name, relay in zip(split.by_key, names, relays, strict=True):
        plans[-1] = _towards(plans[-1], f"{prefix}{app.name}.{name}.repartition", _columns(whole, by), carried)
        carried += [_carried_name(relay, by, feature) for feature in split.by_key[by]]
        plans.append(replace(relay, stage=name, arrives=plans[-1].leaves))
    plans[-1] = _towards(plans[-1], f"{prefix}{app.name}.repartition", (), carried)
    for feature, expression in split.own.items():
        split.own[feature] = _renamed(expression, {each.rpartition("@")[0]: each for each in carried})
    back = {
        plan.arrives.topic: by[0]
        for plan, by in zip(plans[1:], split.by_key, strict=True)
        if plan.counts_labels and plan.arrives
    }
    last = compile_carrying(app, replace(events, declared=split.own), schemas, carried, back)
    return [*plans, replace(last, arrives=plans[-1].leaves)]


def _with_labels_moved(
    labels: Labels, events: Events, schemas: Mapping[str, str], plans: list[Plan], prefix: str
) -> list[Plan]:
    """With a stage in front that puts labels where their events are (rule 19)."""
    last = plans[-1]
    assert last.labels is not None
    columns = label_key_columns(labels, last.labels.schema)
    moved = f"{prefix}{last.app}.{LABELS}.repartition"
    read = EventPlan(
        topic=labels.topic,
        schema=last.labels.schema,
        framing=last.labels.framing,
        wanted=frozenset(labels.key),
        key=(),  # of the records: it says nothing
        key_encoding=last.events.key_encoding,
        rejects_null_key=False,
        time=None,
        event_id=None,
        target=None,
        ahead_ms=_ANY_TIME_MS,
    )
    hop = Hop(moved, columns, 0, 0, is_of_labels=True)
    relay = _sending_on(last, read, feature_plan(events, {}, last.features.columns))
    relay = replace(relay, stage=LABELS, arrives=None, leaves=hop)
    return [relay, *plans[:-1], replace(last, labels=replace(last.labels, topic=moved, is_handed_on=True))]


def _split(events: Events) -> _Split:
    split = _Split()
    orders = {frozenset(events.key): events.key}
    for name, expression in events.declared.items():
        found: list[tuple[tuple[str, ...], Expression]] = []
        split.own[name] = _without_foreign(name, _in_one_order(expression, orders), events.key, found)
        for number, (by, each) in enumerate(found, start=1):
            parts, part = split.by_key.setdefault(by, {}), _named(name, number)
            if part in parts:
                raise ConfigError(f"features: {part!r} is both a feature and a part of one: leave the '#' out of names")
            parts[part] = each
    return split


def _in_one_order(expression: Expression, orders: dict[frozenset[str], tuple[str, ...]]) -> Expression:
    """A key's columns as they were first named: the same key in another order is no hop of its own."""
    operands = tuple(_in_one_order(operand, orders) for operand in expression.operands)
    by = tuple(expression.option("by") or ())
    if not by or len(set(by)) < len(by):
        return Expression(expression.operator, operands, expression.options)
    first = orders.setdefault(frozenset(by), by)
    options = tuple((name, first if name == "by" else value) for name, value in expression.options)
    return Expression(expression.operator, operands, options)


def _named(feature: str, number: int) -> str:
    return feature if number == 1 else f"{feature}#{number}"


def _without_foreign(
    name: str, expression: Expression, key: tuple[str, ...], found: list[tuple[tuple[str, ...], Expression]]
) -> Expression:
    """The expression with columns in place of what another stage computes, which is added to `found`."""
    by = tuple(expression.option("by") or ())
    if by and by != key and not expression.option("local"):
        _check_stateless(name, expression, by)
        found.append((by, expression))
        return col(f"{_named(name, len(found))} by {', '.join(by)}")
    operands = tuple(_without_foreign(name, operand, key, found) for operand in expression.operands)
    return Expression(expression.operator, operands, expression.options)


def _check_stateless(name: str, expression: Expression, by: tuple[str, ...]) -> None:
    inner = list(expression.operands)
    while inner:
        operand = inner.pop()
        if operand.operator in _STATEFUL:
            raise ConfigError(
                f"feature {name!r}: {expression.operator} by {', '.join(by)} reads {operand.operator}, which remembers "
                "events of another key: on several partitions they lie elsewhere. Let it read columns alone, or say "
                "local=True"
            )
        inner += operand.operands


def _renamed(expression: Expression, names: Mapping[str, str]) -> Expression:
    """Columns that another stage computes get names that say what they are."""
    if expression.operator == "column":
        name = str(expression.option("name"))
        return col(names.get(name, name))
    operands = tuple(_renamed(operand, names) for operand in expression.operands)
    return Expression(expression.operator, operands, expression.options)


def _carried_name(relay: Plan, by: tuple[str, ...], feature: str) -> str:
    """Unlike any column of a schema; and another one once the feature means something else."""
    return f"{feature} by {', '.join(by)}@{relay.features.digests[feature]}"


def _columns(whole: Plan, by: tuple[str, ...]) -> tuple[Column, ...]:
    columns = {column.name: column for column in whole.features.columns}
    return tuple(columns[one_of(name, columns, "by", "column")] for name in by)


def _towards(plan: Plan, topic: str, key: tuple[Column, ...], carried: list[str]) -> Plan:
    layout = hashlib.sha256("\n".join(carried).encode()).digest()[:8]
    hop = Hop(topic, key, int.from_bytes(layout, "big", signed=True), len(carried))
    return replace(plan, leaves=hop)


def _relay(app: App, events: Events, whole: Plan, by: tuple[str, ...], declared: dict[str, Expression]) -> Plan:
    """A stage that sends on: it reads all columns that the whole app reads, so that each has its place."""
    is_first = not by
    read = replace(whole.events, travels=True) if is_first else replace(whole.events, key=(), event_id=None)
    truth = truth_of(whole.labels.target if whole.labels else whole.events.target, whole.problem)
    return _sending_on(whole, replace(read, target=None), feature_plan(events, declared, whole.features.columns, truth))


def _sending_on(plan: Plan, read: EventPlan, computed: FeaturePlan) -> Plan:
    """A stage of the same app that neither learns nor predicts."""
    return replace(
        plan,
        events=read,
        labels=None,
        features=computed,
        models=(),
        decision=DecisionPlan(0, 0.5),
        monitors=(),
        parts={"features": computed.digest},
    )
