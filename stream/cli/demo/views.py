"""How a running demo is shown: a live view on a terminal, plain lines elsewhere."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.cli.demo.demos import Demo
from stream.cli.demo.figures import Figures

_LINE_EVERY_S: Final = 5.0
_SHOWN: Final = 5  # newest alerts and dead letters in the live view
_SEVERITIES: Final = {"CRITICAL": "bold red", "WARNING": "yellow", "INFO": "cyan"}


class View(Protocol):
    """Where figures are shown."""

    refresh_s: float

    def show(self, figures: Figures) -> None:
        """Show how things stand."""
        ...


class PlainView:
    """A line every five seconds, and each alert and dead letter as it comes."""

    refresh_s = 0.5

    def __init__(self, demo: Demo, console: Console, seconds: float) -> None:
        self._console = console
        self._seconds = seconds
        self._due_s = 1.0
        self._alerts = self._dead_letters = 0
        self._say(f"{demo.title}: {demo.data}")

    def show(self, figures: Figures) -> None:
        """Print what is new."""
        for alert in figures.alerts[self._alerts :]:
            self._say(f"ALERT {alert['severity']}: {alert['sentence']}")
        for letter in figures.dead_letters[self._dead_letters :]:
            self._say(f"DEAD LETTER {figures.place_of(letter)}: {letter.error}, got {letter.got}")
        self._alerts, self._dead_letters = len(figures.alerts), len(figures.dead_letters)
        if figures.elapsed_s >= self._due_s:
            self._due_s = figures.elapsed_s - figures.elapsed_s % _LINE_EVERY_S + _LINE_EVERY_S
            self._say(_line(figures, self._seconds))

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A screen that is drawn anew a few times a second."""

    refresh_s = 0.25

    def __init__(self, demo: Demo, live: Live, seconds: float) -> None:
        self._demo = demo
        self._live = live
        self._seconds = seconds

    def show(self, figures: Figures) -> None:
        """Draw it."""
        self._live.update(self._screen(figures), refresh=True)

    def _screen(self, figures: Figures) -> RenderableType:
        title = f"stream demo {self._demo.name}: {self._demo.title}"
        done = f"{min(figures.elapsed_s, self._seconds):.0f} of {self._seconds:.0f} s, Ctrl-C stops"
        return Panel(
            Group(Text(self._demo.data, "bold yellow"), Text(), _table(figures), Text(), *_news(figures)),
            title=title,
            subtitle=done,
            title_align="left",
            subtitle_align="right",
        )


@contextmanager
def open_view(demo: Demo, console: Console, seconds: float) -> Iterator[View]:
    """The view that suits the console."""
    if not console.is_terminal:
        yield PlainView(demo, console, seconds)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveView(demo, live, seconds)


def number(value: float, form: str, unit: str = "") -> str:
    """A figure, or a dash where it is not defined."""
    return f"{value:{form}}{unit}" if math.isfinite(value) else "-"


def _line(figures: Figures, seconds: float) -> str:
    baseline = figures.baseline
    return (
        f"{figures.elapsed_s:3.0f} of {seconds:.0f} s: {figures.predictions:,} predictions, "
        f"{number(figures.events_per_s, ',.0f')} events/s, "
        f"latency p50 {number(figures.p50_ms, '.0f')} p99 {number(figures.p99_ms, '.0f')} ms, "
        f"ROC-AUC {number(figures.roc_auc, '.3f')} (baseline {number(baseline.roc_auc, '.3f')}), "
        f"PR-AUC {number(figures.pr_auc, '.3f')} (baseline {number(baseline.pr_auc, '.3f')}), "
        f"{len(figures.dead_letters)} dead letters, {len(figures.alerts)} alerts"
    )


def _table(figures: Figures) -> Table:
    table = Table.grid(padding=(0, 3))
    baseline = figures.baseline
    table.add_row("events sent", f"{figures.events:,}", "ROC-AUC so far", _against(figures.roc_auc, baseline.roc_auc))
    table.add_row("predictions", f"{figures.predictions:,}", "PR-AUC so far", _against(figures.pr_auc, baseline.pr_auc))
    table.add_row("events/s", number(figures.events_per_s, ",.0f"), "truth known of", f"{figures.judged:,} predictions")
    table.add_row("latency p50", number(figures.p50_ms, ".0f", " ms"), "dead letters", str(len(figures.dead_letters)))
    table.add_row("latency p99", number(figures.p99_ms, ".0f", " ms"), "alerts", str(len(figures.alerts)))
    return table


def _against(value: float, baseline: float) -> Text:
    return Text.assemble((number(value, ".3f"), "bold green"), f"  baseline {number(baseline, '.3f')}")


def _news(figures: Figures) -> Iterator[Text]:
    """The newest alerts and dead letters; a line each, or two."""
    for alert in figures.alerts[-_SHOWN:]:
        severity = alert["severity"]
        yield Text.assemble((f"{severity} ", _SEVERITIES.get(severity, "")), alert["sentence"])
    if figures.change_place:
        yield Text(f"(the simulated fraud pattern changed at {figures.change_place})", "dim")
    for letter in figures.dead_letters[-_SHOWN:]:
        told = f"{figures.place_of(letter)}: {letter.error}, got {letter.got}"
        yield Text.assemble(("dead letter ", "magenta"), told)
