"""Payments and chargebacks, some of the payments damaged: each says in its headers what should become of it."""

import io
import random
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Self

import fastavro
import orjson
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from tests.runtime.app import CHARGEBACK, PAYMENT
from tests.runtime.waiting import LIMIT_S

UNKNOWN_SCHEMA_ID = 99_999
SHOULD = "should"  # header: "predict", or the reason of the rejection
_CARDS = 40
# From this payment on amounts are larger, which the detector of the feature must notice.
DRIFT_AT = 2_000


class Traffic:
    """Sends payments `first`, `first + 1`, ... and chargebacks for half of them.

    Every 50th is damaged: truncated, of an unknown schema, or a tombstone.
    """

    def __init__(self, bootstrap_servers: str, registry_url: str, app: str, seed: int = 1) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "linger.ms": 5, "partitioner": "murmur2_random"}
        )
        self._registry_url = registry_url
        self._app = app
        self._draw = random.Random(seed)
        self.sent = 0
        self.payment_id = self.register(f"{app}.payments-value", PAYMENT)
        self._chargeback_id = self.register(f"{app}.chargebacks-value", CHARGEBACK)

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Register a schema; its id."""
        with closing(SchemaRegistryClient({"url": self._registry_url})) as registry:
            number: int = registry.register_schema(subject, Schema(orjson.dumps(schema).decode(), "AVRO"))
        return number

    def send(self, count: int) -> None:
        """Send payments and chargebacks, and wait until the broker has them."""
        for _ in range(count):
            self._send_one()
        self.flush()

    def send_payments(self, count: int) -> None:
        """Send intact payments without chargebacks, and wait until the broker has them."""
        for _ in range(count):
            self._produce("payments", "card1", self.payment("card1"), "predict")
            self.sent += 1
        self.flush()

    def send_chargebacks(self, numbers: Iterable[int], card: str = "card1") -> None:
        """Send chargebacks for payments of a card, and wait until the broker has them; every third says fraud."""
        for number in numbers:
            truth = {"id": f"p{number}", "fraud": number % 3 == 0}
            self._produce("chargebacks", card, encoded(CHARGEBACK, self._chargeback_id, truth), "learn")
        self.flush()

    def send_payment(self, value: bytes | None, should: str, card: str = "card1") -> None:
        """Send one payment with this value."""
        self._produce("payments", card, value, should)
        self.flush()

    def payment(
        self, card: str, schema: Mapping[str, Any] = PAYMENT, schema_id: int | None = None, **more: Any
    ) -> bytes:
        """An encoded payment of the next id."""
        now_ms = time.time_ns() // 1_000_000
        amount = self._draw.lognormvariate(3, 1) * (30 if self.sent > DRIFT_AT else 1)
        value = {"id": f"p{self.sent}", "card": card, "amount": amount, "at": now_ms, **more}
        return encoded(schema, self.payment_id if schema_id is None else schema_id, value)

    def label(self, truth: Mapping[str, Any], card: str) -> tuple[str, bytes]:
        """Key and value of a chargeback."""
        return card, encoded(CHARGEBACK, self._chargeback_id, truth)

    def flush(self) -> None:
        """Wait until all is acknowledged."""
        left = self._producer.flush(LIMIT_S)
        assert left == 0, f"{left} records are not acknowledged"

    def _send_one(self) -> None:
        number, card = self.sent, f"card{self._draw.randrange(_CARDS)}"
        value = self.payment(card)
        damaged: list[tuple[bytes | None, str]] = [
            (value[:-5], "truncated"),
            (b"\0" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + value[5:], "unknown_schema"),
            (None, "null_value"),
        ]
        is_damaged = number % 50 == 0
        self._produce("payments", card, *(damaged[number // 50 % 3] if is_damaged else (value, "predict")))
        if number % 2:
            truth = {"id": f"p{number}", "fraud": self._draw.random() < 0.3}
            self._produce("chargebacks", *self.label(truth, card), "learn")
        self.sent += 1

    def _produce(self, topic: str, card: str, value: bytes | None, should: str) -> None:
        headers: list[tuple[str, bytes | None]] = [(SHOULD, should.encode()), ("twice", b"\xff"), ("twice", None)]
        self._producer.produce(f"{self._app}.{topic}", value, card.encode(), headers=headers)
        self._producer.poll(0)


class SteadyTraffic:
    """Sends at a steady rate from a thread of its own, until the block ends."""

    def __init__(self, traffic: Traffic, per_second: int) -> None:
        self._traffic = traffic
        self._per_second = per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._traffic.flush()

    def _run(self) -> None:
        began, already = time.monotonic(), self._traffic.sent
        while not self._stop.wait(0.01):
            due = int((time.monotonic() - began) * self._per_second) + already - self._traffic.sent
            for _ in range(due):
                self._traffic._send_one()


def encoded(schema: Mapping[str, Any], schema_id: int, value: Mapping[str, Any]) -> bytes:
    """A value in Confluent wire format."""
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()
