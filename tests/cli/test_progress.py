"""Progress of rows: lines every few seconds off a terminal, a bar on one, neither on stdout."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from stream.cli import progress
from stream.cli.progress import row_progress


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        """As a terminal does."""
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Sets the time."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.s))
    yield lambda seconds: setattr(now, "s", seconds)


def test_off_a_terminal_a_line_comes_every_five_seconds(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """However fast rows come: a hundred a second, then one in three seconds; with the total where it is known."""
    with row_progress("reading", 1_200) as advance:
        for done in range(1, 1_201):
            clock(done / 100)
            advance(done)
    assert capsys.readouterr() == ("", "reading: 500 of 1,200\nreading: 1,000 of 1,200\n")
    clock(0.0)
    with row_progress("producing to orders", None) as advance:
        for done in range(1, 5):
            clock(3.0 * done)
            advance(done)
    assert capsys.readouterr() == ("", "producing to orders: 2\nproducing to orders: 4\n")


def test_on_a_terminal_a_bar_goes_on_with_the_rows(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many of how many, on stderr."""
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with row_progress("evaluating", 1_024) as advance:
        clock(1.0)
        advance(512)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stderr.getvalue())
    assert re.search(r"evaluating .* 512/1024 ", drawn)
    assert capsys.readouterr().out == ""
