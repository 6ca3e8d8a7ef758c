"""The cluster: brokers, topics with their partitions and retention, the registry and its schemas."""

from collections.abc import Mapping

from stream import avro
from stream.app.foreign_keys import foreign_key_problems
from stream.avro import Framing, parse_schema
from stream.cli.checks.findings import Findings
from stream.cli.connection import quick_registry, reachable_admin
from stream.engine.plan import Plan
from stream.errors import StreamError
from stream.kafka.admin import TopicState
from stream.kafka.registry import Registry
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from stream.resources import schema_text
from stream.runtime.settings import Settings

_DAY_MS = 86_400_000
# A task restores from its newest snapshot and reads on from there; it must find what came since.
_RETENTION_INTERVALS = 10


def check_cluster(plan: Plan, settings: Settings, target: str, findings: Findings) -> None:
    """Look at brokers and topics; `target` is the app as commands name it."""
    kafka = settings.kafka(plan.app)
    sources = (plan.events.topic, *([plan.labels.topic] if plan.labels else []))
    keeps_snapshots = settings.snapshots == "kafka"
    owned = topics_of_app(settings.topics(plan.app), 1, keeps_snapshots=keeps_snapshots)
    try:
        admin = reachable_admin(kafka)
        states = admin.describe([*sources, *(spec.name for spec in owned)])
    except StreamError as error:
        findings.wrong("broker", settings.bootstrap_servers, str(error))
        findings.skipped("topics", plan.app, "no broker to ask")
        return
    findings.ok("broker", settings.bootstrap_servers, f"answers: {', '.join(admin.brokers())}")
    for name in sources:
        _check_source(name, states[name], settings, target, findings)
    for spec in owned:
        _check_owned(spec, states[spec.name], target, findings)
    _check_partitions({name: state for name, state in states.items() if state is not None}, findings)
    _check_keys(plan, states[plan.events.topic], findings)


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


def _check_source(name: str, state: TopicState | None, settings: Settings, target: str, findings: Findings) -> None:
    if state is None:
        findings.wrong(
            "topics",
            name,
            f"topic {name} is not there: whoever sends events creates it, or `stream topics create {target} --inputs`",
        )
        return
    if "compact" in state.config.get("cleanup.policy", ""):
        findings.wrong(
            "topics",
            name,
            f"topic {name} is compacted: records that the journal names would be gone when it is replayed. "
            "Set cleanup.policy=delete",
        )
    retention_ms = int(state.config.get("retention.ms", "-1") or -1)
    least_ms = settings.snapshot_interval_s * 1000 * _RETENTION_INTERVALS
    if 0 <= retention_ms < least_ms:
        findings.wrong(
            "topics",
            name,
            f"topic {name} keeps records for {retention_ms:,} ms; a restart needs those since the last snapshot: "
            f"at least {_RETENTION_INTERVALS} snapshot intervals, {least_ms:,} ms",
        )
    else:
        kept = "for ever" if retention_ms < 0 else f"for {retention_ms / _DAY_MS:.3g} days"
        findings.ok("topics", name, f"{state.partitions} partitions, {state.replication} replicas, kept {kept}")


def _check_owned(spec: TopicSpec, state: TopicState | None, target: str, findings: Findings) -> None:
    if state is None:
        findings.wrong("topics", spec.name, f"topic {spec.name} is not there: `stream topics create {target}`")
        return
    wrong = {
        name: (value, state.config.get(name, ""))
        for name, value in spec.config.items()
        if not _holds(name, value, state)
    }
    for name, (wanted, got) in wrong.items():
        findings.wrong(
            "topics", spec.name, f"topic {spec.name} has {name}={got}, {wanted} is needed to restore from it"
        )
    if not wrong:
        findings.ok("topics", spec.name, f"{state.partitions} partitions, {state.replication} replicas")


def _holds(name: str, wanted: str, state: TopicState) -> bool:
    got = state.config.get(name, "")
    if name == "min.compaction.lag.ms":
        return int(got or 0) >= int(wanted)
    return got == wanted


def _check_partitions(states: Mapping[str, TopicState], findings: Findings) -> None:
    counts = {name: state.partitions for name, state in states.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        findings.wrong(
            "topics",
            "partitions",
            f"the partition counts differ ({told}): a task's topics have the same partitions (rule 13). "
            "Create the app's topics anew under another topic_prefix",
        )


def _check_keys(plan: Plan, state: TopicState | None, findings: Findings) -> None:
    """A feature by another key sees all its events only where there is one partition."""
    if state is None:
        return
    problems = foreign_key_problems(plan, state.partitions)
    for foreign in plan.features.foreign_keys:
        if foreign.feature in problems:
            findings.wrong("features", foreign.feature, problems[foreign.feature])
        elif not foreign.is_local:
            findings.ok("features", foreign.feature, f"keyed by {', '.join(foreign.by)}: the topic has one partition")


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
