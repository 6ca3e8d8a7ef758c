"""What a demo shows without a terminal, and at its end."""

import io

from rich.console import Console

from stream.cli.demo.demos import DEMOS
from stream.cli.demo.ending import print_ending
from stream.cli.demo.figures import Figures, Result
from stream.cli.demo.receiver import DeadLetter
from stream.cli.demo.scores import Baseline
from stream.cli.demo.views import open_view

NAN = float("nan")
ALERT = {
    "kind": "DRIFT",
    "severity": "WARNING",
    "sentence": "card-fraud/champion, partition 0: the error rose",
    "offset": 16_000,
    "placed_offset": 15_100,
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
        dead_letters=[DeadLetter(7_500, "truncated", "payment_id", "a text", "too few bytes")] * letters,
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


def test_the_ending_says_where_the_change_was_and_where_it_was_placed() -> None:
    """Beside the figures and their baselines, and what to try next."""
    console = plain()
    print_ending(Result(DEMOS["fraud"], figures(15.0, alerts=1, letters=1), 9.5, 0.0), console)
    said = "\n".join(lines(console))
    assert "change of the pattern: at offset 15,000; the first alert behind it places it at 15,100" in said
    assert "first prediction: 9.5 s after the start" in said
    assert "stream demo spam" in said


def test_downloads_are_told_apart_from_the_start() -> None:
    """A cold start says how long the downloads took."""
    console = plain()
    print_ending(Result(DEMOS["fraud"], figures(15.0), 60.0, 45.0), console)
    assert "first prediction: 60.0 s after the start, after 45 s of downloads" in lines(console)


def test_a_figure_that_is_not_defined_is_null_in_json() -> None:
    """NaN is no JSON."""
    assert Result(DEMOS["spam"], figures(1.0, roc_auc=NAN), 9.0, 0.0).as_json()["roc_auc"] is None
