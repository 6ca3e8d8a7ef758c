"""The cluster: what a worker checks before it joins, topics that are missing, the registry and its schemas."""

from collections.abc import Container, Sequence

from stream import avro
from stream.avro import Framing, parse_schema
from stream.cli.checks.findings import Findings
from stream.cli.checks.remembered import check_remembered
from stream.cli.checks.stages import hops_text, note_hops_of_several, note_left_behind, stages_of_several
from stream.cli.connection import quick_registry, reachable_admin
from stream.engine.plan import Plan
from stream.errors import ConfigError, StreamError
from stream.kafka.admin import Admin
from stream.kafka.checked import Checked, Verdict
from stream.kafka.registry import Registry
from stream.kafka.start_checks import check_start
from stream.kafka.topic_plan import topics_of_app
from stream.resources import schema_text
from stream.runtime.loading import LoadedApp
from stream.runtime.settings import Settings
from stream.runtime.worker import input_topics


def check_cluster(app: LoadedApp, settings: Settings, target: str, findings: Findings) -> None:
    """Look at brokers and topics; `target` is the app as commands name it."""
    plan = app.plan
    sources = (plan.events.topic, *([plan.labels.topic] if plan.labels else []))
    try:
        admin = reachable_admin(settings.kafka(plan.app))
        partitions = _partitions(admin, sources)
        plans = _stages(app, partitions, settings, admin, findings)
        states = admin.describe([name for each in plans for name in _topics(each, settings)])
        of_several = admin.describe(_topics_of_several(app, settings)) if partitions is None else {}
        checked = [each for stage in plans for each in _check_start(admin, stage, settings)]
    except StreamError as error:
        findings.wrong("broker", settings.bootstrap_servers, str(error))
        findings.skipped("topics", plan.app, "no broker to ask")
        return
    findings.ok("broker", settings.bootstrap_servers, f"answers: {', '.join(admin.brokers())}")
    for name in (name for name, state in states.items() if state is None):
        findings.wrong("topics", name, _missing(name, name in sources, target))
    for name in (name for name, state in of_several.items() if state is None and name not in states):
        findings.note("topics", name, _missing_of_several(name, target))
    for one in dict.fromkeys(checked):
        _add(one, states, findings)
    if len(plans) > 1:
        findings.note("features", plan.app, hops_text(plans))
    if None not in states.values():
        check_remembered(plans, settings, findings)


def _partitions(admin: Admin, sources: Sequence[str]) -> int | None:
    """Of events and labels, which have equally many; None where neither is there."""
    states = admin.describe(sources)
    return next((state.partitions for state in map(states.get, sources) if state is not None), None)


def _stages(
    app: LoadedApp, partitions: int | None, settings: Settings, admin: Admin, findings: Findings
) -> tuple[Plan, ...]:
    """As many as so many partitions need; those of one partition where it is not known yet."""
    try:
        plans = app.stages(partitions or 1, settings.topic_prefix)
    except ConfigError as error:
        findings.wrong("features", app.plan.app, str(error))
        return (app.plan,)
    if partitions is None:
        note_hops_of_several(app, settings, findings)
    else:
        note_left_behind(plans, settings, admin.topics(), findings)
    return plans


def _topics(plan: Plan, settings: Settings) -> list[str]:
    """What a stage reads and writes."""
    inputs = input_topics(plan, settings)
    names = settings.topics(plan.app, plan.stage)
    owned = topics_of_app(
        names,
        1,
        keeps_snapshots=bool(inputs.snapshots),
        repartition=inputs.repartition,
        horizon_ms=inputs.horizon_ms,
    )
    return [*inputs.sources, *(spec.name for spec in owned)]


def _topics_of_several(app: LoadedApp, settings: Settings) -> list[str]:
    """What the stages read and write that the app has once its event topic has several partitions."""
    try:
        return [name for plan in stages_of_several(app, settings) for name in _topics(plan, settings)]
    except ConfigError:  # a finding of its own
        return []


def _check_start(admin: Admin, plan: Plan, settings: Settings) -> list[Checked]:
    kafka, inputs = settings.kafka(plan.app, plan.stage), input_topics(plan, settings)
    names = settings.topics(plan.app, plan.stage)
    return check_start(admin, kafka, inputs, names, settings.snapshot_interval_s * 1000, plan.events.topic)


def _missing(name: str, is_input: bool, target: str) -> str:
    if is_input:
        return (
            f"topic {name} is not there: whoever sends events creates it, or `stream topics create {target} --inputs`"
        )
    return f"topic {name} is not there: `stream topics create {target}`"


def _missing_of_several(name: str, target: str) -> str:
    return (
        f"topic {name} is not there, and is needed where the event topic has several partitions (rule 34): "
        f"`stream topics create {target} --inputs --partitions N` creates all at once"
    )


def _add(checked: Checked, topics: Container[str], findings: Findings) -> None:
    area = "topics" if checked.subject in topics or checked.subject == "partitions" else "broker"
    add = {
        Verdict.OK: findings.ok,
        Verdict.UNKNOWN: findings.skipped,
        Verdict.DOUBTFUL: findings.note,
        Verdict.REFUSED: findings.wrong,
    }
    add[checked.verdict](area, checked.subject, checked.text)


def check_registry(plan: Plan, settings: Settings, findings: Findings) -> None:
    """Look at the registry, unless nothing of the app needs it."""
    streams = [(plan.events.topic, plan.events.schema, plan.events.framing)]
    if plan.labels is not None:
        streams.append((plan.labels.topic, plan.labels.schema, plan.labels.framing))
    inputs = [(topic, schema) for topic, schema, framing in streams if framing is Framing.CONFLUENT]
    if not inputs and settings.output_format == "json":
        findings.ok("registry", "-", "not needed: no topic of this app is encoded with its schemas")
        return
    try:
        with quick_registry(settings.kafka(plan.app)) as registry:
            findings.ok("registry", settings.registry_url, f"answers; {len(registry.subjects())} subjects")
            _check_schemas(plan, settings, inputs, registry, findings)
    except StreamError as error:
        if not findings.has_said(str(error)):  # as a wrong setting
            findings.wrong("registry", settings.registry_url, f"{error}. Is it running? `stream broker up` starts one")
        findings.skipped("schemas", plan.app, "no registry to ask")


def _check_schemas(
    plan: Plan, settings: Settings, inputs: list[tuple[str, avro.Schema]], registry: Registry, findings: Findings
) -> None:
    for topic, schema in inputs:
        _check_input_schema(topic, schema, registry, findings)
    if settings.output_format == "avro":
        topics = settings.topics(plan.app)
        for topic, subject in ((topics.predictions, "prediction"), (topics.alerts, "alert")):
            _check_output_schema(f"{topic}-value", schema_text(subject), registry, findings)


def _check_input_schema(topic: str, schema: avro.Schema, registry: Registry, findings: Findings) -> None:
    subject = f"{topic}-value"
    try:
        latest = registry.latest(subject)
        if latest is None:
            findings.note("schemas", subject, "nothing registered yet: the first producer does it")
            return
        decoder = avro.Decoder(schema, None, Framing.CONFLUENT)
        decoder.add_writer(latest.schema_id, parse_schema(latest.schema))
    except StreamError as error:
        findings.wrong(
            "schemas", subject, f"what is registered for {topic} cannot be read as the app's schema: {error}"
        )
        return
    findings.ok("schemas", subject, f"the registered schema {latest.schema_id} is read as the app's")


def _check_output_schema(subject: str, text: str, registry: Registry, findings: Findings) -> None:
    try:
        accepted = registry.accepts(subject, text)
    except StreamError as error:
        findings.wrong("schemas", subject, str(error))
        return
    if accepted:
        findings.ok("schemas", subject, "the output's schema is new, or compatible with what is registered")
    else:
        findings.wrong(
            "schemas",
            subject,
            f"{subject}: another schema is registered, with which the output's is not compatible. Use another topic "
            "(topic_prefix), or delete the subject",
        )
