"""`stream tail`: the records of a topic, decoded."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stream.errors import ConfigError

if TYPE_CHECKING:
    from stream.cli.tailing.reading import TopicReader

_LAST = 10


def entry(
    topic: str = typer.Argument(help="Any topic: events, predictions, alerts, dead letters, a journal."),
    count: int | None = typer.Option(
        None, "-n", "--count", min=0, help=f"How many, at most; {_LAST} from the end if unsaid."
    ),
    start: str = typer.Option("end", "--from", help="end (the last records), beginning, or an offset."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on with new records, until Ctrl-C."),
    partition: int | None = typer.Option(None, min=0, help="Only this partition."),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a record."),
) -> None:
    """Print records of a topic: partition/offset, time, key, headers, value. Aborted ones are left out.

    Avro is decoded with the registry's schemas, in single-object encoding with the project's own and those of this
    folder; then JSON and text; the rest is hex.

    Example: stream tail card-fraud.predictions -n 3 --follow
    """
    from stream.cli.connection import existing_topic, kafka_settings, reachable_admin
    from stream.cli.tailing.printing import as_line, as_object, say, to_json
    from stream.cli.tailing.reading import TopicReader
    from stream.cli.tailing.sources import value_reader

    settings = kafka_settings(config)
    state = existing_topic(
        reachable_admin(settings), topic, "`stream topics create APP --inputs` creates those of an app"
    )
    if partition is not None and partition >= state.partitions:
        raise ConfigError(f"{topic} has {state.partitions} partitions, numbered from 0: there is no {partition}")
    partitions = range(state.partitions) if partition is None else [partition]
    with value_reader(settings, Path.cwd()) as values, TopicReader(settings, topic, partitions) as reader:
        is_silent = True
        for message in _messages(reader, start, count, follow):
            is_silent = False
            record = as_object(message, values)
            say(to_json(record) if as_json else as_line(record))
        if is_silent and count != 0:
            is_empty = all(each.low == each.high for each in reader.bounds().values())
            print(f"{topic} is empty" if is_empty else f"{topic} has no record there", file=sys.stderr)


def _messages(reader: "TopicReader", start: str, count: int | None, follow: bool) -> Iterator[Any]:
    bounds = reader.bounds()
    if start == "end":
        yield from reader.last(_LAST if count is None else count, bounds)
        if follow:
            yield from reader.follow({partition: each.high for partition, each in bounds.items()})
        return
    if start == "beginning":
        starts = {partition: each.low for partition, each in bounds.items()}
    else:
        if not start.isdecimal():
            raise ConfigError(f"--from {start}: end, beginning or an offset was expected")
        starts = {partition: max(int(start), each.low) for partition, each in bounds.items()}
    yield from islice(reader.follow(starts) if follow else reader.until_end(starts, bounds), count)
