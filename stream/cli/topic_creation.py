"""The plan of an app's topics and rights, as an administrator's commands and as JSON."""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from stream.control.settings import ControlTopics, control_prefix
from stream.engine.plan import Plan
from stream.kafka.file_load import rights_of_load
from stream.kafka.topic_plan import Acl, Operation, TopicPlan, TopicSpec, plan, topics_of_app
from stream.runtime.settings import Settings
from stream.runtime.worker import input_topics

_WORKERS, _CONTROL = "User:stream", "User:stream-control"


def planned(
    stages: Sequence[Plan], settings: Settings, partitions: int, replication: int, with_inputs: bool
) -> TopicPlan:
    """What an app needs.

    Args:
        stages: of the app where its event topic has so many partitions.
        settings: for names and the place of snapshots.
        partitions: of each topic.
        replication: of each topic; -1 leaves it to the broker.
        with_inputs: whether event and label topics are to be created too.
    """
    made = [_planned_stage(stage, settings, partitions, replication) for stage in stages]
    read = [(topic, stage) for stage in stages for topic in input_topics(stage, settings).sources]
    inputs = [topic for topic, stage in read if topic not in stage.handed_on]
    sources = [TopicSpec(name, partitions, replication) for name in inputs] if with_inputs else []
    topics = {spec.name: spec for spec in (*sources, *(spec for each in made for spec in each.topics))}
    return TopicPlan(tuple(topics.values()), tuple(dict.fromkeys(acl for each in made for acl in each.acls)))


def _planned_stage(stage: Plan, settings: Settings, partitions: int, replication: int) -> TopicPlan:
    inputs = replace(input_topics(stage, settings), begin_ms=None)
    names, keeps_snapshots = settings.topics(stage.app, stage.stage), bool(inputs.snapshots)
    owned = topics_of_app(
        names,
        partitions,
        replication,
        keeps_snapshots=keeps_snapshots,
        repartition=inputs.repartition,
        horizon_ms=inputs.horizon_ms,
    )
    # A repartition topic is its reader's; the stage before writes it with the same worker's rights.
    return plan(settings.kafka(stage.app, stage.stage), inputs, owned)


def planned_control(app: Plan, settings: Settings, partitions: int, replication: int) -> TopicPlan:
    """What the control plane of an app needs, which makes its topics itself; arguments as for `planned`.

    It asks for them at every start, which the brokers grant only with Create, whether they are there or not.
    """
    prefix = control_prefix(app.app, settings.topic_prefix)
    names = ControlTopics.of(prefix)
    topics = (
        TopicSpec(names.commands, partitions, replication),
        TopicSpec(names.changelog, partitions, replication, {"cleanup.policy": "compact"}),
        TopicSpec(names.leader, 1, replication),
    )
    reads: tuple[Operation, ...] = ("Read", "Describe")
    owns: tuple[Operation, ...] = (*reads, "Write", "Create")
    return TopicPlan(
        topics,
        (
            *(Acl("topic", settings.topics(app.app).alerts, operation) for operation in reads),
            *(Acl("topic", spec.name, operation) for spec in topics for operation in owns),
            *(Acl("group", prefix, operation) for operation in reads),
        ),
    )


def rights_of_backfill(app: Plan, settings: Settings) -> tuple[Acl, ...]:
    """What `stream run --from FILE` needs beside the rights of the workers."""
    return rights_of_load(settings.kafka_of_load(app.app), app.events.topic)


def plan_as_json(workers: TopicPlan, backfill: Iterable[Acl], control: TopicPlan) -> str:
    """One JSON object: topics and acls of the workers; what a file's load needs beside them, and `stream control`."""
    more = {"backfill": {"acls": [asdict(acl) for acl in backfill]}, "control": _as_object(control)}
    return json.dumps({**_as_object(workers), **more})


def plan_as_commands(workers: TopicPlan, backfill: Iterable[Acl], control: TopicPlan, servers: str) -> str:
    """Shell commands of Kafka's own tools."""
    at = f"--bootstrap-server {shlex.quote(servers)}"
    return "\n".join(
        [
            "# topics",
            *(_topic_command(spec, at) for spec in workers.topics),
            f"# rights; {_WORKERS} stands for the workers' principal",
            *(_acl_command(acl, _WORKERS, at) for acl in workers.acls),
            "# where `stream run --from FILE` is used: rights beside these",
            *(_acl_command(acl, _WORKERS, at) for acl in backfill),
            "# where `stream control` runs: its topics, which it makes itself if they are not there",
            *(_topic_command(spec, at) for spec in control.topics),
            f"# rights; {_CONTROL} stands for its principal",
            *(_acl_command(acl, _CONTROL, at) for acl in control.acls),
        ]
    )


def _as_object(made: TopicPlan) -> dict[str, Any]:
    return {"topics": [asdict(spec) for spec in made.topics], "acls": [asdict(acl) for acl in made.acls]}


def _topic_command(spec: TopicSpec, at: str) -> str:
    words = [f"kafka-topics.sh {at} --create --if-not-exists --topic {shlex.quote(spec.name)}"]
    words.append(f"--partitions {spec.partitions}")
    if spec.replication > 0:
        words.append(f"--replication-factor {spec.replication}")
    words += [f"--config {name}={value}" for name, value in spec.config.items()]
    return " ".join(words)


def _acl_command(acl: Acl, principal: str, at: str) -> str:
    resource = f"--{acl.kind} {shlex.quote(acl.name)}"
    return f"kafka-acls.sh {at} --add --allow-principal {principal} --operation {acl.operation} {resource}"
