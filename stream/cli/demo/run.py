"""A whole demo: stage, sender, receiver, view."""

from pathlib import Path

from rich.console import Console

from stream.cli.broker.reports import report_for
from stream.cli.demo.demos import DEMOS, Demo
from stream.cli.demo.ending import print_ending
from stream.cli.demo.figures import Result
from stream.cli.demo.performance import Performance
from stream.cli.demo.receiver import Receiver
from stream.cli.demo.scores import Scores
from stream.cli.demo.sender import Sender
from stream.cli.demo.stage import DownloadClock, Stage
from stream.cli.demo.views import open_view
from stream.runtime.settings import Settings
from stream.runtime.worker import use_kernel_cache


def run_demo(
    name: str, *, seconds: float, rate: float | None, seed: int, cache: Path | None, keep: bool, as_json: bool
) -> Result:
    """Run a demo and print how it went, unless that is to be JSON.

    Args:
        name: of the demo.
        seconds: how long events are sent.
        rate: events a second; the demo's own if None.
        seed: of what is simulated.
        cache: of downloads and kernels; the user's cache folder if None.
        keep: whether data and logs are left.
        as_json: whether all but the result goes to stderr.

    Raises:
        StreamError: something did not start or ended early; the text says what. Nothing is left running.
    """
    demo = DEMOS[name]
    console = Console(stderr=as_json)
    report = DownloadClock(report_for(console))
    use_kernel_cache(Settings(cache=str(cache or "")))
    with Stage(demo, report, cache, keep) as stage:
        result = _perform(demo, stage, report, console, seconds, rate or demo.rate, seed)
    if not as_json:
        print_ending(result, console)
    return result


def _perform(
    demo: Demo, stage: Stage, report: DownloadClock, console: Console, seconds: float, rate: float, seed: int
) -> Result:
    planned = max(1, round(rate * seconds))
    scores = Scores()
    report.say("waiting for the first prediction")
    sender = Sender(stage.servers, demo, stage.plan, stage.ids, planned, seed, scores)
    receiver = Receiver(stage.servers, stage.topics, stage.registry, scores)
    performance = Performance(stage, sender, receiver, scores, rate, seconds)
    try:
        first_s = performance.wait_for_first_prediction() - report.seconds
        report.say(f"first prediction {first_s:.1f} s after the start; {rate:,.0f} events/s for {seconds:.0f} s")
        with open_view(demo, console, seconds) as view:
            performance.stream(view)
        return Result(demo, performance.result(), first_s, report.seconds)
    finally:
        receiver.close()
