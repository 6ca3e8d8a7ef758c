"""A deployment of an app with stages, seen from outside."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from confluent_kafka import Message

from stream.app import compile_stages
from stream.cli.topic_creation import planned
from stream.engine import journal
from stream.engine.effects import OutputBatch
from stream.engine.journal import JournalRecord
from stream.engine.learned_labels import LabelReader
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small
from stream.engine.snapshot import Checkpoint
from stream.engine.task import Task
from stream.kafka.packing import pack_batch
from stream.kafka.snapshots import TopicSnapshotStore
from stream.records import TopicPartition
from stream.runtime.settings import Settings
from tests.runtime.deployment import Deployment
from tests.runtime.processes import WorkerProcess
from tests.runtime.staged_app import CARD_CHARGEBACK, SHOP_PAYMENT, declare_staged
from tests.runtime.traffic import Traffic, encoded
from tests.runtime.truth import between, predicted, should
from tests.runtime.waiting import wait_until

SHOPS = 7
STAGED_APP = "tests/runtime/staged_app.py:app"


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
        self.admin.create(planned(self.stages, Settings(), self.partitions, -1, with_inputs=True).topics)
        self.shorten_sessions()

    def start(
        self, slot: str = "0", arguments: Sequence[str] = (), target: str = STAGED_APP, **settings: str
    ) -> WorkerProcess:
        """Start a worker of all stages."""
        return super().start(slot, arguments, target, **settings)

    @property
    def groups(self) -> list[str]:
        """Of each stage its own."""
        return [plan.name for plan in self.stages]

    def is_handled(self) -> bool:
        """Whether every stage has taken all records of its inputs, in committed cycles.

        In the order in which the stages stand, twice: the last one sends labels back to an earlier one.
        """
        reads = [(plan, topic) for plan in self.stages for topic in input_topics(plan)]
        return all(self.taken(plan, topic) >= len(self.records(topic)) for plan, topic in (*reads, *reads))

    def wait_until_predicted(self) -> None:
        """Until every event that should be predicted is, and every label has passed its stage and the last one."""
        expected = sum(should(message) == "predict" for message in self.records(self.events))
        labels = len(self.records(self.labels))
        wait_until(
            lambda: len(self.records(self.topics.predictions)) >= expected, f"{expected} predictions", self.explain
        )
        wait_until(lambda: self.labels_taken() >= labels, f"{labels} labels", self.explain)

    def labels_taken(self) -> int:
        """Labels in committed cycles of the last stage, or of the only one, which reads them where they come from."""
        last = self.stages[-1]
        assert last.labels is not None
        return self.taken(last, self.labels, last.labels.topic)

    def taken(self, plan: Plan, *topics: str) -> int:
        """Records of these topics in committed cycles of a stage."""
        cycles = [journal.decode(message.value()) for message in self.records(names_of(self, plan).topics.journal)]
        return sum(item.count for cycle in cycles for item in cycle.ranges if item.topic in topics)


def input_topics(plan: Plan) -> list[str]:
    """What a stage reads."""
    return [plan.input_topic, *([plan.labels.topic] if plan.labels else [])]


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


def check_ranges(app: Staged, plan: Plan) -> int:
    """Every offset of its inputs lies in exactly one committed range; how many records its input topic has."""
    journals = journals_of(app, plan)
    for topic, partitions in inputs_of(app, plan).items():
        for partition in range(app.partitions):
            ranges = [item for record in journals[partition] for item in record.ranges if item.topic == topic]
            there = np.array([message.offset() for message in partitions[partition]], np.int64)
            taken = [there[(there >= item.first) & (there <= item.last)] for item in ranges]
            assert [len(each) for each in taken] == [item.count for item in ranges], (topic, partition)
            assert np.concatenate([*taken, there[:0]]).tolist() == there.tolist(), (topic, partition)
    return len(app.records(plan.input_topic))


def are_what_their_journals_give(app: Staged) -> bool:
    """Whether fresh engines over the journals of all stages have the state of the last snapshots, and send on what was
    sent on."""
    sent = Sent()
    are_alike = [_is_what_its_journals_give(app, plan, sent) for plan in app.stages]
    between_stages = {each.input_topic for each in app.stages if each.arrives} | set(app.stages[-1].handed_on)
    read = {topic: Counter(message.value() for message in app.records(topic)) for topic in between_stages}
    return all(are_alike) and all(sent[topic] == read[topic] for topic in between_stages)


def _is_what_its_journals_give(app: Staged, plan: Plan, sent: "Sent") -> bool:
    inputs, journals, are_alike = inputs_of(app, plan), journals_of(app, plan), True
    for partition, records in journals.items():
        if not records:
            continue  # no shop's events lie there
        task = replayed(app, plan, partition, records, inputs, sent)
        loaded = Task(plan, partition, 1, names_of(app, plan))
        loaded.load(newest_checkpoint(app, plan, partition, records))
        are_alike &= (loaded.cycle, loaded.state.digest()) == (task.cycle, task.state.digest())
    return are_alike


class Sent(defaultdict[str, Counter[bytes]]):
    """How often each value was sent to each topic."""

    def __init__(self) -> None:
        super().__init__(Counter)

    def add(self, batches: Iterable[OutputBatch]) -> None:
        """Count the values of these."""
        for batch in batches:
            self[batch.topic].update(batch.data[start:end].tobytes() for start, end in batch.values)


def inputs_of(app: Staged, plan: Plan) -> dict[str, dict[int, list[Message]]]:
    """Records of a stage's input topics, by partition."""
    return {topic: app.by_partition(topic) for topic in input_topics(plan)}


def journals_of(app: Staged, plan: Plan) -> dict[int, list[JournalRecord]]:
    """The committed journals of a stage's tasks, each of them one chain."""
    found = app.by_partition(names_of(app, plan).topics.journal)
    journals = {
        partition: [journal.decode(message.value()) for message in found[partition]]
        for partition in range(app.partitions)
    }
    for records in journals.values():
        journal.check_chain(records)
    return journals


def replayed(
    app: Staged,
    plan: Plan,
    partition: int,
    records: Sequence[JournalRecord],
    inputs: Mapping[str, Mapping[int, list[Message]]],
    sent: Sent,
) -> Task:
    """A fresh task that consumed what a journal says; what it sends on is added to `sent`."""
    batches = {
        topic: pack_batch(TopicPartition(topic, partition), found[partition])
        for topic, found in inputs.items()
        if found[partition]
    }
    task = Task(plan, partition, 1, names_of(app, plan))
    task.start_at(dict.fromkeys(task.sources, 0))
    for record in records:
        for place, item in enumerate(record.ranges):
            task.repeat_answers(record, place)
            batch = between(batches[item.topic], item.first, item.last)
            given = task.process(batch, item.now_ms)
            assert given.taken == len(batch), given
            sent.add((*given.sent_on, *given.transactional))
        task.repeat_answers(record, len(record.ranges))
        task.close_replayed(record)
    return task


def newest_checkpoint(app: Staged, plan: Plan, partition: int, records: Sequence[JournalRecord]) -> Checkpoint:
    """The newest snapshot of a task that stands in its journal."""
    kafka = replace(app.kafka, group_id=plan.name, transactional_id="reader")
    with closing(TopicSnapshotStore(kafka, names_of(app, plan).topics.snapshots)) as store:
        stored = store.load(partition, {(record.cycle, record.digest) for record in records})
    assert stored.checkpoint is not None, stored.damaged
    return stored.checkpoint


def check_order(app: Staged) -> None:
    """Rule 34: predictions of a card's events leave in the order of the events: both lie in one partition."""
    places: dict[tuple[bytes, int], int] = {}
    for message, (topic, partition, offset) in zip(app.records(app.topics.predictions), predicted(app), strict=True):
        before = places.get((message.key(), partition), -1)
        assert offset > before, (topic, partition, offset, before)
        places[message.key(), partition] = offset
