"""End to end on a real Kafka: a worker process consumes a filled topic of 4 partitions, exactly once.

Run: python -m benchmarks.end_to_end (`make bench-e2e`). The rate counts from the first to the last committed
prediction, by the broker's clock; start and end of the process are not in it. Broker and worker share the machine, as
do broker and loop.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.card_app import app
from benchmarks.cluster import (
    EVENT_TOPIC,
    fill,
    local_broker,
    make_app_topics,
    make_topic,
    seconds_written,
    start_process,
    start_worker,
    stop_process,
    wait_until_committed,
)
from benchmarks.report import report
from stream.cli.broker.local import LocalBroker

OURS = "stream run, exactly-once"
LOOP = "loop, at-least-once"
TRANSACTIONAL_LOOP = "loop, exactly-once"


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="in the topic; the worker handles all")
    parser.add_argument("--loop-events", type=int, default=200_000, help="that a loop handles in each round")
    parser.add_argument("--rounds", type=int, default=3, help="that count; one before them warms the broker up")
    parser.add_argument("--within-s", type=float, default=180.0, help="a round that takes longer is given up")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder)) as broker:
        print(f"filling {EVENT_TOPIC} with {chosen.events:,} events", flush=True)
        fill(broker, chosen.events)
        # A JVM that has just started needs several times the processor time for a record, whoever sends it.
        one_round(broker, "warm-up.", chosen.events, chosen.loop_events, chosen.within_s)
        compare(broker, chosen.events, chosen.loop_events, chosen.rounds, chosen.within_s)


def compare(broker: LocalBroker, events: int, loop_events: int, rounds: int, within_s: float) -> None:
    """Measure on a broker whose event topic is filled, and report."""
    measured: dict[str, list[float]] = {OURS: [], LOOP: [], TRANSACTIONAL_LOOP: []}
    for number in range(rounds):
        rates = one_round(broker, f"round-{number}.", events, loop_events, within_s)
        for name, rate in rates.items():
            measured[name].append(rate)
        load = f"load {os.getloadavg()[0]:.1f}"
        print("; ".join([*(f"{name}: {rate:,.0f}" for name, rate in rates.items()), load]), flush=True)
    report("end to end, 4 partitions, commit every 100 ms", "events/s", OURS, [LOOP, TRANSACTIONAL_LOOP], measured)


def one_round(broker: LocalBroker, prefix: str, events: int, loop_events: int, within_s: float) -> dict[str, float]:
    """The rate of each, one after the other."""
    return {
        OURS: worker_rate(broker, prefix, events, within_s),
        LOOP: loop_rate(broker, f"{prefix}loop-predictions", loop_events, [], within_s),
        TRANSACTIONAL_LOOP: loop_rate(
            broker, f"{prefix}transactional-loop-predictions", loop_events, ["--exactly-once"], within_s
        ),
    }


def worker_rate(
    broker: LocalBroker, prefix: str, events: int, within_s: float, delivery: str = "exactly-once"
) -> float:
    """Predictions a second of a worker that begins with nothing."""
    names = make_app_topics(broker, prefix)
    worker = start_worker(broker, prefix, {"delivery": delivery})
    try:
        wait_until_committed(broker, f"{prefix}{app.name}", events, worker, within_s)
    finally:
        stop_process(worker)
    return events / seconds_written(broker, names.predictions)


def loop_rate(broker: LocalBroker, output: str, events: int, options: list[str], within_s: float) -> float:
    """Predictions a second of the loop."""
    make_topic(broker, output)
    arguments = ["-m", "benchmarks.kafka_loop", broker.bootstrap_servers, EVENT_TOPIC, output, str(events), *options]
    loop = start_process(arguments)
    try:
        if loop.wait(within_s):
            raise SystemExit(f"the loop ended with status {loop.returncode}")
    except subprocess.TimeoutExpired:
        stop_process(loop)
        raise SystemExit(f"the loop did not end within {within_s:.0f} s") from None
    return events / seconds_written(broker, output)


if __name__ == "__main__":
    main()
