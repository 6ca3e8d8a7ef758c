"""Holdings for people: a table on a terminal, plain columns elsewhere."""

import sys
from collections.abc import Sequence

from stream.cli.evaluation.report import plain_table
from stream.cli.state.holdings import Holdings, SnapshotHeld
from stream.cli.state.naming import task_name

# What is in each part of the state (docs/state.md, "Show").
PARTS = {
    "features": "keyed statistics, windows, categories",
    "labels": "events that wait for their label, and labels that wait for their event",
    "model": "what a model has learned",
    "monitor": "detectors of change on signals",
    "evaluation": "how good the models were: ROC-AUC and the like",
    "share": "shares of rejected records, lost labels and other keys, for alerts",
    "stage": "what is counted, or waits for its order, between stages",
}
_HEADER = ("partition", "keys", "bytes", "newest snapshot", "older snapshot", "journal", "lag", "worker")


def print_holdings(tasks: Sequence[Holdings]) -> None:
    """One line a task; below, bytes by part, and what is wrong. Its stage comes first where there are several."""
    header, rows = list(_HEADER), [_row(held) for held in tasks]
    if any(held.stage for held in tasks):
        header, rows = ["stage", *header], [[held.stage, *row] for held, row in zip(tasks, rows, strict=True)]
    if sys.stdout.isatty():
        _print_table(header, rows)
    else:
        print("\n".join(plain_table(header, rows)))
    for line in (*_part_lines(tasks), *_notes(tasks)):
        print(line)


def _row(held: Holdings) -> list[str]:
    snapshots = [_snapshot(each) for each in held.snapshots] + ["-", "-"]
    journal = f"cycles {held.journal.first:,} to {held.journal.last:,}" if held.journal else "not begun"
    lag = ", ".join(f"{each.topic} {each.lag:,}" for each in held.positions)
    return [
        str(held.partition),
        f"{held.keys:,}",
        f"{held.bytes_in_all:,}",
        *snapshots[:2],
        journal,
        lag,
        held.worker.partition(" ")[0] or "-",
    ]


def _snapshot(held: SnapshotHeld) -> str:
    return f"cycle {held.cycle:,}, {_age(held.age_s)} ago"


def _age(seconds: float) -> str:
    """In the largest unit of which it is two at least."""
    for unit, length_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _part_lines(tasks: Sequence[Holdings]) -> list[str]:
    """The parts of all tasks of a stage together, the largest first."""
    parts: dict[str, int] = {}
    for held in tasks:
        for part, size in held.bytes.items():
            name = f"{held.stage}, {part}" if held.stage else part
            parts[name] = parts.get(name, 0) + size
    largest_first = sorted(parts.items(), key=lambda item: -item[1])
    return [f"{name}: {size:,} bytes, {_what_is_in(name)}" for name, size in largest_first]


def _what_is_in(part: str) -> str:
    """Snapshots may be of a release that has other parts."""
    return PARTS.get(part.rpartition(", ")[2].partition("/")[0], "a part of another release")


def _notes(tasks: Sequence[Holdings]) -> list[str]:
    notes = []
    for held in tasks:
        task = task_name(held.stage, held.partition)
        notes += [f"{task}: damaged: {text}" for text in held.damaged]
        if held.journal and not held.snapshots:
            notes.append(f"{task}: no usable snapshot: a restart replays all of its journal")
        if held.refused:
            notes.append(f"{task}: {held.refused}")
        elif held.journal and not held.journal.is_of_this_app:
            notes.append(
                f"{task}: its last cycle was written by another version of the app or its "
                f"libraries; when this one starts, {_what_is_kept(held)}"
            )
        if held.labels_waiting:
            notes.append(f"{task}: {held.labels_waiting:,} events wait for their label")
    return notes


def _what_is_kept(held: Holdings) -> str:
    if not held.snapshots:
        return "nothing is there that it could go on with"
    return f"{', '.join(held.anew)} begin anew, and all else keeps its state" if held.anew else "all keeps its state"


def _print_table(header: Sequence[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in header:
        table.add_column(name, justify="right" if name in ("keys", "bytes") else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
