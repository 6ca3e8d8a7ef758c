"""A whole demo. What is slow to import is imported while Kafka starts, so that something is shown at once."""

from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from rich.console import Console

from stream.cli.broker.reports import report_for
from stream.cli.demo.demos import DEMOS
from stream.cli.demo.stage import DownloadClock, Places, Stage

if TYPE_CHECKING:
    from stream.cli.demo.figures import Result


def run_demo(
    name: str,
    places: Places,
    *,
    seconds: float,
    rate: float | None,
    seed: int,
    keep: bool,
    as_json: bool,
    partitions: int = 1,
) -> "Result":
    """Run a demo and print how it went, unless that is to be JSON.

    Args:
        name: of the demo.
        places: of downloads and kernels.
        seconds: how long events are sent.
        rate: events a second; the demo's own if None.
        seed: of what is simulated.
        keep: whether data and logs are left.
        as_json: whether all but the result goes to stderr.
        partitions: of each topic.

    Raises:
        StreamError: something did not start or ended early; the text says what. Nothing is left running.
    """
    demo = DEMOS[name]
    console = Console(stderr=as_json)
    report = DownloadClock(report_for(console))
    report.say(f"stream demo {name}: {demo.data}")
    Thread(target=import_module, args=["stream.cli.demo.play"], daemon=True).start()
    with Stage(demo, report, places, keep, partitions) as stage:
        from stream.cli.demo.ending import print_ending
        from stream.cli.demo.play import play
        from stream.runtime.settings import Settings
        from stream.runtime.worker import use_kernel_cache

        use_kernel_cache(Settings(cache=str(places.kernels or "")))
        result = play(demo, stage, report, console, seconds=seconds, rate=rate or demo.rate, seed=seed)
    if not as_json:
        print_ending(result, console)
    return result
