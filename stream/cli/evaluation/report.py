"""An evaluation for people and for programs."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from stream.cli.evaluation.evaluating import Evaluation
from stream.cli.evaluation.measuring import Figures, without_nan

_SHOWN_ALERTS = 20


def as_json(app: str, file: str, found: Evaluation) -> dict[str, Any]:
    """All of it as one object."""
    measured = found.measured
    return {
        "app": app,
        "file": file,
        "events": found.events,
        "evaluated": measured.evaluated if measured else 0,
        "rejected_rows": found.misfits.count,
        "rejections": found.misfits.as_json(),
        "dead_letters": dict(found.ran.rejections),
        "labels": dict(found.ran.labels),
        "models": {name: without_nan(figures) for name, figures in measured.models.items()} if measured else {},
        "baselines": {name: without_nan(figures) for name, figures in measured.baselines.items()} if measured else {},
        "alerts": [{**alert, "placed_row": found.row_of(alert["placed_offset"])} for alert in found.ran.alerts],
        "events_per_s": round(found.events_per_s),
        "engine_seconds": round(found.ran.seconds, 3),
        "compile_seconds": round(found.ran.compile_seconds, 3),
        "state_bytes": found.ran.state_bytes,
    }


def metrics_table(found: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows: models first, then baselines."""
    assert found.measured is not None
    models, baselines = found.measured.models, found.measured.baselines
    names = list(dict.fromkeys(name for figures in models.values() for name in figures))
    rows = [[name, *_cells(figures, names)] for name, figures in models.items()]
    rows += [[f"({name})", *_cells(figures, names)] for name, figures in baselines.items()]
    return ["", *names], rows


def summary_lines(found: Evaluation) -> list[str]:
    """Counts and speed."""
    ran = found.ran
    lines = [
        f"{found.events:,} events, {found.events_per_s:,.0f} events/s in the engine ({ran.seconds:.2f} s; "
        f"{ran.compile_seconds:.1f} s to compile or load its kernels)"
    ]
    if found.measured is None:
        lines.append("no event has a known label: nothing to evaluate (see --label, --labels)")
    else:
        lines.append(f"{found.measured.evaluated:,} events evaluated, each scored before its label was learned")
    if any(ran.labels.values()):
        lines.append("labels: " + ", ".join(f"{count:,} {name}" for name, count in ran.labels.items() if count))
    return lines


def problem_lines(found: Evaluation) -> list[str]:
    """Rows that did not fit, and events that the engine rejected."""
    lines = []
    if found.misfits.count:
        lines += [f"{found.misfits.count:,} rows do not fit the schema", *found.misfits.lines()]
    if found.ran.rejections:
        told = ", ".join(f"{count:,} x {reason}" for reason, count in found.ran.rejections.items())
        lines.append(f"dead letters: {told}")
        for letter in found.ran.dead_letters:
            row = found.row_of(int(letter["offset"]))
            lines.append(f"  row {row:,}: {letter['field']}: expected {letter['expected']}, got {letter['got']}")
    return lines


def alert_lines(found: Evaluation) -> list[str]:
    """Each alert as a sentence, with the row where the change is placed."""
    alerts = found.ran.alerts
    lines = [
        f"{alert['severity']}: {alert['sentence']} (row {found.row_of(alert['placed_offset']):,})" for alert in alerts
    ]
    shown = lines[:_SHOWN_ALERTS]
    return shown + ([f"and {len(lines) - _SHOWN_ALERTS} more"] if len(lines) > _SHOWN_ALERTS else [])


def plain_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Aligned columns without lines, for files and pipes."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _cells(figures: Figures | Mapping[str, float], names: Iterable[str]) -> list[str]:
    values = [figures.get(name, math.nan) for name in names]
    return ["-" if math.isnan(value) else f"{value:.4f}" for value in values]
