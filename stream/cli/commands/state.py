"""`stream state`: what the tasks of an app hold, and what an operator does about it."""

import json
import sys
from pathlib import Path

import typer

entry = typer.Typer()

APP = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app")
PARTITIONS = typer.Option(None, "--partition", min=0, help="Of this partition only; may be given several times.")
STAGE = typer.Option(
    None, "--stage", metavar="NAME", help="Of this stage only (entry, by-..., last), where the app has several."
)
CONFIG = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here.")
AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@entry.callback()
def _group() -> None:
    """What the tasks of an app hold: show it, verify it, bring it up to the journal, or start anew."""


@entry.command()
def show(
    target: str = APP,
    partition: list[int] | None = PARTITIONS,
    stage: str | None = STAGE,
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Show what each task of each stage holds: keys, bytes by part, snapshots, journal, and how far it is behind.

    Reads alone, outside the group: workers may run, or none. Keys and bytes are those of the newest snapshot, which is
    read whole to see that it is intact; what came behind it is in the worker's memory, and in its metrics.

    Example: stream state show fraud:app
    """
    from stream.cli.state.holdings import as_object
    from stream.cli.state.opening import open_app, read_holdings
    from stream.cli.state.tables import print_holdings

    opened = open_app(target, config)
    held = read_holdings(opened.chosen_stages(stage), partition)
    if as_json:
        print(json.dumps({"app": opened.name, "tasks": [as_object(each) for each in held]}))
    else:
        print_holdings(held)


@entry.command()
def verify(
    target: str = APP,
    partition: list[int] | None = PARTITIONS,
    begin: str = typer.Option(
        "", "--from", help="beginning, or snapshot (the older one); beginning where the journal still has it."
    ),
    stage: str | None = STAGE,
    config: Path | None = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Rebuild each task beside its worker, and compare it bit for bit with its newest snapshot.

    The journal is replayed with the code of a restore up to the very cycle of the snapshot; nothing is written, and
    workers go on. The journal is kept from the older snapshot on unless journal_retention = "all", and events as long
    as their topic keeps them: the cycles that could be verified are named. Exit status 1 if a task differs, a
    snapshot is damaged, or none could be verified.

    Example: stream state verify fraud:app --partition 0
    """
    from stream.cli.state import verifying
    from stream.cli.state.opening import open_app
    from stream.errors import ConfigError

    if begin not in ("", verifying.BEGINNING, verifying.SNAPSHOT):
        raise ConfigError(f"--from {begin}: beginning or snapshot was expected")
    found = verifying.verify(open_app(target, config).chosen_stages(stage), partition, begin, _say)
    if as_json:
        print(json.dumps({"tasks": [verifying.as_object(each) for each in found]}))
    else:
        print("\n".join(line for each in found for line in verifying.lines(each)))
    is_wrong = any((each.rebuilt_from and not each.is_identical) or each.damaged for each in found)
    raise typer.Exit(1 if is_wrong or not any(each.is_identical for each in found) else 0)


@entry.command()
def reset(
    target: str = APP,
    partition: list[int] | None = PARTITIONS,
    yes: bool = typer.Option(False, "--yes", help="Do not ask: for scripts."),
    config: Path | None = CONFIG,
) -> None:
    """Start tasks anew: what they have learned is lost. Asks first, and refuses while a worker runs.

    Offsets, journal and snapshots of the tasks are deleted; predictions, alerts and dead letters stay. At the next
    start each of them begins where `offset_reset` says: with `earliest`, every event that is still there is predicted
    once more, under the same id.

    An app with stages begins anew as a whole: --partition is refused, and what is on its way between stages is deleted
    too.

    Example: stream state reset fraud:app --partition 3
    """
    from stream.cli.state import resetting
    from stream.cli.state.naming import task_name
    from stream.cli.state.opening import open_app, read_holdings
    from stream.cli.state.tables import print_holdings
    from stream.errors import ConfigError, TaskCorrupted

    opened = open_app(target, config)
    resetting.check_reset(opened, partition)
    noun = "These tasks lose"
    try:
        held = read_holdings(opened.stages, partition)
        print_holdings(held)
        noun = "This task loses" if len(held) == 1 else f"These {len(held)} tasks lose"
    except TaskCorrupted as error:  # one more reason to start anew
        print(f"what they hold cannot be read: {error}")
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nobody is there to ask: give --yes to start these tasks anew")
        typer.confirm(f"{noun} all of this, for good, and {opened.name} begins anew there. Go on?", abort=True)
    resetting.reset(opened, partition, lambda stage, number: print(f"{task_name(stage.name, number)}: begins anew"))


@entry.command("catch-up")
def catch_up(
    target: str = APP, stage: str | None = STAGE, config: Path | None = CONFIG, as_json: bool = AS_JSON
) -> None:
    """Bring every task to the end of its journal and leave a snapshot there, as a clean stop would have.

    For a crash together with an upgrade: another version of the app cannot replay this one's journal. Run it with the
    old version of app and libraries while no worker runs; nothing new is consumed. Then start the new version: parts
    whose definition did not change keep their state.

    Example: stream state catch-up fraud:app
    """
    from stream.cli.state import catching_up
    from stream.cli.state.naming import task_name
    from stream.cli.state.opening import open_app

    done = catching_up.catch_up(open_app(target, config).chosen_stages(stage), _say)
    if as_json:
        print(json.dumps({"tasks": [catching_up.as_object(each) for each in done]}))
        return
    for each in done:
        task = task_name(each.stage, each.partition)
        if each.is_written:
            print(f"{task}: snapshot of cycle {each.cycle:,} written")
        else:
            what = f"its snapshot is that of its last cycle {each.cycle:,}" if each.cycle else "it has not begun"
            print(f"{task}: nothing to do, {what}")


def _say(what: str) -> None:
    print(f"stream state: {what}", file=sys.stderr, flush=True)
