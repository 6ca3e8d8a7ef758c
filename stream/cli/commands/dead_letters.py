"""`stream dead-letters`: what was rejected, and sending it back after a fix."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stream.errors import ConfigError

if TYPE_CHECKING:
    from stream.cli.dead_letters.letters import Filter, Letter
    from stream.cli.dead_letters.topic import DeadLetterTopic
    from stream.config import KafkaSettings

entry = typer.Typer()

APP = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app")
ERROR = typer.Option("", help="Only this error class, e.g. truncated.")
FIELD = typer.Option("", help="Only where this field was wrong.")
PARTITION = typer.Option(None, min=0, help="Only from this partition of the source topic.")
OFFSETS = typer.Option("", help="Only these offsets of the source topic: FIRST-LAST, or one.")
CONFIG = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here.")
AS_JSON = typer.Option(False, "--json", help="One JSON object a record.")


@entry.command("list")
def list_letters(
    target: str = APP,
    error: str = ERROR,
    field: str = FIELD,
    partition: int | None = PARTITION,
    offsets: str = OFFSETS,
    limit: int = typer.Option(100, min=1, help="Show at most so many, the newest."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """List dead letters: id, error, where it came from, what was wrong, whether it was sent back.

    Example: stream dead-letters list fraud:app --error truncated
    """
    from stream.cli.dead_letters.letters import as_object, to_json

    topic, _ = _topic(target, config)
    chosen = _filter(error, field, partition, offsets)
    found = [letter for letter in topic.read() if chosen.takes(letter)]
    for letter in found[-limit:]:
        print(to_json(as_object(letter)) if as_json else _line(letter))
    if not as_json:
        kinds = Counter(letter.error for letter in found)
        told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) or "none"
        print(f"{len(found):,} dead letters ({told})", file=sys.stderr)


@entry.command()
def show(
    target: str = APP,
    letter: str = typer.Argument(help="Its id, PARTITION/OFFSET, as `list` shows it."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Show one dead letter with its key, headers and value, decoded as far as that goes.

    Example: stream dead-letters show fraud:app 0/17
    """
    from stream.cli.dead_letters.letters import Filter, as_object, to_json
    from stream.cli.tailing.sources import value_reader

    topic, settings = _topic(target, config)
    found = [each for each in topic.read() if Filter(ids=frozenset({letter})).takes(each)]
    if not found:
        raise ConfigError(f"there is no dead letter {letter}; `stream dead-letters list {target}` shows their ids")
    with value_reader(settings, Path.cwd()) as reader:
        values = {
            **as_object(found[0]),
            "key": reader.read(found[0].key).value,
            "headers": {name: reader.read(value).value for name, value in found[0].headers},
            "value": reader.read(found[0].value).value,
            "bytes": found[0].value.hex() if found[0].value is not None else None,
        }
    if as_json:
        print(to_json(values))
        return
    for name, value in values.items():
        print(f"{name}: {value if isinstance(value, str) else to_json(value)}")


@entry.command()
def replay(
    target: str = APP,
    ids: list[str] | None = typer.Argument(None, metavar="[ID]...", help="Only these; all that are chosen otherwise."),
    error: str = ERROR,
    field: str = FIELD,
    partition: int | None = PARTITION,
    offsets: str = OFFSETS,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be sent."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Send dead letters back to the topic and partition they came from, as they were. No letter is sent twice.

    Fix what was wrong first (the schema, the app, the producer): what still does not fit becomes a dead letter again.

    Example: stream dead-letters replay fraud:app --error unknown_schema --dry-run
    """
    from stream.cli.dead_letters.letters import to_json

    topic, _ = _topic(target, config)
    chosen = _filter(error, field, partition, offsets, frozenset(ids or ()))
    meant = [letter for letter in topic.read() if chosen.takes(letter)]
    waiting = [letter for letter in meant if not letter.is_replayed]
    done = len(meant) - len(waiting)
    if dry_run:
        for letter in waiting:
            print(_line(letter), file=sys.stderr if as_json else sys.stdout)
    elif waiting and sys.stdin.isatty() and not yes:
        typer.confirm(f"send {len(waiting):,} records back to {_sources(waiting)}?", abort=True)
    sent = topic.replay(chosen.takes) if waiting and not dry_run else 0
    if as_json:
        print(to_json({"chosen": len(waiting), "sent": sent, "replayed_before": done, "dry_run": dry_run}))
        return
    before = f"; {done:,} were sent back before" if done else ""
    what = f"would send {len(waiting):,} records" if dry_run else f"sent {sent:,} records"
    print(f"{what} back to {_sources(waiting)}{before}" if waiting else f"nothing to send back{before}")


def _topic(target: str, config: Path | None) -> "tuple[DeadLetterTopic, KafkaSettings]":
    from stream.cli.dead_letters.topic import DeadLetterTopic
    from stream.runtime.loading import load_app
    from stream.runtime.settings import load_settings

    settings = load_settings(config).values
    app = load_app(target).app.name
    kafka = settings.kafka(app)
    return DeadLetterTopic(kafka, settings.topics(app).dead_letters), kafka


def _filter(error: str, field: str, partition: int | None, offsets: str, ids: frozenset[str] = frozenset()) -> "Filter":
    from stream.app.suggest import one_of
    from stream.cli.dead_letters.letters import Filter, parse_offsets
    from stream.records import RejectReason

    if error:
        one_of(error, [reason.value for reason in RejectReason], "--error", "error class")
    return Filter(error, field, partition, parse_offsets(offsets), ids)


def _line(letter: "Letter") -> str:
    place = f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"
    what = f"{letter.field or 'record'}: expected {letter.expected}, got {letter.got}"
    return "\t".join([letter.id, letter.error, place, what, "replayed" if letter.is_replayed else "waiting"])


def _sources(letters: "list[Letter]") -> str:
    return ", ".join(sorted({letter.source_topic for letter in letters}))
