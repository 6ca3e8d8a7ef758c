"""Progress of rows: a bar on a terminal, a line every few seconds elsewhere; on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY_S = 5.0
_BAR_EVERY_S = 0.1


@contextmanager
def row_progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A context whose value is called with the number of rows done so far, after each row or each batch of them.

    Args:
        what: what is done with them.
        total: how many there will be, where that is known.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as show:
            yield _now_and_then(_BAR_EVERY_S, show)
        return

    def say(done: int) -> None:
        print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), file=sys.stderr, flush=True)

    yield _now_and_then(_LINE_EVERY_S, say)


def _now_and_then(seconds: float, show: Callable[[int], object]) -> Callable[[int], None]:
    """`show`, no oftener than so: rows may come one a second, or a hundred thousand."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            show(done)

    return tell


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
