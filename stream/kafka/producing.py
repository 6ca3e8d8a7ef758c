"""Output batches into a producer, and what became of the records."""

import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy as np

from stream.engine.effects import OutputBatch
from stream.errors import RetriableError
from stream.headers import Headers, unpack

# How long one wait for room in the producer's queue may take before callbacks are looked at again.
_ROOM_WAIT_S = 0.05


class DeliveryFailures:
    """Records that were refused or could not be delivered: any of them forbids the commit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # callbacks run in whichever thread polls or flushes
        self.count = 0
        self.first = ""

    def on_delivery(self, error: Any, message: Any) -> None:
        """The producer's on_delivery, called for failures only (delivery.report.only.error)."""
        if error is not None:
            self.note(message.topic(), error.str())

    def note(self, topic: str, reason: str) -> None:
        """Count one record that did not make it."""
        with self._lock:
            self.count += 1
            self.first = self.first or f"{topic}: {reason}"

    def take(self) -> str:
        """Say what failed since the last call, "" if nothing did, and start anew."""
        with self._lock:
            count, first = self.count, self.first
            self.count, self.first = 0, ""
        return f"{count} records were not delivered, the first: {first}" if count else ""


def produce_batch(producer: Any, batch: OutputBatch, is_closing: Callable[[], bool] = lambda: False) -> None:
    """Hand every record of a batch to the producer; waits while its queue is full.

    `Producer.produce_batch` of confluent-kafka 2.16 takes neither headers nor timestamps, and is no faster than this
    loop.

    Args:
        producer: of confluent_kafka.
        batch: what is sent.
        is_closing: whether nobody waits for it any more.

    Raises:
        RetriableError: its queue is full, and the worker is closing.
        KafkaException: the producer refuses the record (too large, fatal state); what was handed over before it stays
            handed over.
    """
    data, produce, topic, partition = batch.data.tobytes(), producer.produce, batch.topic, batch.partition
    spans = np.concatenate([batch.keys, batch.values], axis=1).T.tolist()
    # Bytes are cut out just before they are sent, and freed just behind: made for the whole batch at first, they and
    # their spans leave the processor's cache in between, and set garbage collections off.
    for key_start, key_end, start, end, timestamp_ms, headers in zip(
        *spans, batch.timestamps_ms.tolist(), _headers(batch, data), strict=False
    ):
        key = None if key_start < 0 else data[key_start:key_end]
        value = None if start < 0 else data[start:end]
        try:
            produce(topic, value, key, partition, None, None, timestamp_ms, headers)
        except BufferError:
            record = (topic, value, key, partition, None, None, timestamp_ms, headers)
            _produce_with_room(producer, record, is_closing)


def _headers(batch: OutputBatch, data: bytes) -> Iterator[Headers | None]:
    if not len(batch) or batch.headers.max() < 0:
        return repeat(None)
    return (None if start < 0 else unpack(data[start:end]) for start, end in batch.headers.tolist())


def _produce_with_room(producer: Any, arguments: tuple[Any, ...], is_closing: Callable[[], bool]) -> None:
    while True:
        if is_closing():
            raise RetriableError(f"{arguments[0]}: the producer's queue is full, and the worker is closing")
        producer.poll(_ROOM_WAIT_S)
        try:
            producer.produce(*arguments)
        except BufferError:
            continue
        return
