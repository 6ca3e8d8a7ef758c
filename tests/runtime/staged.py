"""A deployment of an app with stages, seen from outside."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stream.app import compile_stages
from stream.cli.topic_creation import planned
from stream.engine import journal
from stream.engine.learned_labels import LabelReader
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.kafka.admin import Admin
from stream.kafka.packing import pack_batch
from stream.kafka.snapshots import TopicSnapshotStore
from stream.records import TopicPartition
from stream.runtime.settings import Settings
from tests.runtime.deployment import Deployment
from tests.runtime.processes import WorkerProcess
from tests.runtime.staged_app import CARD_CHARGEBACK, SHOP_PAYMENT, declare_staged
from tests.runtime.traffic import Traffic, encoded
from tests.runtime.truth import _between, predicted, should
from tests.runtime.waiting import wait_until

SHOPS = 7


class ShopTraffic(Traffic):
    """Payments say in which shop they were made; some do not know."""

    def payment(
        self, card: str, schema: Mapping[str, Any] = SHOP_PAYMENT, schema_id: int | None = None, **more: Any
    ) -> bytes:
        """An encoded payment of the next id."""
        shop = None if self.sent % 40 == 7 else f"shop{self.sent * 7919 % SHOPS}"
        return super().payment(card, schema, schema_id, shop=shop, **more)

    def label(self, truth: Mapping[str, Any], card: str) -> tuple[str, bytes]:
        """Under the payment's id, wherever that lies."""
        return str(truth["id"]), encoded(CARD_CHARGEBACK, self._chargeback_id, {**truth, "card": card})


class Staged(Deployment):
    """One app in three stages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stages = compile_stages(declare_staged(self.name), {}, self.partitions)
        self.traffic = ShopTraffic(self.broker.bootstrap_servers, self.broker.registry_url, self.name)
        self.traffic.payment_id = self.traffic.register(f"{self.name}.payments-value", SHOP_PAYMENT)
        self.traffic._chargeback_id = self.traffic.register(f"{self.name}.cards-value", CARD_CHARGEBACK)

    def create_topics(self, horizon_ms: int = 0) -> None:
        """Make all topics of the app, as `stream topics create --inputs` does."""
        Admin(self.kafka).create(planned(self.stages, Settings(), self.partitions, -1, with_inputs=True).topics)

    def start_staged(self, slot: str = "0", **settings: str) -> WorkerProcess:
        """Start a worker of all stages."""
        return self.start(slot, target="tests/runtime/staged_app.py:app", **settings)

    def wait_until_predicted(self) -> None:
        """Until every event that should be predicted is, and every label has passed its stage and the last one."""
        expected = sum(should(message) == "predict" for message in self.records(self.events))
        labels = len(self.records(self.labels))
        wait_until(lambda: len(predicted(self)) >= expected, f"{expected} predictions", self.explain)
        wait_until(lambda: self.labels_taken() >= labels, f"{labels} labels", self.explain)

    def wait_until_labels_are_back(self) -> None:
        """Until the shops' stage has taken all that came to it, labels that were learned among it."""
        shops = self.stages[2]
        wait_until(
            lambda: self._taken(shops, shops.input_topic) == len(self.records(shops.input_topic)),
            f"all of {shops.input_topic}",
            self.explain,
        )

    def labels_taken(self) -> int:
        """Labels in committed cycles of the last stage, or of the only one, which reads them where they come from."""
        last = self.stages[-1]
        assert last.labels is not None
        return self._taken(last, self.labels, last.labels.topic)

    def _taken(self, plan: Plan, *topics: str) -> int:
        cycles = [journal.decode(message.value()) for message in self.records(names_of(self, plan).topics.journal)]
        return sum(item.count for cycle in cycles for item in cycle.ranges if item.topic in topics)


def names_of(app: Staged, plan: Plan) -> OutputFormat:
    """The topics of a stage."""
    return OutputFormat(Settings().topics(app.name, plan.stage), None, None)


def labels_sent_back(app: Staged) -> Counter[tuple[int, int]]:
    """How often each event's label, by the event's partition and offset, went back to the shops' stage."""
    source, reader, back = app.stages[2].input_topic, LabelReader(), Counter[tuple[int, int]]()
    for partition, found in app.by_partition(source).items():
        batch = pack_batch(TopicPartition(source, partition), found)
        for row in np.flatnonzero(reader.are_labels(batch)):
            label = decode_small("learned-label", batch.data[slice(*batch.values[row])].tobytes()[10:])
            back[label["partition"], label["offset"]] += 1
    return back


def check_stage(app: Staged, plan: Plan) -> int:
    """Its journal takes every record of its inputs once, and its snapshots are what a fresh engine makes of that.

    Returns:
        Records of its input topic.
    """
    format, taken = names_of(app, plan), 0
    inputs = [plan.input_topic, *([plan.labels.topic] if plan.labels else [])]
    by_topic = {topic: app.by_partition(topic) for topic in inputs}
    journals = app.by_partition(format.topics.journal)
    for partition in range(app.partitions):
        records = [journal.decode(message.value()) for message in journals[partition]]
        journal.check_chain(records)
        batches = {
            topic: pack_batch(TopicPartition(topic, partition), found[partition])
            for topic, found in by_topic.items()
            if found[partition]
        }
        task = Task(plan, partition, 1, format)
        task.start_at(dict.fromkeys(task.sources, 0))
        counts: Counter[str] = Counter()
        for record in records:
            for place, item in enumerate(record.ranges):
                task.repeat_answers(record, place)
                batch = _between(batches[item.topic], item.first, item.last)
                assert len(batch) == item.count
                counts[item.topic] += len(batch)
                task.process(batch, item.now_ms)
            task.repeat_answers(record, len(record.ranges))
            task.close_replayed(record)
        assert counts == {topic: len(batch) for topic, batch in batches.items()}
        taken += counts[plan.input_topic]
        store = TopicSnapshotStore(
            replace(app.kafka, group_id=plan.name, transactional_id="reader"), format.topics.snapshots
        )
        stored = store.load(partition, {(record.cycle, record.digest) for record in records})
        store.close()
        assert stored.checkpoint is not None, stored.damaged
        loaded = Task(plan, partition, 1, format)
        loaded.load(stored.checkpoint)
        assert (loaded.cycle, loaded.state.digest()) == (task.cycle, task.state.digest())
    return taken


def check_order(app: Staged) -> None:
    """Rule 34: predictions of a card's events leave in the order of the events: both lie in one partition."""
    places: dict[tuple[bytes, int], int] = {}
    for message, (topic, partition, offset) in zip(app.records(app.topics.predictions), predicted(app), strict=True):
        before = places.get((message.key(), partition), -1)
        assert offset > before, (topic, partition, offset, before)
        places[message.key(), partition] = offset
