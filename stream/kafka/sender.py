"""Records that leave at once, outside the transaction (delivery="immediate")."""

import queue
import threading
from typing import Any

from confluent_kafka import KafkaException, Producer

from stream.config import KafkaSettings
from stream.engine.effects import OutputBatch
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.producing import DeliveryFailures, produce_batch

_IDLE_S = 0.05
_FLUSH_STEP_S = 1.0


class Sender:
    """An idempotent producer in a thread of its own, so that a full queue holds up nobody else's poll."""

    def __init__(self, settings: KafkaSettings, health: BrokerHealth) -> None:
        self._settings = settings
        self._health = health
        self._failures = DeliveryFailures()
        self._batches: queue.Queue[OutputBatch | None] = queue.Queue()
        self._producer: Any = None
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def send(self, batches: tuple[OutputBatch, ...]) -> None:
        """Queue batches, in order; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stream-sender", daemon=True)
            self._thread.start()
        for batch in batches:
            self._batches.put(batch)

    def flush(self) -> str:
        """Wait until all that was sent is acknowledged; says what failed, "" if nothing did."""
        if self._thread is None:
            return ""
        self._batches.join()
        while (producer := self._producer) is not None and producer.flush(_FLUSH_STEP_S) and not self._is_closing:
            pass
        failed = self._failures.take()
        if failed:
            # An idempotent producer that lost a record may be in a fatal state; the effects are sent again anyway.
            self._producer = None
        return failed

    def close(self) -> None:
        """End the thread; what is not acknowledged yet belongs to a cycle that is not committed."""
        self._is_closing = True
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
        if self._producer is not None:
            self._producer.purge()
            self._producer.close()

    def _run(self) -> None:
        while True:
            try:
                batch = self._batches.get(timeout=_IDLE_S)
            except queue.Empty:
                if (producer := self._producer) is not None:
                    producer.poll(0)
                continue
            if batch is None:
                return
            self._send(batch)
            self._batches.task_done()

    def _send(self, batch: OutputBatch) -> None:
        if self._producer is None:
            callbacks = {"on_delivery": self._failures.on_delivery, "error_cb": self._health.on_error}
            config = {**client_config.idempotent_producer(self._settings), **callbacks}
            self._producer = make_client(Producer, config)
        try:
            produce_batch(self._producer, batch)
        except KafkaException as error:
            self._failures.note(batch.topic, error.args[0].str())
        self._producer.poll(0)
