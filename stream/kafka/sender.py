"""Records that leave at once, outside the transaction (delivery="immediate")."""

import queue
import threading
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer

from stream.config import KafkaSettings
from stream.engine.effects import OutputBatch
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.producing import DeliveryFailures, Failure, produce_batch
from stream.kafka.transaction_errors import is_final

_IDLE_S = 0.05
_FLUSH_STEP_S = 1.0
# How often whoever flushes looks whether the thread that it waits for is still there.
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Replace:
    """This producer lost a record."""

    producer: Any


class Sender:
    """An idempotent producer in a thread of its own, so that a full queue holds up nobody else's poll.

    That thread alone makes and replaces the producer. What ends it is raised by the next `flush`.
    """

    def __init__(self, settings: KafkaSettings, health: BrokerHealth) -> None:
        self._settings = settings
        self._health = health
        self._failures = DeliveryFailures()
        self._work: queue.SimpleQueue[OutputBatch | threading.Event | _Replace | None] = queue.SimpleQueue()
        self._producer: Any = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._is_closing = False

    def send(self, batches: tuple[OutputBatch, ...]) -> None:
        """Queue batches, in order; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stream-sender", daemon=True)
            self._thread.start()
        for batch in batches:
            self._work.put(batch)

    def flush(self) -> Failure | None:
        """Wait until all that was sent is acknowledged; says what failed, None if nothing did.

        Raises:
            Exception: what ended the thread that sends.
        """
        if self._thread is None:
            return None
        is_handed_over = threading.Event()
        self._work.put(is_handed_over)
        while not is_handed_over.wait(_LOOK_S):
            if self._error is not None:
                raise self._error
            if self._is_closing:
                return Failure("the worker is closing", is_final=False)
        producer = self._producer
        while producer is not None and producer.flush(_FLUSH_STEP_S) and not self._is_closing:
            pass
        failed = self._failures.take()
        if failed:
            # An idempotent producer that lost a record may be in a fatal state; the effects are sent again anyway.
            self._work.put(_Replace(producer))
        return failed

    def close(self) -> None:
        """End the thread; what is not acknowledged yet belongs to a cycle that is not committed."""
        self._is_closing = True
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
        if self._producer is not None:
            self._producer.purge()
            self._producer.close()

    def _run(self) -> None:
        try:
            while self._do_next():
                pass
        except Exception as error:  # noqa: BLE001 - a helper thread has no one above it: `flush` raises it
            self._error = error

    def _do_next(self) -> bool:
        """Do what is queued next; False at the end."""
        try:
            work = self._work.get(timeout=_IDLE_S)
        except queue.Empty:
            if self._producer is not None:
                self._producer.poll(0)
            return True
        match work:
            case OutputBatch():
                self._send(work)
            case threading.Event():
                work.set()
            case _Replace(producer):
                self._replace(producer)
        return work is not None

    def _send(self, batch: OutputBatch) -> None:
        if self._producer is None:
            callbacks = {"on_delivery": self._failures.on_delivery, "error_cb": self._health.on_error}
            config = {**client_config.idempotent_producer(self._settings), **callbacks}
            self._producer = make_client(Producer, config)
        try:
            produce_batch(self._producer, batch, lambda: self._is_closing)
        except KafkaException as error:
            self._failures.note(batch.topic, error.args[0].str(), is_final=is_final(error.args[0]))
        self._producer.poll(0)

    def _replace(self, producer: Any) -> None:
        """Let go of a producer; what it still holds counts as failed, so that the next flush has it sent again."""
        if producer is None or producer is not self._producer:
            return
        producer.purge()
        producer.flush(_FLUSH_STEP_S)
        self._producer = None
