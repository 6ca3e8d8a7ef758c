"""Output batches into a producer, and what became of the records."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from stream.engine.effects import OutputBatch
from stream.errors import RetriableError
from stream.headers import Headers, unpack
from stream.kafka.transaction_errors import is_final

# How long one wait for room in the producer's queue may take before callbacks are looked at again.
_ROOM_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not delivered."""

    reason: str
    is_final: bool  # sending the same again may not help (rule 12)
    note: str = ""  # for the log, where there is no reason to tell


class DeliveryFailures:
    """Records that were refused or could not be delivered: any of them forbids the commit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # callbacks run in whichever thread polls or flushes
        self._count = 0
        self._first: Failure | None = None

    def on_delivery(self, error: Any, message: Any) -> None:
        """The producer's on_delivery, called for failures only (delivery.report.only.error)."""
        if error is not None:
            self.note(message.topic(), error.str(), is_final=is_final(error))

    def note(self, topic: str, reason: str, *, is_final: bool) -> None:
        """Count one record that did not make it; `is_final`: sending it again may not help."""
        failure = Failure(f"{topic}: {reason}", is_final)
        with self._lock:
            self._count += 1
            # Others fail in the wake of the one that was refused for good: that one is told.
            if self._first is None or (failure.is_final and not self._first.is_final):
                self._first = failure

    @property
    def first(self) -> "Failure | None":
        """What failed first since the last `take`, or for good."""
        return self._first

    def take(self) -> "Failure | None":
        """Say what failed since the last call, None if nothing did, and start anew."""
        with self._lock:
            count, first = self._count, self._first
            self._count, self._first = 0, None
        return first and Failure(f"{count} records were not delivered, such as one for {first.reason}", first.is_final)


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
