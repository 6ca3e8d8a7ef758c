"""Memory over many events: of a worker on Kafka, and of the engine alone.

Run: python -m benchmarks.memory (`make bench-memory`). The keys come again, so that state does not grow; what grows
otherwise is a leak. The engine, without Kafka and its buffers, has one figure behind each tenth: those behind the first
are to be equal. Of the worker, to which the events of one filled topic are sent again and again, it is the resident
size behind each twentieth, at rest: when nothing is left to do and it has had the time to give back what it took for
the backlog. Buffers of the last batches, larger or smaller, are in it, so that one differs from the next by some
percent. Growth is therefore the slope of all but the first tenth's, which fill tables: the median of the slopes between
each two (Theil and Sen), with the range that holds the true one 19 times in 20. Memory grows where all is above 0.
"""

import argparse
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import orjson
import psutil
from scipy.stats import theilslopes

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
from benchmarks.engine import NOW_MS, SCHEMA_ID, batches_of, ready_task
from stream.app import compile_app
from stream.runtime.free_memory import trim
from stream.runtime.settings import load_settings
from stream.runtime.worker import use_kernel_cache

_MIB = 1 << 20
_PARTS, _FIRST_PARTS = 20, 2


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--within-s", type=float, default=300.0, help="a part that takes longer is given up")
    parser.add_argument("--rest-s", type=float, default=17.0, help="behind each part, before its figure is taken")
    chosen = parser.parse_args()
    engine = engine_sizes(chosen.events // 10)
    engine_grown = 100 * (engine[-1] / engine[1] - 1)
    print(f"the engine alone, behind each tenth: {', '.join(map(str, engine))} MiB: {engine_grown:+.1f} %", flush=True)
    part, sizes, peaks = chosen.events // _PARTS, [], []
    # What the broker keeps on disk is bounded: 10 million events are 2 GB with their predictions.
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder)) as broker:
        events = card_events(part, make_event_topic(broker))
        make_app_topics(broker, "memory.")
        worker = start_worker(broker, "memory.")
        try:
            for number in range(1, _PARTS + 1):
                produce(broker, events, 0, part)
                wait_until_committed(broker, f"memory.{app.name}", number * part, worker, chosen.within_s)
                time.sleep(chosen.rest_s)
                sizes.append(_resident_mib(psutil.Process(worker.pid)))
                peaks.append(_peak_mib(worker))
                print(f"{number * part:>12,} events: {sizes[-1]:.1f} MiB, at most {peaks[-1]:.1f}", flush=True)
        finally:
            stop_process(worker)
    usual = median(sizes[_FIRST_PARTS:])
    slope = theilslopes(sizes[_FIRST_PARTS:])
    grown, least, most = (100 * _PARTS * each / usual for each in (slope.slope, slope.low_slope, slope.high_slope))
    verdict = "growth" if least > 0 else "no growth"
    print(f"over {chosen.events:,} events: {grown:+.1f} % ({least:+.1f} to {most:+.1f}): {verdict}")
    result = {
        "scenario": f"resident memory of a worker over {chosen.events:,} events",
        "unit": "MiB",
        "results": {
            "engine alone, behind a fifth": engine[1],
            "engine alone, at the end": engine[-1],
            "at rest, median": usual,
            "at rest, at the end": sizes[-1],
            "at most, half way": peaks[_PARTS // 2 - 1],
            "at most": peaks[-1],
        },
        "ratios": {
            "engine alone, end / fifth": round(engine[-1] / engine[1], 4),
            "grown": round(grown / 100, 3),
            "grown, least": round(least / 100, 3),
            "grown, most": round(most / 100, 3),
        },
    }
    print(orjson.dumps(result).decode(), flush=True)


def engine_sizes(tenth: int) -> list[float]:
    """Resident sizes of this process, in MiB, behind each of ten times so many events, in cycles of a batch each."""
    use_kernel_cache(load_settings(None).values)
    events = card_events(tenth, SCHEMA_ID)
    task = ready_task(compile_app(app, {}), events)
    sizes = []
    for turn in range(10):
        for batch in batches_of(events):
            task.process(replace(batch, offsets=batch.offsets + turn * tenth), NOW_MS)
            task.close_cycle()
        trim()
        sizes.append(_resident_mib(psutil.Process()))
    return sizes


def _resident_mib(process: psutil.Process) -> float:
    resident_bytes: int = process.memory_info().rss
    return round(resident_bytes / _MIB, 1)


def _peak_mib(process: subprocess.Popen[bytes]) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (peak_kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(peak_kib / 1024, 1)


if __name__ == "__main__":
    main()
