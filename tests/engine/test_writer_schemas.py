"""Writers' schemas: refusals hold for a while only, are journaled, and are bounded in number."""

from collections.abc import Iterable

import orjson
import pytest

from stream.engine import journal
from stream.engine.journal import SchemaAnswer
from stream.engine.protocol import Assigned, FetchSchema, SchemaFetched, SchemaRefused, StopRequested
from stream.engine.small_avro import decode_small
from stream.engine.source import REFUSALS_AT_MOST
from stream.engine.task import Task
from stream.records import RejectReason
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0, batch, encoded, plan_with_labels, task_of
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, Running, predicted_offsets, state_of, state_of_journal

NEWER = 9  # an id that the registry does not know at first
TEXT = orjson.dumps(EVENT_SCHEMA).decode()


@pytest.fixture
def empty_broker() -> MemoryBroker:
    """A broker whose registry knows the schemas of payments and chargebacks, and no events yet."""
    schemas = {1: TEXT, 2: orjson.dumps(LABEL_SCHEMA).decode()}
    return MemoryBroker(["payments", "chargebacks"], FORMAT.topics.journal, schemas)


def pay(broker: MemoryBroker, schema_ids: Iterable[int]) -> None:
    """Append payments of these schema ids."""
    for schema_id in schema_ids:
        number = len(broker.values("payments"))
        value = {"id": f"p{number}", "card": "card1", "amount": 9.0, "at": T0 + number, "text": "", "fraud": None}
        broker.append(EVENTS, b"card1", encoded(EVENT_SCHEMA, schema_id, value), T0 + number)


def answers_of(broker: MemoryBroker, schema_id: int) -> list[SchemaAnswer]:
    """The journaled answers about a schema."""
    records = [journal.decode(value) for value in broker.values(FORMAT.topics.journal) if value is not None]
    return [answer for record in records for answer in record.schemas if answer.schema_id == schema_id]


def begin(broker: MemoryBroker, snapshot_interval_ms: int = 1_000_000) -> Running:
    """A worker that handled all there is."""
    running = Running(broker, snapshot_interval_ms=snapshot_interval_ms)
    running.tell(Assigned((0,)))
    return running.finish()


@pytest.mark.parametrize("is_clean", [True, False], ids=["after a clean stop", "after a crash"])
def test_a_wrong_refusal_ends_with_the_next_start(empty_broker: MemoryBroker, is_clean: bool) -> None:
    """The registry's address was wrong; put right, the next worker asks anew, and journals what it hears (rule 3)."""
    broker = empty_broker
    pay(broker, [1, NEWER, NEWER, 1])
    first = begin(broker)
    assert len(broker.values("app.dead-letters")) == 2
    if is_clean:
        first.tell(StopRequested())
    broker.schemas = {**broker.schemas, NEWER: TEXT}
    pay(broker, [NEWER, 1, NEWER])

    second = begin(broker)

    assert predicted_offsets(broker) == [0, 3, 4, 5, 6]
    assert [bool(answer.refusal) for answer in answers_of(broker, NEWER)] == [True, False]
    assert state_of(second) == state_of_journal(broker)


def test_a_running_worker_asks_anew_with_each_snapshot(empty_broker: MemoryBroker) -> None:
    """A replica of the registry that lagged behind costs a minute of events, not all until the next start."""
    broker = empty_broker
    pay(broker, [NEWER])
    running = begin(broker, snapshot_interval_ms=1)
    broker.schemas = {**broker.schemas, NEWER: TEXT}
    pay(broker, [NEWER, NEWER])
    running.finish()

    assert predicted_offsets(broker) == [1, 2]
    assert state_of(running) == state_of_journal(broker) == state_of(begin(broker))


def test_between_snapshots_a_refused_schema_is_asked_for_once(empty_broker: MemoryBroker) -> None:
    """Each question stops the partition until it is answered."""
    pay(empty_broker, [NEWER, 1, NEWER] * 10)

    running = begin(empty_broker)

    asked = [each.schema_id for each in running.seen if isinstance(each, FetchSchema)]
    assert asked.count(NEWER) == 1


@pytest.mark.slow
def test_damaged_schema_ids_do_not_pile_up(empty_broker: MemoryBroker) -> None:
    """Ten thousand ids that nobody knows, some of them again: bounded memory, no trace in snapshots, one state."""
    broker = empty_broker
    ids = range(1_000, 1_000 + 2 * REFUSALS_AT_MOST)
    pay(broker, [1, *ids, ids[-1], ids[0], 1])
    running = begin(broker)

    (slot,) = running.worker.slots
    (source, _) = slot.task._sources.values()
    assert len(source.refused) == REFUSALS_AT_MOST
    assert len(answers_of(broker, ids[-1])) == 1
    assert len(answers_of(broker, ids[0])) == 2  # forgotten meanwhile, and asked for again
    assert len(slot.task.checkpoint(T0).facts["schemas"]) < 2 * len(TEXT)
    assert state_of(running) == state_of_journal(broker) == state_of(begin(broker))
    assert predicted_offsets(broker) == [0, len(ids) + 3]


def test_a_snapshot_forgets_refusals_in_memory_too() -> None:
    """What it does not hold must be journaled again behind it, or whoever loads it could not replay."""
    task = task_of(plan_with_labels())
    unknown = [(b"card1", b"\0\0\0\0\x09....")]
    task.process(batch("payments", list(unknown)), T0)
    task.answer_schema(SchemaRefused(NEWER, RejectReason.UNKNOWN_SCHEMA, "unknown"))
    assert task.process(batch("payments", list(unknown)), T0).taken == 1
    task.close_cycle()

    loaded = Task(plan_with_labels(), 0, 2, FORMAT)
    loaded.load(task.checkpoint(T0))

    for each in (task, loaded):
        assert each.process(batch("payments", list(unknown), 1), T0).needs_schema == NEWER


def test_a_long_refusal_is_cut() -> None:
    """A registry may answer with a page; the journal and dead letters hold a line."""
    task = task_of(plan_with_labels())
    unknown = batch("payments", [(b"card1", b"\0\0\0\0\x09....")])
    task.process(unknown, T0)
    task.answer_schema(SchemaRefused(NEWER, RejectReason.UNKNOWN_SCHEMA, "no " * 1_000_000))
    task.process(unknown, T0)

    record = task.close_cycle().journal_output
    (start, end) = record.values[0]
    assert end - start < 100_000
    assert (
        decode_small("journal", record.data[start + 10 : end].tobytes())["schemas"][-1]["refusal"] == "unknown_schema"
    )


def test_a_schema_too_large_for_the_journal_is_refused() -> None:
    """A cycle's record holds the schemas that it met: one of a megabyte would never be committed (rule 12)."""
    task = task_of(plan_with_labels())
    newer = batch("payments", [(b"card1", b"\0\0\0\0\x09....")])
    task.process(newer, T0)
    task.answer_schema(SchemaFetched(NEWER, orjson.dumps({**EVENT_SCHEMA, "doc": "x" * 1_000_000}).decode()))
    task.process(newer, T0)

    answer = task.close_cycle().journal.schemas[-1]
    assert (answer.refusal, answer.schema) == ("unresolvable_schema", "")
    assert answer.message.endswith(" bytes, 262144 at most")
