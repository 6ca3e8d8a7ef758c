"""`stream topics`: what an app needs on the cluster."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stream.errors import ConfigError

if TYPE_CHECKING:
    from stream.kafka.admin import Admin

entry = typer.Typer()


@entry.callback()
def _group() -> None:
    """The topics of an app."""


@entry.command()
def create(
    target: str = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app"),
    partitions: int | None = typer.Option(
        None, min=1, help="Of each topic; as many as the event topic has, 1 if it is not there either."
    ),
    replication: int = typer.Option(-1, help="Of each topic: 3 in production; -1 is the broker's default."),
    inputs: bool = typer.Option(False, "--inputs", help="Create missing event and label topics too."),
    plan: bool = typer.Option(False, "--plan", help="Only print topics, settings and rights; the broker is not asked."),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Create the topics that an app owns: predictions, alerts, dead letters, journals, snapshots, those of its stages.

    Those that are there stay as they are. Event and label topics belong to whoever writes them, and are created only
    with --inputs. --plan is for clusters where an administrator does it; what `stream control` needs is in it too.

    Example: stream topics create fraud:app --inputs --partitions 6 --replication 3
    """
    from stream.cli.topic_creation import plan_as_commands, plan_as_json, planned, planned_control, rights_of_backfill
    from stream.runtime.loading import load_app
    from stream.runtime.settings import load_settings

    loaded = load_app(target)
    app = loaded.plan
    settings = load_settings(config).values
    if plan:
        stages = loaded.stages(partitions or 1, settings.topic_prefix)
        made = planned(stages, settings, partitions or 1, replication, inputs)
        control = planned_control(app, settings, partitions or 1, replication)
        backfill = rights_of_backfill(app, settings)
        if as_json:
            print(plan_as_json(made, backfill, control))
        else:
            print(plan_as_commands(made, backfill, control, settings.bootstrap_servers))
        return
    from stream.cli.connection import reachable_admin

    admin = reachable_admin(settings.kafka(app.app))
    sources = (app.events.topic, *([app.labels.topic] if app.labels else []))
    count = _partitions(admin, sources, partitions, inputs)
    made = planned(loaded.stages(count, settings.topic_prefix), settings, count, replication, inputs)
    created = admin.create(made.topics)
    there = [spec.name for spec in made.topics if spec.name not in created]
    missing = [name for name, state in admin.describe(sources).items() if state is None]
    if as_json:
        print(json.dumps({"partitions": count, "created": created, "existing": there, "missing_inputs": missing}))
    else:
        for name in created:
            print(f"created {name}, {count} partition{'s' if count > 1 else ''}")
        for name in there:
            print(f"{name} is there already")
    if missing:
        print(
            f"not created: {', '.join(missing)}. Whoever sends events owns these; `--inputs` creates them as well",
            file=sys.stderr,
        )


def _partitions(admin: "Admin", sources: tuple[str, ...], asked: int | None, with_inputs: bool) -> int:
    """The event topic decides, since a task's topics have the same partitions (rule 13)."""
    states = admin.describe(sources)
    there = {name: state.partitions for name, state in states.items() if state is not None}
    counts = set(there.values())
    if len(counts) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in there.items())
        raise ConfigError(f"{told} partitions: events and labels of one app need the same count (rule 13)")
    found = next(iter(counts), None)
    if found is not None and asked not in (None, found):
        raise ConfigError(
            f"--partitions {asked}: {next(iter(there))} has {found}, and the topics of an app have as many as its "
            "events (rule 13). Leave the option out, or change the event topic first"
        )
    if found is None and asked is None and not with_inputs:
        raise ConfigError(
            f"the event topic {sources[0]} is not there, so nobody knows how many partitions are needed: "
            "say --partitions N, or --inputs to create it too"
        )
    return found or asked or 1
