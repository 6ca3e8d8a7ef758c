"""`stream broker`: a real Kafka and schema registry on this machine."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from stream.cli.broker import detached
from stream.cli.broker.local import LocalBroker
from stream.errors import ConfigError

entry = typer.Typer()

FOLDER = typer.Option(None, envvar="STREAM_BROKER_FOLDER", help="Where its data and logs are; a folder of the user's.")
DOWNLOADS = typer.Option(None, envvar="STREAM_DOWNLOADS", help="Where downloads are kept; the user's cache folder.")

NOT_RUNNING = 3  # the exit status of `status`, as for a service (LSB)


@entry.command()
def up(
    folder: Path | None = FOLDER,
    kafka_port: int = typer.Option(9092, help="Where Kafka listens, on 127.0.0.1."),
    registry_port: int = typer.Option(8081, help="Where the schema registry listens, on 127.0.0.1."),
    setting: list[str] = typer.Option([], help="A Kafka broker setting, name=value; may be given several times."),
    downloads: Path | None = DOWNLOADS,
) -> None:
    """Start both and leave them running. The first time, their files are downloaded (about 190 MB).

    Example: stream broker up --setting group.initial.rebalance.delay.ms=3000
    """
    broker = LocalBroker(
        folder or detached.default_folder(),
        kafka_port=kafka_port,
        registry_port=registry_port,
        settings=dict(map(_name_and_value, setting)),
        downloads=downloads,
        ends_with_parent=False,
    )
    detached.up(broker)
    print("stop them with: stream broker down" + (f" --folder {folder}" if folder else ""))


@entry.command()
def down(folder: Path | None = FOLDER) -> None:
    """Stop both. Topics, offsets and schemas are kept for the next time.

    Example: stream broker down
    """
    chosen = folder or detached.default_folder()
    print("stopped" if detached.down(chosen) else f"no broker runs in {chosen}")


@entry.command()
def status(
    folder: Path | None = FOLDER,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Say what runs and where it answers. The exit status is 0 when both answer, 3 otherwise.

    Example: stream broker status --json
    """
    found = detached.status(folder or detached.default_folder())
    if as_json:
        print(json.dumps(asdict(found) | {"is_up": found.is_up}))
    else:
        for name, server in (("Kafka", found.kafka), ("schema registry", found.registry)):
            state = "answers at" if server.answers else "runs, but does not answer at" if server.pid else "does not run"
            where = f" {server.address}, process {server.pid}" if server.pid else ""
            print(f"{name} {state}{where}")
        print(f"folder {found.folder}")
    raise typer.Exit(0 if found.is_up else NOT_RUNNING)


def _name_and_value(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError(f"--setting {setting}: expected name=value, e.g. message.max.bytes=2000000.")
    return name.strip(), value.strip()
