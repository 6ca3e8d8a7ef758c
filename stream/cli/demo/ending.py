"""What a demo leaves behind: a table, what to try next, or one JSON object."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from stream.cli.demo.demos import DEMOS
from stream.cli.demo.figures import Result
from stream.cli.demo.views import number

_ALERTS_LISTED: Final = 4


def print_ending(result: Result, console: Console) -> None:
    """The summary, on a terminal or as plain lines."""
    rows = _rows(result)
    if console.is_terminal:
        table = Table(
            title=f"stream demo {result.demo.name}: {result.demo.data}", show_header=False, title_justify="left"
        )
        for name, value in rows:
            table.add_row(name, value)
        console.print(table)
    else:
        for name, value in rows:
            console.print(f"{name}: {value}" if name else f"  {value}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for line in _next_steps(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rows(result: Result) -> list[tuple[str, str]]:
    figures, baseline = result.figures, result.figures.baseline
    downloads = f", after {result.download_s:.0f} s of downloads" if result.download_s >= 1 else ""
    rows = [
        ("data", result.demo.data),
        ("events, predictions", f"{figures.events:,}, {figures.predictions:,}"),
        ("events/s", number(figures.events_per_s, ",.0f")),
        ("latency", f"p50 {number(figures.p50_ms, '.0f')} ms, p99 {number(figures.p99_ms, '.0f')} ms"),
        ("ROC-AUC", f"{number(figures.roc_auc, '.3f')} (baseline {number(baseline.roc_auc, '.3f')}, {baseline.name})"),
        ("PR-AUC", f"{number(figures.pr_auc, '.3f')} (baseline {number(baseline.pr_auc, '.3f')}, {baseline.name})"),
        ("dead letters", ", ".join(letter.error for letter in figures.dead_letters) or "none"),
        ("first prediction", f"{result.first_prediction_s:.1f} s after the start{downloads}"),
        ("alerts", f"{len(figures.alerts)}{', the first' if len(figures.alerts) > _ALERTS_LISTED else ''}"),
    ]
    rows += [("", alert["sentence"]) for alert in figures.alerts[:_ALERTS_LISTED]]
    placed = result.first_placed
    if figures.change_place:
        found = f"; the first alert behind it places it at {placed['placed_record']:,}" if placed else "; not found yet"
        rows.append(("change of the pattern", f"at {figures.change_place}{found}"))
    return rows


def _next_steps(result: Result) -> list[str]:
    stream = _command()
    others = " or ".join(f"{stream} demo {name}" for name in DEMOS if name != result.demo.name)
    end = [f"All {result.demo.rows:,} rows were sent; the stream ends there."] if _is_exhausted(result) else []
    return [
        *end,
        "Next:",
        f"  read the app        {result.demo.source}",
        f"  another stream      {others}",
        f"  a higher rate       {stream} demo {result.demo.name} --rate {result.demo.rate * 5:.0f}",
        f"  your own app        {stream} init myapp",
    ]


def _command() -> str:
    """This command as it is typed from here: `make demo` runs one that is not on the PATH."""
    own, found = Path(sys.executable).with_name("stream"), shutil.which("stream")
    if found is not None and Path(found).parent == own.parent:
        return "stream"
    here = os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)
    return shlex.quote(here)


def _is_exhausted(result: Result) -> bool:
    return result.demo.rows is not None and result.figures.events >= result.demo.rows
