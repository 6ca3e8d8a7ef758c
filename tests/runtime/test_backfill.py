"""A backfill on a real Kafka: a file with times of its own, learned from the beginning, told from a day on."""

import csv
import json
import signal
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
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

    def write_long_file(self) -> tuple[str, list[str]]:
        """The orders eight times over, one behind the other, each with an id of its own: a file, and its ids."""
        with Path("orders.csv").open() as file:
            rows = list(csv.DictReader(file))
        with Path("long.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            for copy in range(8):
                for row in rows:
                    ordered_at = datetime.fromisoformat(row["ordered_at"]) + timedelta(days=65 * copy)
                    again = {"order_id": f"{copy}-{row['order_id']}", "ordered_at": ordered_at.isoformat()}
                    writer.writerow({**row, **again})
        return str(self._folder / "long.csv"), [f"{copy}-{row['order_id']}" for copy in range(8) for row in rows]

    def send_live(self) -> None:
        """200 orders of this moment."""
        sent = ["produce", "orders.csv", "--topic", self.orders, "--schema", "order", "--key", "customer"]
        assert run(*sent, "--limit", "200").exit_code == 0

    def loaded_rows(self) -> int:
        """Rows of a file that are committed so far."""
        source = TopicPartition(self.orders, 0)
        with Reader(replace(self._settings, group_id=f"{self.name}.backfill")) as reader:
            committed = reader.committed((source,))
        return int(committed[source].metadata.split(":")[1]) if committed else 0

    def order_ids(self) -> list[str]:
        """Of every order in the topic; the id is the first field behind the registry's header."""
        ids = []
        for batch in self.records(self.orders):
            data = batch.data.tobytes()
            ids += [data[start + 6 : start + 6 + data[start + 5] // 2].decode() for start, _ in batch.values.tolist()]
        return ids

    def start(self, *arguments: str, slot: str = "0") -> WorkerProcess:
        """Start a worker."""
        self._started += 1
        environment = {
            "STREAM_BOOTSTRAP_SERVERS": self._broker.bootstrap_servers,
            "STREAM_REGISTRY_URL": self._broker.registry_url,
            "STREAM_CACHE": str(KERNELS),
            "STREAM_METRICS_PORT": "-1",
            "STREAM_OUTPUT_FORMAT": "json",
            "STREAM_GROUP_PROTOCOL": "classic",
            "STREAM_SLOT": slot,
            "STREAM_GROUP_INSTANCE_ID": f"{self.name}-{slot}",  # after kill -9 it is back at once
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

    def has_predicted(self, count: int) -> bool:
        """Whether so many events are."""
        return len(self.predicted()) >= count

    def predicted(self) -> list[tuple[int, int]]:
        """Partition and offset of each prediction's event, in no order."""
        values = []
        for batch in self.records(f"{self.name}.predictions"):
            data = batch.data.tobytes()
            values += [json.loads(data[start:end]) for start, end in batch.values.tolist()]
        return sorted((value["partition"], value["offset"]) for value in values)


@pytest.fixture
def empty_shop(broker: LocalBroker, project: Path, topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The app's topics, and one of orders that keeps what is old and has none yet."""
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("STREAM_REGISTRY_URL", broker.registry_url)
    made = Shop(broker, project, topic("orders", ORDERS, retention_ms="-1"))
    assert run("topics", "create", "shop.py:app").exit_code == 0
    return made


@pytest.fixture
def shop(empty_shop: Shop) -> Shop:
    """The same with orders of 2025, with the times of their rows."""
    empty_shop.send()
    return empty_shop


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


def test_a_file_is_learned_from_once_whatever_interrupts_it(empty_shop: Shop) -> None:
    """kill -9 in the midst of the load, the same command on two machines at once, and once more.

    Each row is there once, and none is told.
    """
    shop = empty_shop
    file, ids = shop.write_long_file()
    killed = shop.start("--from", file)
    killed.wait(shop.loaded_rows, "a first chunk")
    killed.end(signal.SIGKILL)
    assert 0 < shop.loaded_rows() < len(ids), "it was killed in the midst"

    began_ms = int(time.time() * 1000)
    for count, slots in ((200, "01"), (400, "0")):
        workers = [shop.start("--from", file, slot=slot) for slot in slots]
        for worker in workers:
            worker.wait_for_log("started")
        shop.send_live()
        wait_until(partial(shop.has_predicted, count), "all is predicted", workers[0].explain)
        assert [worker.end() for worker in workers] == [0] * len(slots)

    assert shop.predicted() == shop.orders_since(began_ms)
    told = Counter(shop.order_ids())
    assert all(told[order_id] == 1 for order_id in ids)
    assert sum(told.values()) == len(ids) + 400
