"""How long work is shown: a moving bar on a terminal, plain lines elsewhere. Both write to stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

MEGABYTE = 1_000_000


AdvanceBy = Callable[[int, str], None]


class Report(Protocol):
    """Where long work says how far it is."""

    def say(self, text: str) -> None:
        """Show one line."""
        ...

    def downloading(self, what: str, total_bytes: int) -> AbstractContextManager[AdvanceBy]:
        """A context whose value is called with the bytes that arrived and the name of their file."""
        ...


class PlainReport:
    """Lines of text, one for each tenth of a download."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def say(self, text: str) -> None:
        """Print the line."""
        print(text, file=self._stream or sys.stderr, flush=True)

    @contextmanager
    def downloading(self, what: str, total_bytes: int) -> Iterator[AdvanceBy]:
        """Print the total first, then a line whenever another tenth is there."""
        arrived = tenths = 0
        self.say(f"downloading {what}, {total_bytes / MEGABYTE:.0f} MB")

        def advance(count: int, name: str) -> None:
            nonlocal arrived, tenths
            arrived += count
            if arrived * 10 // total_bytes > tenths:
                tenths = arrived * 10 // total_bytes
                self.say(f"  {arrived / MEGABYTE:.0f} of {total_bytes / MEGABYTE:.0f} MB ({name})")

        yield advance


class TerminalReport:
    """A bar with bytes, speed and the name of the file at hand."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print the line, dimmed."""
        self._console.print(text, style="dim", highlight=False)

    @contextmanager
    def downloading(self, what: str, total_bytes: int) -> Iterator[AdvanceBy]:
        """Show the bar while the context lasts."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("[dim]{task.fields[name]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(f"downloading {what}", total=total_bytes, name="")

            def advance(count: int, name: str) -> None:
                progress.update(task, advance=count, name=name)

            yield advance


def report_for(console: Console | None = None) -> Report:
    """The report that suits the console (stderr's by default)."""
    chosen = console or Console(stderr=True)
    return TerminalReport(chosen) if chosen.is_terminal else PlainReport()
