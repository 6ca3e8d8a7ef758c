"""Latency at a steady rate under exactly-once delivery, beside Kafka Streams at the same commit interval.

Run: python -m benchmarks.latency (`make bench-latency`). An event's latency is from the producer's send to the
receipt of its prediction by a read_committed consumer, both by this process's clock. Events of the first seconds do
not count: processes warm up. Each takes its turn on the same broker, with the same producer and reader.
"""

import argparse
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Message, Producer

from benchmarks.card_events import CardEvents, card_events
from benchmarks.cluster import (
    EVENT_TOPIC,
    PARTITIONS,
    first_record,
    local_broker,
    make_app_topics,
    make_event_topic,
    make_topic,
    start_worker,
    stop_process,
)
from benchmarks.kafka_streams import start_kafka_streams
from benchmarks.report import report
from stream.cli.broker.local import LocalBroker

OURS, PEER = "stream run, exactly-once", "Kafka Streams, exactly_once_v2"
_COMMIT_INTERVAL_MS = 100
_PER_SECOND = 100  # how often a second events are sent
_READ = 1000
_FIRST = 100  # events that a process must have answered before its turn begins
_WAIT_S = 60.0

Start = Callable[[str], tuple[str, subprocess.Popen[bytes]]]


def main() -> None:
    """Measure on a broker of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="events a second")
    parser.add_argument("--seconds", type=int, default=20, help="that count, of each turn")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds before them")
    parser.add_argument("--rounds", type=int, default=3, help="that count; one before them meets a broker just started")
    chosen = parser.parse_args()
    turn = chosen.rate * (chosen.seconds + chosen.warm_up)
    p99: dict[str, list[float]] = {OURS: [], PEER: []}
    with tempfile.TemporaryDirectory() as folder, local_broker(Path(folder)) as broker:
        events = card_events(2 * (1 + chosen.rounds) * (_FIRST + turn), make_event_topic(broker))
        starts: dict[str, Start] = {
            OURS: lambda name: _start_worker(broker, name),
            PEER: lambda name: _start_peer(broker, name),
        }
        traffic = Traffic(broker, events)
        for number in range(1 + chosen.rounds):
            for name, start in starts.items():
                output, process = start(f"round-{number}")
                try:
                    latencies_ms = traffic.latencies_ms(output, process, turn, chosen.rate)
                finally:
                    stop_process(process)
                counted = latencies_ms[-chosen.rate * chosen.seconds :]
                median, highest = np.percentile(counted, (50, 99))
                if number:
                    p99[name].append(float(highest))
                load = os.getloadavg()[0]
                print(f"{name}: p50 {median:.0f} ms, p99 {highest:.0f} ms; load {load:.1f}", flush=True)
    report(f"p99 latency at {chosen.rate:,} events/s, commits every {_COMMIT_INTERVAL_MS} ms", "ms", OURS, [PEER], p99)


class Traffic:
    """One producer, one reader; the events are sent one after the other, and numbered in each partition."""

    def __init__(self, broker: LocalBroker, events: CardEvents) -> None:
        self._broker = broker
        self._pairs = events.pairs(0, len(events))
        self._sent = 0
        self._sent_s: list[dict[int, float]] = [{} for _ in range(PARTITIONS)]  # by offset of the event
        self._producer = Producer(
            {"bootstrap.servers": broker.bootstrap_servers, "partitioner": "murmur2_random", "linger.ms": 1}
        )

    def latencies_ms(self, output: str, process: subprocess.Popen[bytes], count: int, rate: int) -> np.ndarray:
        """Send `count` events at `rate` a second; the latency of each in the order of receipt, (count,)."""
        reader = first_record(self._broker, output)
        self._send(_FIRST, rate)
        received = [0] * PARTITIONS
        expected = self._sent  # it reads the topic from its beginning, and so starts up and catches up first
        self._read_until(reader, received, expected, process, lambda *_: None)
        sender = threading.Thread(target=self._send, args=(count, rate), daemon=True)
        sender.start()
        receipts: list[tuple[int, int, float]] = []
        self._read_until(reader, received, expected + count, process, lambda *receipt: receipts.append(receipt))
        sender.join()  # the producer may tell of an event's place when its prediction is there already
        reader.close()
        return np.array([at_s - self._sent_s[partition][offset] for partition, offset, at_s in receipts]) * 1000

    def _read_until(
        self,
        reader: Consumer,
        received: list[int],
        count: int,
        process: subprocess.Popen[bytes],
        note: Callable[[int, int, float], None],
    ) -> None:
        """The n-th prediction of a partition is that of its n-th event: both keep the order, and drop nothing."""
        give_up_at = time.monotonic() + _WAIT_S
        while sum(received) < count:
            messages = [each for each in reader.consume(_READ, 0.002) if each.error() is None]
            now_s = time.perf_counter()
            for message in messages:
                note(message.partition(), received[message.partition()], now_s)
                received[message.partition()] += 1
            give_up_at = time.monotonic() + _WAIT_S if messages else give_up_at
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"{sum(received):,} of {count:,} predictions came; the process: {process.poll()}")

    def _send(self, count: int, rate: int) -> None:
        began_s = time.perf_counter()
        for number in range(count):
            if number % (rate // _PER_SECOND) == 0:
                self._producer.poll(0)
                while (early_s := began_s + number / rate - time.perf_counter()) > 0:
                    self._producer.poll(early_s)  # returns with the first report of a delivery
            key, value = self._pairs[self._sent]
            self._sent += 1
            at_s = time.perf_counter()
            self._producer.produce(
                EVENT_TOPIC, value, key, on_delivery=lambda _, message, at_s=at_s: self._delivered(message, at_s)
            )
        self._producer.flush(_WAIT_S)

    def _delivered(self, message: Message, at_s: float) -> None:
        self._sent_s[message.partition()][message.offset()] = at_s


def _start_worker(broker: LocalBroker, name: str) -> tuple[str, subprocess.Popen[bytes]]:
    names = make_app_topics(broker, f"{name}.")
    return names.predictions, start_worker(broker, f"{name}.", {"commit_interval_ms": str(_COMMIT_INTERVAL_MS)})


def _start_peer(broker: LocalBroker, name: str) -> tuple[str, subprocess.Popen[bytes]]:
    output = f"{name}-kafka-streams"
    make_topic(broker, output)
    return output, start_kafka_streams(broker, output, output, _COMMIT_INTERVAL_MS)


if __name__ == "__main__":
    main()
