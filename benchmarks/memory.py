"""Memory of a worker over many events: the resident size after each tenth of them, at rest, and the largest until then.

Run: python -m benchmarks.memory (`make bench-memory`). The keys come again, so that state does not grow; what grows
otherwise is a leak. The events are those of one filled topic, sent again and again. A figure at rest is taken when
nothing is left to do and the worker has had the time to give back what it took for the backlog; buffers of the last
batches, larger or smaller, are in it. So the least of the second half counts: memory does not grow if that is less than
1 % above the least of the first half, whose first tenth fills tables and is left out.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import orjson
import psutil

from benchmarks.card_app import app
from benchmarks.card_events import card_events
from benchmarks.cluster import (
    local_broker,
    make_app_topics,
    make_event_topic,
    produce,
    start_worker,
    stop_process,
    wait_until_committed,
)

_MIB = 1 << 20
# What the second half of the events may add to the least at rest before it counts as growth.
_GROWTH_PERCENT = 1.0


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--within-s", type=float, default=300.0, help="a tenth that takes longer is given up")
    parser.add_argument("--rest-s", type=float, default=17.0, help="behind each tenth, before its figure is taken")
    chosen = parser.parse_args()
    tenth, sizes, peaks = chosen.events // 10, [], []
    # What the broker keeps on disk is bounded: 10 million events are 2 GB with their predictions.
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder)) as broker:
        events = card_events(tenth, make_event_topic(broker))
        make_app_topics(broker, "memory.")
        worker = start_worker(broker, "memory.")
        try:
            for number in range(1, 11):
                produce(broker, events, 0, tenth)
                wait_until_committed(broker, f"memory.{app.name}", number * tenth, worker, chosen.within_s)
                time.sleep(chosen.rest_s)
                sizes.append(_resident_mib(worker))
                peaks.append(_peak_mib(worker))
                print(f"{number * tenth:>12,} events: {sizes[-1]:.1f} MiB, at most {peaks[-1]:.1f}", flush=True)
        finally:
            stop_process(worker)
    first_half, second_half = min(sizes[1:5]), min(sizes[5:])
    grown = 100 * (second_half / first_half - 1)
    verdict = "no growth" if grown < _GROWTH_PERCENT else "growth"
    print(f"second half of the events: {grown:+.1f} %: {verdict} (the limit is {_GROWTH_PERCENT:g} %)")
    result = {
        "scenario": f"resident memory of a worker over {chosen.events:,} events",
        "unit": "MiB",
        "results": {
            "at rest, least of the first half": first_half,
            "at rest, least of the second half": second_half,
            "at rest, at the end": sizes[-1],
            "at most, half way": peaks[4],
            "at most": peaks[-1],
        },
        "ratios": {"second half / first half": round(second_half / first_half, 3)},
    }
    print(orjson.dumps(result).decode(), flush=True)


def _resident_mib(process: subprocess.Popen[bytes]) -> float:
    resident_bytes: int = psutil.Process(process.pid).memory_info().rss
    return round(resident_bytes / _MIB, 1)


def _peak_mib(process: subprocess.Popen[bytes]) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (peak_kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(peak_kib / 1024, 1)


if __name__ == "__main__":
    main()
