"""What exactly-once delivery costs: throughput of a worker with each delivery, in turns on one broker.

Run: python -m benchmarks.delivery (`make bench-delivery`). Learning is exactly-once with both; with "immediate" the
predictions leave outside the transaction. Rates are read from the predictions' topic as in benchmarks.end_to_end.
"""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.cluster import EVENT_TOPIC, fill, local_broker
from benchmarks.end_to_end import worker_rate
from benchmarks.report import report

EXACTLY_ONCE, IMMEDIATE = "exactly-once", "immediate"


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="in the topic; each worker handles all")
    parser.add_argument("--rounds", type=int, default=3, help="that count; one before them warms the broker up")
    parser.add_argument("--within-s", type=float, default=180.0, help="a turn that takes longer is given up")
    chosen = parser.parse_args()
    measured: dict[str, list[float]] = {EXACTLY_ONCE: [], IMMEDIATE: []}
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder)) as broker:
        print(f"filling {EVENT_TOPIC} with {chosen.events:,} events", flush=True)
        fill(broker, chosen.events)
        for number in range(1 + chosen.rounds):
            for delivery, rates in measured.items():
                prefix = f"round-{number}.{delivery}."
                rate = worker_rate(broker, prefix, chosen.events, chosen.within_s, delivery=delivery)
                if number:
                    rates.append(rate)
                    print(f"{delivery}: {rate:,.0f}; load {os.getloadavg()[0]:.1f}", flush=True)
    report("a worker by delivery, 4 partitions, commit every 100 ms", "events/s", EXACTLY_ONCE, [IMMEDIATE], measured)


if __name__ == "__main__":
    main()
