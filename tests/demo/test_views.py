"""What a demo shows on a terminal, without one, and at its end."""

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stream.cli.demo.demos import DEMOS
from stream.cli.demo.ending import print_ending
from stream.cli.demo.figures import Figures, Result
from stream.cli.demo.receiver import DeadLetter
from stream.cli.demo.scores import Baseline
from stream.cli.demo.views import LiveView, open_view

NAN = float("nan")
ALERT = {
    "kind": "DRIFT",
    "severity": "WARNING",
    "sentence": "card-fraud/champion, partition 0: the error rose",
    "offset": 16_000,
    "record": 16_000,
    "placed_offset": 15_100,
    "placed_record": 15_100,
}


def figures(elapsed_s: float, alerts: int = 0, letters: int = 0, roc_auc: float = 0.9) -> Figures:
    """Figures at some moment of a run."""
    return Figures(
        elapsed_s=elapsed_s,
        events=30_000,
        predictions=29_900,
        events_per_s=1_990.0,
        p50_ms=80.0,
        p99_ms=160.0,
        judged=28_000,
        roc_auc=roc_auc,
        pr_auc=0.5,
        baseline=Baseline("prior", 0.5, 0.06),
        dead_letters=[DeadLetter(2, 7_500, "truncated", "payment_id", "a text", "too few bytes")] * letters,
        alerts=[ALERT] * alerts,
        changed_at=15_000,
    )


def plain() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def lines(console: Console) -> list[str]:
    """What was printed on it."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_without_a_terminal_each_alert_and_dead_letter_is_a_line_of_its_own() -> None:
    """Shown twice, they are printed once; figures come every five seconds."""
    console = plain()
    with open_view(DEMOS["fraud"], console, 15.0) as view:
        for elapsed_s in (0.5, 1.0, 2.0, 5.1, 5.6):
            view.show(figures(elapsed_s, alerts=1, letters=1))
    said = lines(console)
    assert "SIMULATED" in said[0]
    assert said[1] == "ALERT WARNING: card-fraud/champion, partition 0: the error rose"
    assert said[2] == "DEAD LETTER offset 7,500: truncated, got too few bytes"
    assert [line.split(" of ")[0].strip() for line in said[3:]] == ["1", "5"]
    assert "ROC-AUC 0.900 (baseline 0.500)" in said[3]


def test_with_several_partitions_each_dead_letter_says_of_which_it_is() -> None:
    """An offset is of a partition; where the pattern changed is a number of records, and no offset of any."""
    several = replace(figures(2.0, alerts=1, letters=1), partitions=4)
    console, drawn = plain(), terminal()
    for each in (console, drawn):
        with open_view(DEMOS["fraud"], each, 60.0) as view:
            view.show(several)
    print_ending(Result(DEMOS["fraud"], several, 9.5, 0.0), console)

    said = lines(console)
    assert "DEAD LETTER partition 2, offset 7,500: truncated, got too few bytes" in said
    assert "change of the pattern: at record 15,000; the first alert behind it places it at 15,100" in said
    seen = screen(drawn)
    assert "dead letter partition 2, offset 7,500: truncated, got too few bytes" in seen
    assert "(the simulated fraud pattern changed at record 15,000)" in seen


def terminal() -> Console:
    """A terminal whose screen is kept as text; wide enough for each sentence to stay on its line."""
    return Console(file=io.StringIO(), force_terminal=True, width=150, _environ={"TERM": "xterm"})


def screen(console: Console) -> str:
    """What was drawn on it since it was looked at last, without colours; spaces that align are one."""
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    console.file.truncate(0)
    return re.sub(r" +", " ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn))


def test_on_a_terminal_the_figures_stand_still_and_the_news_below_them() -> None:
    """A panel that is drawn anew: figures beside their baselines, the newest alerts and dead letters."""
    console = terminal()
    with open_view(DEMOS["fraud"], console, 60.0) as view:
        assert isinstance(view, LiveView)
        view.show(figures(12.4, alerts=1, letters=7))
        drawn = screen(console)
    for said in (
        "SIMULATED card payments",
        "events sent 30,000 ROC-AUC so far 0.900 baseline 0.500",
        "predictions 29,900 PR-AUC so far 0.500 baseline 0.060",
        "events/s 1,990 truth known of 28,000 predictions",
        "latency p50 80 ms dead letters 7",
        "latency p99 160 ms alerts 1",
        "WARNING card-fraud/champion, partition 0: the error rose",
        "(the simulated fraud pattern changed at offset 15,000)",
        "dead letter offset 7,500: truncated, got too few bytes",
        "12 of 60 s, Ctrl-C stops",
    ):
        assert said in drawn
    assert drawn.count("dead letter offset") == 5


def test_a_terminal_shows_a_dash_for_what_is_not_known_yet() -> None:
    """At the first moment nothing is: no figure is nan, and the time does not pass its end."""
    console = terminal()
    nothing = replace(
        figures(0.0, roc_auc=NAN), events_per_s=NAN, p50_ms=NAN, p99_ms=NAN, pr_auc=NAN, changed_at=None, judged=0
    )
    with open_view(DEMOS["fraud"], console, 60.0) as view:
        view.show(replace(nothing, baseline=Baseline("prior", NAN, NAN)))
        first = screen(console)
        view.show(replace(nothing, elapsed_s=61.5))
        second = screen(console)
    assert "ROC-AUC so far - baseline -" in first
    assert "latency p50 - " in first
    assert "nan" not in first + second
    assert "60 of 60 s" in second


def test_a_real_stream_ends_with_its_rows() -> None:
    """A high rate plans no more events than there are: poisoned records go out at shares of these."""
    assert DEMOS["spam"].events_in(60.0, 450.0) == 5_574
    assert DEMOS["spam"].events_in(2.0, 450.0) == 900
    assert DEMOS["fraud"].events_in(60.0, 1e5) == 6_000_000
    assert DEMOS["fraud"].events_in(0.1, 0.1) == 1


def test_the_ending_says_where_the_change_was_and_where_it_was_placed() -> None:
    """Beside the figures and their baselines, and what to try next."""
    console = plain()
    print_ending(Result(DEMOS["fraud"], figures(15.0, alerts=1, letters=1), 9.5, 0.0), console)
    said = "\n".join(lines(console))
    assert "change of the pattern: at offset 15,000; the first alert behind it places it at 15,100" in said
    assert "first prediction: 9.5 s after the start" in said
    assert "stream demo spam" in said


def test_commands_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a clone whose environment is not activated, from elsewhere, and where `stream` is on the PATH."""

    def other_stream() -> str:
        console = plain()
        print_ending(Result(DEMOS["fraud"], figures(15.0), 9.5, 0.0), console)
        (line,) = [line for line in lines(console) if "another stream" in line]
        return line.split()[2]

    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "stream").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert other_stream() == ".venv/bin/stream"

    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    assert other_stream() == f"{programs}/stream"

    monkeypatch.setenv("PATH", str(programs))
    assert other_stream() == "stream"


def test_downloads_are_told_apart_from_the_start() -> None:
    """A cold start says how long the downloads took."""
    console = plain()
    print_ending(Result(DEMOS["fraud"], figures(15.0), 60.0, 45.0), console)
    assert "first prediction: 60.0 s after the start, after 45 s of downloads" in lines(console)


def test_a_figure_that_is_not_defined_is_null_in_json() -> None:
    """NaN is no JSON."""
    assert Result(DEMOS["spam"], figures(1.0, roc_auc=NAN), 9.0, 0.0).as_json()["roc_auc"] is None
