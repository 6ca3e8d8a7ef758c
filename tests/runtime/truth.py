"""What must hold of an app whatever happened to its workers, seen from outside."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from confluent_kafka import Message

from stream.app import compile_app
from stream.engine import journal
from stream.engine.journal import JournalRecord
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.row_archive import RowArchive
from stream.engine.task import Task
from stream.kafka.packing import pack_batch
from stream.records import RecordBatch, TopicPartition
from tests.runtime.app import declare
from tests.runtime.deployment import Deployment
from tests.runtime.traffic import SHOULD

Identity = tuple[str, int, int]
HEADERS = ("error", "field", "expected", "got", "topic", "partition", "offset", "app", "time_ms")


def predicted(app: Deployment) -> list[Identity]:
    """Identity of each committed prediction."""
    return [(each["topic"], each["partition"], each["offset"]) for each in app.decoded(app.topics.predictions)]


def check_outputs(app: Deployment, at_least_once: bool = False) -> None:
    """Every accepted event has exactly one prediction, every rejected one exactly one dead letter as it came."""
    expected = {(each.topic(), each.partition(), each.offset()): each for each in app.records(app.events)}
    accepted = {place for place, message in expected.items() if should(message) == "predict"}
    found = predicted(app)
    assert set(found) == accepted
    assert at_least_once or len(found) == len(accepted)

    letters = app.records(app.topics.dead_letters)
    places = [came_from(letter) for letter in letters]
    assert Counter(places) == Counter(expected.keys() - accepted)
    for place, letter in zip(places, letters, strict=True):
        came = expected[place]
        assert (letter.key(), letter.value(), letter.timestamp()[1]) == (came.key(), came.value(), came.timestamp()[1])
        assert letter.headers()[: len(came.headers())] == came.headers()
        check_reason(app.name, letter, came)


# What a dead letter says it got, by the reason; the damage is traffic.py's.
GOT = {"truncated": "bytes", "unknown_schema": "99999", "null_value": "null"}


def check_reason(app: str, letter: Message, came: Message) -> None:
    """The headers that a dead letter has beside the record's own say what was wrong, and where."""
    added = {name: value.decode() for name, value in letter.headers()[len(came.headers()) :]}
    assert added.keys() == {f"stream.{name}" for name in HEADERS}
    assert (added["stream.error"], added["stream.app"]) == (should(came), app)
    assert (added["stream.topic"], int(added["stream.partition"])) == (came.topic(), came.partition())
    assert GOT[should(came)] in added["stream.got"]
    assert added["stream.expected"]
    assert int(added["stream.time_ms"]) >= came.timestamp()[1]


def should(message: Message) -> str:
    """What the sender said is to become of an event."""
    text: str = dict(message.headers())[SHOULD].decode()
    return text


def came_from(letter: Message) -> Identity:
    """Where the record of a dead letter stood."""
    headers = dict(letter.headers())
    return headers["stream.topic"].decode(), int(headers["stream.partition"]), int(headers["stream.offset"])


def check_journal(app: Deployment) -> None:
    """Every input offset lies in exactly one committed range, cycles form one chain, all is committed."""
    taken: dict[tuple[str, int], list[int]] = {(each.topic, each.partition): [] for each in app.inputs}
    offsets = {
        (topic, partition): np.array([message.offset() for message in messages])
        for topic in (app.events, app.labels)
        for partition, messages in app.by_partition(topic).items()
    }
    for partition in range(app.partitions):
        records = cycles(app, partition)
        journal.check_chain(records)
        for item in (item for record in records for item in record.ranges):
            there = offsets[item.topic, item.partition]
            inside = there[(there >= item.first) & (there <= item.last)]
            assert len(inside) == item.count
            taken[item.topic, item.partition] += inside.tolist()
    for source, positions in taken.items():
        assert positions == offsets.get(source, np.array([])).tolist(), source
    assert app.committed() == app.ends()


def check_transactions(app: Deployment) -> None:
    """Rule 11: a transaction holds one cycle of each task, and nothing of the next one.

    Markers of transactions take offsets, so that records whose offsets follow each other are of one transaction.
    """
    for messages in app.by_partition(app.topics.journal).values():
        assert all(later.offset() > earlier.offset() + 1 for earlier, later in pairwise(messages))
    cycle_of = {
        (item.topic, item.partition, offset): record.cycle
        for partition in range(app.partitions)
        for record in cycles(app, partition)
        for item in record.ranges
        for offset in range(item.first, item.last + 1)
    }
    transactions: list[dict[int, set[int]]] = []  # of each: cycles by task
    before = (-1, -1)
    for message, identity in zip(app.records(app.topics.predictions), predicted(app), strict=True):
        if before != (message.partition(), message.offset() - 1):
            transactions.append(defaultdict(set))
        before = message.partition(), message.offset()
        transactions[-1][identity[1]].add(cycle_of[identity])
    assert all(len(of_task) == 1 for transaction in transactions for of_task in transaction.values())
    assert len(transactions) > 1


def check_states(app: Deployment) -> None:
    """After a clean stop: each task's last snapshot is of its last cycle, and equals an engine run over the journal."""
    for partition in range(app.partitions):
        assert state_of_snapshot(app, partition) == state_of_journal(app, partition)


def cycles(app: Deployment, partition: int) -> list[JournalRecord]:
    """The committed journal of a task."""
    return [journal.decode(message.value()) for message in app.by_partition(app.topics.journal)[partition]]


def state_of_journal(app: Deployment, partition: int, plan: Plan | None = None) -> tuple[int, str]:
    """Last cycle, and digest of the state of a fresh engine that consumed what the journal says."""
    task, rows = _task(app, partition, plan), RowArchive()
    task.start_at(dict.fromkeys(task.sources, 0))
    inputs = {
        topic: pack_batch(TopicPartition(topic, partition), app.by_partition(topic)[partition])
        for topic in (app.events, app.labels)
    }
    for record in cycles(app, partition):
        for place, taken in enumerate(record.ranges):
            task.repeat_answers(record, place)
            batch = between(inputs[taken.topic], taken.first, taken.last)
            while len(batch):
                given = task.process(batch, taken.now_ms)
                rows.keep(given.rows)
                task.repeat_rows(rows.fetch(partition, given.needs_rows))
                assert given.needs_schema is None
                batch = batch.part(given.taken, len(batch))
        task.repeat_answers(record, len(record.ranges))
        task.close_replayed(record)
    return task.cycle, task.state.digest()


def state_of_snapshot(app: Deployment, partition: int, plan: Plan | None = None) -> tuple[int, str]:
    """Cycle and digest of the state in the newest snapshot."""
    store = app.open_store()
    stored = store.load(partition, {(record.cycle, record.digest) for record in cycles(app, partition)})
    store.close()
    assert stored.checkpoint is not None, stored.damaged
    task = _task(app, partition, plan)
    task.load(stored.checkpoint)
    return task.cycle, task.state.digest()


def _task(app: Deployment, partition: int, plan: Plan | None = None) -> Task:
    return Task(plan or plan_of(app), partition, 1, OutputFormat(app.topics, None, None))


def plan_of(app: Deployment) -> Plan:
    """The plan that its workers run."""
    return compile_app(declare(app.name), {})


def between(batch: RecordBatch, first: int, last: int) -> RecordBatch:
    """The records from one offset to another."""
    start, end = np.searchsorted(batch.offsets, [first, last + 1])
    return batch.part(int(start), int(end))


def duplicates(identities: Iterable[Identity]) -> int:
    """How many of them were there before."""
    return sum(count - 1 for count in Counter(identities).values())
