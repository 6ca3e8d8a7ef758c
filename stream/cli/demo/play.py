"""A demo on its stage: sender, receiver, view. Slow to import."""

import gc

from rich.console import Console

from stream.cli.demo.demos import Demo
from stream.cli.demo.figures import Result
from stream.cli.demo.performance import Performance
from stream.cli.demo.receiver import Receiver
from stream.cli.demo.scores import Scores
from stream.cli.demo.sender import Sender
from stream.cli.demo.stage import DownloadClock, Stage
from stream.cli.demo.views import open_view


def play(
    demo: Demo, stage: Stage, report: DownloadClock, console: Console, *, seconds: float, rate: float, seed: int
) -> Result:
    """Stream the demo's events through the worker of its stage.

    Args:
        demo: which.
        stage: with a worker that starts.
        report: where progress is shown.
        console: where the view is.
        seconds: how long events are sent.
        rate: events a second.
        seed: of what is simulated.
    """
    scores = Scores(stage.partitions)
    planned = demo.events_in(seconds, rate)
    sender = Sender(stage.servers, demo, stage.plan, stage.ids, planned, seed, scores, stage.partitions)
    receiver = Receiver(stage.servers, stage.topics, stage.registry, scores, stage.partitions)
    performance = Performance(stage, sender, receiver, scores, rate, seconds)
    try:
        first_s = performance.wait_for_first_prediction() - report.seconds
        gc.freeze()  # what is there by now stays: looking through it again and again would delay the stream
        report.say(f"first prediction {first_s:.1f} s after the start; {rate:,.0f} events/s for {seconds:.0f} s")
        with open_view(demo, console, seconds) as view:
            performance.stream(view)
        return Result(demo, performance.result(), first_s, report.seconds)
    finally:
        receiver.close()
