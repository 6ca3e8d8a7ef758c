"""A task turns batches into outputs; state and outputs depend on the records and their order alone."""

import hashlib
import random

import pytest

from stream.engine.dead_letters import dead_letters
from stream.engine.effects import OutputBatch
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaRefused
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.headers import unpack
from stream.records import RecordBatch, Rejection, RejectReason
from tests.engine.build import (
    EVENT_SCHEMA,
    FORMAT,
    T0,
    batch,
    chargebacks,
    encoded,
    payments,
    plan_with_label_field,
    plan_with_labels,
    task_of,
)


def records_of(batches: tuple[OutputBatch, ...]) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of output batches, in order."""

    def part(output: OutputBatch, span: tuple[int, int]) -> bytes | None:
        return None if span[0] < 0 else output.data[span[0] : span[1]].tobytes()

    return [
        (part(output, output.keys[row]), part(output, output.values[row]))
        for output in batches
        for row in range(len(output))
    ]


def run(task: Task, work: list[RecordBatch], cuts: random.Random | None) -> list[tuple[bytes | None, bytes | None]]:
    """Process batches whole, or cut at random places; returns what came out, predictions first."""
    predictions, others = [], []
    for whole in work:
        first = 0
        while first < len(whole):
            end = min(len(whole), first + (cuts.randrange(1, 40) if cuts else len(whole)))
            outputs = task.process(whole.part(first, end), T0)
            predictions += records_of(outputs.predictions)
            others += records_of(outputs.transactional)
            first = end
    return predictions + others


def work_with_labels() -> list[RecordBatch]:
    """Events and labels in turn: labels late, early, twice and of unknown events."""
    events, labels = payments(600), chargebacks([3, 700, 5, 5, 250, 350, 350, 900])
    return [
        batch("payments", events[:300]),
        batch("chargebacks", labels),
        batch("payments", events[300:], 300),
        batch("chargebacks", chargebacks(range(100, 500)), 8),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_cut_into_batches_gives_the_same_outputs_and_state(seed: int) -> None:
    """Promise 2: however the stream is cut, every byte that leaves and every bit of state are the same."""
    whole, cut = task_of(plan_with_labels()), task_of(plan_with_labels())

    came_whole = run(whole, work_with_labels(), None)
    came_cut = run(cut, work_with_labels(), random.Random(seed))

    assert came_cut == came_whole
    assert cut.state.digest() == whole.state.digest()


def test_labels_in_the_event_teach_before_the_next_event_is_scored() -> None:
    """Cut into single records or not, the scores are those of predict-then-learn."""
    plan = plan_with_label_field()
    whole, cut = task_of(plan), task_of(plan)
    events = [batch("payments", payments(300, has_label=True))]

    assert run(whole, events, None) == run(cut, events, random.Random(1))
    assert whole.state.digest() == cut.state.digest()


def test_a_replay_learns_the_same_and_encodes_no_predictions() -> None:
    """They left when the records were first handled; what comes behind the replay has its own again."""
    live, replaying = task_of(plan_with_labels()), task_of(plan_with_labels())
    *journaled, last = work_with_labels()
    new = batch("payments", payments(50, seed=9), 600)
    run(live, [*journaled, last], None)

    outputs = [replaying.replay(each, T0) for each in (*journaled, last)]

    assert [each.predictions for each in outputs] == [()] * len(outputs)
    assert replaying.state.digest() == live.state.digest()
    assert run(replaying, [new], None) == run(live, [new], None) != []


@pytest.mark.parametrize("plan", [plan_with_labels(), plan_with_label_field()], ids=["label topic", "label field"])
def test_a_checkpoint_loaded_elsewhere_continues_bit_for_bit(plan: Plan) -> None:
    """Save then continue equals continue."""
    task, other = task_of(plan), Task(plan, 0, 1, FORMAT)
    run(task, [batch("payments", payments(200, has_label=True))], None)
    task.close_cycle()

    other.load(task.checkpoint(T0))
    rest = [batch("payments", payments(200, seed=5, has_label=True), 200)]

    assert run(other, rest, None) == run(task, rest, None)
    assert other.state.digest() == task.state.digest()
    assert other.close_cycle().journal == task.close_cycle().journal


def test_every_kind_of_label_has_its_result() -> None:
    """Early, on time, twice and for an event that never comes: each is counted once."""
    task = task_of(plan_with_labels())
    task.process(batch("payments", [pay("p0", 0), pay("p1", 1)]), T0)
    task.process(batch("chargebacks", chargebacks([0, 0, 5, 9])), T0)
    task.process(batch("payments", [pay("p5", 2)], 2), T0)
    hours = 3 * 3_600_000
    task.process(batch_at("payments", [pay("p6", hours)], 3, hours), T0)
    task.process(batch("chargebacks", chargebacks([1]), 4), T0)

    assert task.state.labels is not None
    counts = task.state.labels.counts
    assert (counts.joined, counts.duplicate, counts.early, counts.early_joined) == (1, 1, 3, 1)
    assert counts.unknown == 1  # p9 never came within two horizons


def test_a_label_behind_the_horizon_is_too_late() -> None:
    """The features are gone after the horizon (1 h): the label is counted, and nothing is learned."""
    task = task_of(plan_with_labels())
    task.process(batch("payments", [pay("p0", 0)]), T0)
    later = 90 * 60_000
    task.process(batch_at("payments", [pay("p1", later)], 1, later), T0)
    task.process(batch("chargebacks", chargebacks([0])), T0)

    assert task.state.labels is not None
    assert task.state.labels.counts.too_late == 1
    assert task.state.labels.counts.joined == 0


def test_a_rejected_record_becomes_a_dead_letter_with_its_reason() -> None:
    """Key, value and timestamp as they came, and headers that say what was wrong and where."""
    task = task_of(plan_with_labels())
    good, damaged = pay("p0", 0), pay("p1", 1)
    assert damaged[1] is not None

    outputs = task.process(batch("payments", [good, (damaged[0], damaged[1][:-9])]), T0 + 7)

    (letters,) = outputs.transactional
    headers = dict(unpack(letters.data[slice(*letters.headers[0])].tobytes()))
    assert records_of((letters,)) == [(damaged[0], damaged[1][:-9])]
    assert headers["stream.error"] == b"truncated"
    assert headers["stream.topic"] == b"payments"
    assert headers["stream.offset"] == b"1"
    assert headers["stream.time_ms"] == str(T0 + 7).encode()
    assert len(outputs.predictions[0]) == 1


def test_an_event_far_in_the_future_is_rejected() -> None:
    """One event of next year must not close every window of the partition."""
    task = task_of(plan_with_labels())
    outputs = task.process(batch("payments", [pay("p0", 2 * 3_600_000), pay("p1", 0)]), T0)

    (letters,) = outputs.transactional
    headers = dict(unpack(letters.data[slice(*letters.headers[0])].tobytes()))
    assert headers["stream.error"] == b"time_ahead"
    assert headers["stream.field"] == b"at"


def test_a_prediction_says_all_that_its_schema_promises() -> None:
    """Identity, event id, key, score, decision and times; the id is topic, partition and offset."""
    task = task_of(plan_with_labels())
    outputs = task.process(batch("payments", [pay("p0", 5)], 41), T0 + 9)

    ((key, value),) = records_of(outputs.predictions)
    assert value is not None
    prediction = decode_small("prediction", value[5:])
    assert key == b"card1"
    assert value[:5] == b"\0\0\0\0\x07"
    assert (prediction["topic"], prediction["partition"], prediction["offset"]) == ("payments", 0, 41)
    assert (prediction["event_id"], prediction["key"]) == ("p0", b"card1")
    assert (prediction["score"], prediction["decision"], prediction["threshold"]) == (0.5, "true", 0.5)
    assert prediction["scores"] == [{"model": "champion", "label": None, "score": 0.5}]
    assert (prediction["event_time"], prediction["processing_time"]) == (T0 + 5, T0 + 9)


def test_an_unknown_schema_stops_the_task_at_its_record() -> None:
    """What came before is handled; the record that needs the schema waits for the answer."""
    task = task_of(plan_with_labels())
    newer = pay("p1", 1, schema_id=99)
    outputs = task.process(batch("payments", [pay("p0", 0), newer, pay("p2", 2)]), T0)

    assert (outputs.taken, outputs.needs_schema) == (1, 99)


def pay(event_id: str, at: int, schema_id: int = 1) -> tuple[bytes, bytes]:
    """One payment of card1, `at` ms after T0."""
    value = {"id": event_id, "card": "card1", "amount": 10.0, "at": T0 + at, "text": "taxi", "fraud": None}
    return b"card1", encoded(EVENT_SCHEMA, schema_id, value)


def batch_at(topic: str, records: list[tuple[bytes, bytes]], first: int, at: int) -> RecordBatch:
    """A batch whose records' own timestamps lie `at` ms after T0, too."""
    made = batch(topic, list(records), first)
    made.timestamps_ms[:] = T0 + at
    return made


def test_a_snapshot_holds_no_answer_that_its_journal_lacks() -> None:
    """An answer of the open cycle stays out: whoever loads it asks again, so that a replay from the start knows it."""
    task = task_of(plan_with_labels())
    task.process(batch("payments", payments(3)), T0)
    task.close_cycle()
    of_a_new_schema = batch("payments", [(b"card1", b"\0\0\0\0\x09...")], 3)
    assert task.process(of_a_new_schema, T0).needs_schema == 9
    task.answer_schema(SchemaRefused(9, RejectReason.UNKNOWN_SCHEMA, "unknown"))

    loaded = Task(plan_with_labels(), 0, 2, FORMAT)
    loaded.load(task.checkpoint(T0))

    assert loaded.process(of_a_new_schema, T0).needs_schema == 9
    assert loaded.process(batch("payments", payments(1), 3), T0).taken == 1


def test_a_dead_letter_too_large_for_its_topic_carries_a_pointer_and_a_checksum() -> None:
    """Rule 12: the record stays where it is; topic, partition, offset and SHA-256 lead to it."""
    value = b"\0\0\0\0\x01" + b"x" * 2000
    letters = dead_letters(
        "dead",
        "app",
        batch("payments", [(b"card1", value), (b"card1", b"small")], 41),
        [Rejection(row, RejectReason.TRUNCATED, "id", "a string", "the end") for row in (0, 1)],
        T0,
        max_record_bytes=1500,
    )

    headers = dict(unpack(letters.data[slice(*letters.headers[0])].tobytes()))
    assert records_of((letters,)) == [(b"card1", None), (b"card1", b"small")]
    assert headers["stream.sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["stream.offset"] == b"41"
