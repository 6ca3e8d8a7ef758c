"""The command line: `stream COMMAND`. Only the module of the command at hand is imported, so that help is quick."""

import errno
import os
import sys
from importlib import import_module

import typer

from stream.errors import StreamError
from stream.kafka.client_name import clients_of
from stream.runtime.hash_order import keep_order_of_sets

# Command, and what the list says of it. Its module is stream.cli.commands.<command, "-" as "_">.
COMMANDS = {
    "demo": "A real Kafka, a worker and a stream of events, shown live: fraud, spam or bank.",
    "init": "Begin an app: a small project that runs as it is.",
    "check": "Find what is wrong with an app before anything runs.",
    "topics": "The topics of an app: create them, or the plan for an administrator.",
    "produce": "Send the rows of a file (CSV, JSON lines, Parquet, Arrow) to a topic.",
    "tail": "Print the records of a topic, decoded.",
    "eval": "Run the same engine over a file, and show how good the models are.",
    "dead-letters": "Rejected records: list, show, replay after a fix.",
    "run": "Run a worker: it reads events, predicts, learns, and commits all of it together.",
    "state": "What the tasks of an app hold: show, verify, catch-up after a crash with an upgrade, reset.",
    "broker": "A real Kafka and schema registry on this machine: up, down, status.",
    "alerts": "What drifted, and what operators did about it: list, show, ack, resolve.",
    "control": "Run the control plane of an app, which keeps what operators did about its alerts.",
}

# Commands that learn, or compare what was learned: bits must not depend on the process.
LEARNING = ("check", "eval", "run", "state")

# Whose clients have the names of workers: those of the others are not to be taken for one.
WORKER = "run"

DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "it is read-only",
}


def main() -> None:
    """Run the command that the arguments name.

    Errors that say what to do (StreamError) are shown as one message on stderr, with exit status 1; wrong arguments
    exit with 2, Ctrl-C with 130.
    """
    wanted = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    if wanted in LEARNING:
        keep_order_of_sets()
    app = make_app(wanted)
    try:
        with clients_of("" if wanted == WORKER else wanted):
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except StreamError as error:
        fail(str(error))
    except BrokenPipeError:
        # Whoever read the output has enough (`| head`); Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno in DISK_ERRORS:
            fail(f"{error.filename or 'A file'} cannot be written: {DISK_ERRORS[error.errno]}.")
        if error.filename is None:  # not a file that a user named
            raise
        fail(f"{error.filename} cannot be opened: {error.strerror}.")


def make_app(wanted: str) -> typer.Typer:
    """The Typer app, in which only the wanted command is more than its line in the list.

    Args:
        wanted: a command's name; any other text gives the list alone.
    """
    app = typer.Typer(
        name="stream",
        help="Streaming real-time inference on Kafka with exactly-once online learning.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name, summary in COMMANDS.items():
        entry = import_module(f"stream.cli.commands.{name.replace('-', '_')}").entry if name == wanted else _listed
        if isinstance(entry, typer.Typer):
            app.add_typer(entry, name=name, help=summary, no_args_is_help=True)
        else:
            app.command(name, help=summary if entry is _listed else None)(entry)
    return app


def fail(message: str) -> None:
    """Show one message on stderr, as a line of the log where that is JSON, and exit with status 1."""
    import structlog  # only here: most commands log nothing

    from stream.runtime import logs

    if logs.are_json():
        structlog.get_logger("stream").error(message)
    else:
        print(f"stream: {message}", file=sys.stderr)
    sys.exit(1)


def _listed() -> None:
    """Stands for a command in the list of all."""


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # which takes longer than all else that the list of commands needs

        print(f"stream {version('stream-learn')}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Options before the command."""


if __name__ == "__main__":
    main()
