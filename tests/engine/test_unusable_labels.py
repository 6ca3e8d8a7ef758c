"""Labels that teach nothing: each is counted, and an operator hears of it when there are many."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stream import App, col, models
from stream.app import compile_app
from stream.engine.metrics import LabelOutcome
from stream.engine.protocol import SchemaFetched
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, encoded, plan_with_labels, task_of

OPTIONAL_ID = {"name": "id", "type": ["null", "string"], "default": None}
PAYMENT: dict[str, Any] = {
    **EVENT_SCHEMA,
    "fields": [OPTIONAL_ID if field["name"] == "id" else field for field in EVENT_SCHEMA["fields"]],
}
CHARGEBACK: dict[str, Any] = {
    "type": "record",
    "name": "Chargeback",
    "fields": [OPTIONAL_ID, {"name": "kind", "type": ["null", "string"], "default": None}],
}
DAMAGED = (b"card", b"\0\0\0\0\x02\xff")


def task_with_optional_fields() -> Task:
    """Ids and targets may be null; a target is "ok" or "fraud"."""
    app = App("app")
    events = app.events("payments", schema=PAYMENT, key="card", time="at", id="id")
    events.features(amount=col("amount"))
    app.labels("chargebacks", of=events, schema=CHARGEBACK, target="kind")
    app.target("binary", classes=("ok", "fraud"))
    app.model("champion", models.LogisticRegression())
    task = Task(compile_app(app, {}), 0, 1, FORMAT)
    for topic, schema_id, schema in (("payments", 1, PAYMENT), ("chargebacks", 2, CHARGEBACK)):
        task.process(batch(topic, [(b"", b"\0" + schema_id.to_bytes(4, "big"))]), T0)
        task.answer_schema(SchemaFetched(schema_id, orjson.dumps(schema).decode()))
    return task


def pay(task: Task, ids: Sequence[str | None], first: int = 0) -> None:
    """One payment for each id."""
    values = [{"id": id, "card": "c", "amount": 1.0, "at": T0, "text": "", "fraud": None} for id in ids]
    task.process(batch("payments", [(b"c", encoded(PAYMENT, 1, value)) for value in values], first), T0)


def label(task: Task, values: Sequence[Mapping[str, Any]]) -> None:
    """These labels."""
    task.process(batch("chargebacks", [(b"c", encoded(CHARGEBACK, 2, value)) for value in values]), T0)


def outcomes(task: Task) -> dict[LabelOutcome, int]:
    """What the cycle counted, without zeros."""
    task.close_cycle()
    return {outcome: count for outcome, count in task.metrics.labels.items() if count}


def test_a_label_without_an_id_teaches_no_stranger() -> None:
    """Three payments without an id, one whose id is empty; a label without an id is counted, and nothing is learned."""
    task = task_with_optional_fields()
    pay(task, [None, None, None, ""])
    label(task, [{"id": None, "kind": "fraud"}])

    assert outcomes(task) == {LabelOutcome.INVALID: 1}

    pay(task, [None], 4)
    label(task, [{"id": "", "kind": "fraud"}])
    assert outcomes(task) == {LabelOutcome.JOINED: 1}
    assert task.state.labels is not None and task.state.labels.waiting == 1


def test_a_label_that_comes_without_an_id_waits_for_no_event() -> None:
    """Before any event: an event without an id does not take it."""
    task = task_with_optional_fields()
    label(task, [{"id": None, "kind": "fraud"}])
    pay(task, [None])

    assert task.metrics.learned == {"champion": 0}
    assert outcomes(task) == {LabelOutcome.INVALID: 1}


def test_targets_of_no_known_class_are_counted() -> None:
    """ "Fraud" is not "fraud", null is no answer: of four labels one is learned, and three are invalid."""
    task = task_with_optional_fields()
    pay(task, ["a", "b", "c", "d"])
    label(task, [{"id": id, "kind": kind} for id, kind in zip("abcd", ("Fraud", "FRAUD", None, "fraud"), strict=True)])

    assert outcomes(task) == {LabelOutcome.INVALID: 3, LabelOutcome.JOINED: 1}


def test_targets_in_the_event_are_counted_too() -> None:
    """A class that the app does not name: an event without a label, and one label invalid. Null is just no label."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", label="text")
    events.features(amount=col("amount"))
    app.target("binary", classes=("ok", "fraud"))
    app.model("champion", models.LogisticRegression())
    task = task_of(compile_app(app, {}))
    values = [{"id": "", "card": "c", "amount": 1.0, "at": T0, "text": t, "fraud": None} for t in ("Fraud", "fraud")]
    task.process(batch("payments", [(b"c", encoded(EVENT_SCHEMA, 1, value)) for value in values]), T0)

    assert outcomes(task) == {LabelOutcome.INVALID: 1}
    assert task.metrics.learned == {"champion": 1}


def test_a_number_that_is_no_class_is_no_target() -> None:
    """Classes 0, 1 and 2 have names; 7, -1 and 1.5 are counted and do no harm."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", label="amount")
    events.features(length=col("text").length())
    app.target("multiclass", classes=("low", "middle", "high"))
    app.model("champion", models.GaussianNB())
    task = task_of(compile_app(app, {}))
    numbers = [0.0, 1.0, 2.0, 7.0, -1.0, 1.5]
    values = [{"id": "", "card": "c", "amount": x, "at": T0, "text": "", "fraud": None} for x in numbers]
    task.process(batch("payments", [(b"c", encoded(EVENT_SCHEMA, 1, value)) for value in values]), T0)

    assert outcomes(task) == {LabelOutcome.INVALID: 3}
    assert task.metrics.learned == {"champion": 3}


def alerts_of(task: Task, work: RecordBatch, cuts: random.Random | None = None) -> list[dict[str, Any]]:
    """The alerts of a batch of labels, whole or cut at random places."""
    found, first = [], 0
    while first < len(work):
        end = min(len(work), first + (cuts.randrange(1, 400) if cuts else len(work)))
        for output in task.process(work.part(first, end), T0).transactional:
            if output.topic == FORMAT.topics.alerts:
                spans = [output.data[start:stop].tobytes() for start, stop in output.values.tolist()]
                found += [decode_small("alert", span[5:]) for span in spans]
        first = end
    return found


def test_a_broken_label_topic_raises_an_alert() -> None:
    """3,000 damaged labels: one alert, that names the topic and where the window ended; the same however it is cut."""
    damaged = batch("chargebacks", [DAMAGED] * 3000)

    (alert,) = alerts_of(task_of(plan_with_labels()), damaged)

    assert (alert["kind"], alert["signal"], alert["topic"], alert["offset"]) == (
        "REJECTIONS",
        "labels",
        "chargebacks",
        999,
    )
    assert (alert["before"], alert["after"], alert["severity"]) == (0.0, 1.0, "CRITICAL")
    assert alert["id"] == "app/chargebacks/0/999/labels/share"
    assert "100.0% of 1000 records up to offset 999 of chargebacks teach nothing" in alert["sentence"]
    assert alerts_of(task_of(plan_with_labels()), damaged, random.Random(1)) == [alert]


def test_labels_of_no_known_class_raise_an_alert_too() -> None:
    """One in ten is above the limit of 5 %: a producer that writes "Fraud" for "fraud" is heard of."""
    task = task_with_optional_fields()
    kinds = ["Fraud" if number % 10 == 0 else "fraud" for number in range(1000)]
    records = [(b"c", encoded(CHARGEBACK, 2, {"id": f"p{at}", "kind": kind})) for at, kind in enumerate(kinds)]

    (alert,) = alerts_of(task, batch("chargebacks", records))

    assert (alert["signal"], alert["after"], alert["severity"]) == ("labels", 0.1, "WARNING")


def test_the_share_of_lost_labels_goes_on_after_a_restore() -> None:
    """600 damaged labels before a checkpoint and 400 behind it fill one window."""
    task, restored = task_of(plan_with_labels()), Task(plan_with_labels(), 0, 2, FORMAT)
    task.process(batch("chargebacks", [DAMAGED] * 600), T0)
    task.close_cycle()
    restored.load(task.checkpoint(T0))

    assert len(alerts_of(restored, batch("chargebacks", [DAMAGED] * 400, 600))) == 1
