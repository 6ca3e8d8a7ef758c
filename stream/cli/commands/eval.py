"""`stream eval`: the engine over a file."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stream.cli.evaluation.evaluating import Evaluation


def entry(
    target: str = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app"),
    file: Path = typer.Argument(help="Its events: CSV, JSON lines, Parquet or Arrow, in stream order."),
    columns: str = typer.Option("", help="Take only these, FIELD=COLUMN or FIELD, separated by commas."),
    label: str = typer.Option("", help="Column with the label, of an app with a label topic or without labels."),
    label_time: str = typer.Option("", help="Column with the time at which the label became known."),
    label_delay: str = typer.Option("", help="Or: so long after its event, e.g. 7d. At once if neither is given."),
    labels: Path | None = typer.Option(None, help="A file with the labels; the events' file if not given."),
    rejects: Path | None = typer.Option(None, help="Write rows that do not fit to this file, as JSON lines."),
    format: str = typer.Option("", help="csv, jsonl, parquet or arrow; by the file's name if not given."),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Run an app over a file, without a broker, and show what its predictions were worth beside baselines.

    It is the engine that runs live: each event is scored, then learned from when its label is known. The time field
    gives the records' timestamps. Rows that do not fit are reported; the exit status is then 1.

    Example: stream eval fraud:app payments.parquet --label is_fraud --label-delay 7d
    """
    from stream.cli.evaluation.evaluating import evaluate
    from stream.cli.evaluation.loading import LabelSource
    from stream.cli.evaluation.report import as_json as evaluation_as_json
    from stream.cli.files.encoding import parse_columns
    from stream.cli.files.opening import open_rows
    from stream.runtime.loading import load_app
    from stream.runtime.settings import load_settings
    from stream.runtime.worker import use_kernel_cache

    opened = open_rows(file, format)
    use_kernel_cache(load_settings(config).values)
    plan = load_app(target).plan
    source = LabelSource(labels, label, label_time, label_delay)
    found = evaluate(plan, opened, parse_columns(columns), source, rejects)
    if as_json:
        print(json.dumps(evaluation_as_json(plan.app, str(file), found)))
    else:
        _print(plan.app, file, found)
    raise typer.Exit(1 if found.misfits.count or found.ran.rejections else 0)


def _print(app: str, file: Path, found: "Evaluation") -> None:
    from stream.cli.evaluation.report import alert_lines, metrics_table, plain_table, problem_lines, summary_lines

    print(f"{app} over {file.name}")
    if found.measured is not None:
        header, rows = metrics_table(found)
        if sys.stdout.isatty():
            _print_table(header, rows)
        else:
            print("\n".join(plain_table(header, rows)))
    for line in summary_lines(found):
        print(line)
    if alerts := alert_lines(found):
        print(f"{len(found.ran.alerts)} alerts:")
        print("\n".join(f"  {line}" for line in alerts))
    else:
        print("no alerts")
    for line in problem_lines(found):
        print(line, file=sys.stderr)


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(header[0])
    for name in header[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row, style="dim" if row[0].startswith("(") else None)
    Console().print(table)
