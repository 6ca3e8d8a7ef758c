"""Progress of rows: a bar on a terminal, a line every few seconds elsewhere; on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY_S = 5.0
_SHOW_EVERY = 256


@contextmanager
def row_progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A context whose value is called with the number of rows done so far.

    Args:
        what: what is done with them.
        total: how many there will be, where that is known.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
        return
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if done % _SHOW_EVERY == 0 and time.monotonic() - last > _LINE_EVERY_S:
            last = time.monotonic()
            print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)

    yield tell


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)

        def advance(done: int) -> None:
            if done % _SHOW_EVERY == 0:
                progress.update(task, completed=done)

        yield advance
