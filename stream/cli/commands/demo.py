"""`stream demo`: a real Kafka, a worker, a stream of events, and what becomes of them."""

import json
import signal
from enum import StrEnum
from pathlib import Path

import typer

DOWNLOADS = typer.Option(None, envvar="STREAM_DOWNLOADS", help="Where downloads are kept; the user's cache folder.")
CACHE = typer.Option(None, envvar="STREAM_CACHE", help="Folder of compiled kernels; the user's cache folder.")


class Name(StrEnum):
    """Which demo."""

    FRAUD = "fraud"
    SPAM = "spam"
    BANK = "bank"


def entry(
    name: Name = typer.Argument(Name.FRAUD, help="fraud is simulated, spam and bank are real data."),
    seconds: float = typer.Option(60.0, min=1.0, help="How long events are sent."),
    rate: float | None = typer.Option(None, min=0.1, help="Events a second; each demo has its own default."),
    seed: int = typer.Option(1, min=0, help="Of what is simulated."),
    partitions: int = typer.Option(
        1,
        min=1,
        max=64,
        help="Of each topic. With several, fraud's features by terminal come from another stage.",
    ),
    as_json: bool = typer.Option(False, "--json", help="End with one JSON object; progress goes to stderr."),
    keep: bool = typer.Option(False, "--keep", help="Leave Kafka's data and the logs in their folder."),
    downloads: Path | None = DOWNLOADS,
    cache: Path | None = CACHE,
) -> None:
    """Start a real Kafka and a worker, stream events through them, and show what becomes of them. Ctrl-C stops it all.

    Example: stream demo spam --seconds 30
    """
    from stream.cli.demo.run import run_demo
    from stream.cli.demo.stage import Places

    # As Ctrl-C does: whatever was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    places = Places(downloads, cache.absolute() if cache else None)
    result = run_demo(
        name.value,
        places,
        seconds=seconds,
        rate=rate,
        seed=seed,
        keep=keep,
        as_json=as_json,
        partitions=partitions,
    )
    if as_json:
        print(json.dumps(result.as_json()))
