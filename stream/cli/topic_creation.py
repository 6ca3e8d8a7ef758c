"""The plan of an app's topics and rights, as an administrator's commands and as JSON."""

import json
import shlex
from dataclasses import asdict

from stream.config import InputTopics
from stream.engine.plan import Plan
from stream.kafka.topic_plan import Acl, TopicPlan, TopicSpec, plan, topics_of_app
from stream.runtime.settings import Settings

_PRINCIPAL = "User:stream"


def planned(app: Plan, settings: Settings, partitions: int, replication: int, with_inputs: bool) -> TopicPlan:
    """What an app needs.

    Args:
        app: the compiled declaration.
        settings: for names and the place of snapshots.
        partitions: of each topic.
        replication: of each topic; -1 leaves it to the broker.
        with_inputs: whether event and label topics are to be created too.
    """
    names = settings.topics(app.app)
    keeps_snapshots = settings.snapshots == "kafka"
    labels = (app.labels.topic,) if app.labels else ()
    inputs = InputTopics(app.events.topic, labels, names.journal, names.snapshots if keeps_snapshots else "")
    owned = topics_of_app(names, partitions, replication, keeps_snapshots=keeps_snapshots)
    made = plan(settings.kafka(app.app), inputs, owned)
    sources = tuple(TopicSpec(name, partitions, replication) for name in inputs.sources) if with_inputs else ()
    return TopicPlan((*sources, *made.topics), made.acls)


def plan_as_json(made: TopicPlan) -> str:
    """One JSON object: topics and acls."""
    return json.dumps({"topics": [asdict(spec) for spec in made.topics], "acls": [asdict(acl) for acl in made.acls]})


def plan_as_commands(made: TopicPlan, servers: str) -> str:
    """Shell commands of Kafka's own tools."""
    at = f"--bootstrap-server {shlex.quote(servers)}"
    topics = [_topic_command(spec, at) for spec in made.topics]
    acls = [_acl_command(acl, at) for acl in made.acls]
    return "\n".join(["# topics", *topics, f"# rights; {_PRINCIPAL} stands for the workers' principal", *acls])


def _topic_command(spec: TopicSpec, at: str) -> str:
    words = [f"kafka-topics.sh {at} --create --if-not-exists --topic {shlex.quote(spec.name)}"]
    words.append(f"--partitions {spec.partitions}")
    if spec.replication > 0:
        words.append(f"--replication-factor {spec.replication}")
    words += [f"--config {name}={value}" for name, value in spec.config.items()]
    return " ".join(words)


def _acl_command(acl: Acl, at: str) -> str:
    resource = f"--{acl.kind} {shlex.quote(acl.name)}"
    return f"kafka-acls.sh {at} --add --allow-principal {_PRINCIPAL} --operation {acl.operation} {resource}"
