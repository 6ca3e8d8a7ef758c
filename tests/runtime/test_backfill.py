"""A backfill on a real Kafka: a file with times of its own, learned from the beginning, told from a day on."""

import json
import signal
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.kafka.reader import Reader
from stream.records import RecordBatch, TopicPartition
from tests.cli.commands import project, run
from tests.conftest import KERNELS, MakeTopic
from tests.runtime.processes import WorkerProcess
from tests.runtime.waiting import wait_until

__all__ = ["project"]

DAY = "2025-02-01"
DAY_MS = int(datetime(2025, 2, 1, tzinfo=UTC).timestamp() * 1000)
ORDERS = 2


class Shop:
    """The project of `stream init` with topics and a group of its own."""

    def __init__(self, broker: LocalBroker, folder: Path, orders: str) -> None:
        self.name, self.orders = f"shop{uuid.uuid4().hex[:8]}", orders
        self._broker, self._folder = broker, folder
        text = (folder / "shop.py").read_text()
        (folder / "shop.py").write_text(
            text.replace('App("shop")', f'App("{self.name}")').replace("shop-orders", orders)
        )
        (folder / "stream.toml").unlink()
        self._settings = KafkaSettings(self.name, f"{self.name}-test", broker.bootstrap_servers)
        self._started = 0

    def send(self) -> None:
        """All orders of the file, with their own times."""
        sent = ["produce", "orders.csv", "--topic", self.orders, "--schema", "order", "--key", "customer"]
        assert run(*sent, "--time", "ordered_at").exit_code == 0

    def start(self, *arguments: str) -> WorkerProcess:
        """Start a worker."""
        self._started += 1
        environment = {
            "STREAM_BOOTSTRAP_SERVERS": self._broker.bootstrap_servers,
            "STREAM_REGISTRY_URL": self._broker.registry_url,
            "STREAM_CACHE": str(KERNELS),
            "STREAM_METRICS_PORT": "-1",
            "STREAM_OUTPUT_FORMAT": "json",
            "STREAM_GROUP_PROTOCOL": "classic",
            "STREAM_GROUP_INSTANCE_ID": self.name,  # after kill -9 it is back at once
            "STREAM_POLL_RECORDS": "200",
        }
        log = self._folder / f"{self._started}.log"
        return WorkerProcess(environment, log, arguments, f"{self._folder / 'shop.py'}:app")

    def is_behind(self) -> bool:
        """Whether anything is not committed yet."""
        sources = tuple(TopicPartition(self.orders, number) for number in range(ORDERS))
        with Reader(self._settings) as reader:
            committed = reader.committed(sources)
            ends = {source: reader.watermarks(source)[1] for source in sources}
        return {source: at.next_offset for source, at in committed.items()} != ends

    def has_begun(self) -> bool:
        """Whether every task has committed a cycle."""
        return {batch.partition for batch in self.records(f"{self.name}.journal")} == set(range(ORDERS))

    def records(self, topic: str) -> list[RecordBatch]:
        """All committed records of a topic."""
        with Reader(self._settings) as reader:
            found = [list(reader.read_to_end(TopicPartition(topic, number), 0)) for number in reader.partitions(topic)]
        return [batch for batches in found for batch in batches]

    def orders_since(self, time_ms: int) -> list[tuple[int, int]]:
        """Partition and offset of each order with this timestamp or a later one."""
        return sorted(
            (batch.partition, int(offset))
            for batch in self.records(self.orders)
            for offset, at_ms in zip(batch.offsets, batch.timestamps_ms, strict=True)
            if at_ms >= time_ms
        )

    def predicted(self) -> list[tuple[int, int]]:
        """Partition and offset of each prediction's event, in no order."""
        values = []
        for batch in self.records(f"{self.name}.predictions"):
            data = batch.data.tobytes()
            values += [json.loads(data[start:end]) for start, end in batch.values.tolist()]
        return sorted((value["partition"], value["offset"]) for value in values)


@pytest.fixture
def shop(broker: LocalBroker, project: Path, topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Orders of 2025 with the times of their rows, which the topic keeps; and the app's topics."""
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("STREAM_REGISTRY_URL", broker.registry_url)
    made = Shop(broker, project, topic("orders", ORDERS, retention_ms="-1"))
    made.send()
    assert run("topics", "create", "shop.py:app").exit_code == 0
    return made


def test_a_year_is_learned_and_only_what_comes_after_a_day_is_told(shop: Shop) -> None:
    """kill -9, more of the past, and a start that is told nothing: the day holds."""
    killed = shop.start("--from", "beginning", "--emit-from", DAY)
    killed.wait(shop.has_begun, "a first cycle of each task")
    killed.end(signal.SIGKILL)
    shop.send()
    last = shop.start()
    wait_until(lambda: not shop.is_behind(), "all is committed", last.explain)
    assert last.end() == 0

    assert shop.predicted() == shop.orders_since(DAY_MS) != []


def test_reading_begins_at_a_time(shop: Shop) -> None:
    """--from TIME: the first order of that day in each partition is the first one that is told, and learned."""
    worker = shop.start("--from", DAY)
    wait_until(lambda: not shop.is_behind(), "all is committed", worker.explain)
    assert worker.end() == 0
    assert shop.predicted() == shop.orders_since(DAY_MS) != []
