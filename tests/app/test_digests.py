"""What makes another plan, and which parts of a state then start anew: all that decides what is learned (rule 5)."""

from collections.abc import Mapping
from typing import Any

import pytest

from stream import App, col, drift, models
from stream.app import compile_app
from stream.engine.plan import Plan
from stream.engine.upgrade import carry, facts_of

PAYMENT: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "order", "type": "string"},
        {"name": "card", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": "string"},
        {"name": "note", "type": "string", "default": "none", "doc": "free text"},
    ],
}
CHARGEBACK: dict[str, Any] = {
    "type": "record",
    "name": "Chargeback",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "order", "type": "string"},
        {"name": "fraud", "type": "boolean"},
        {"name": "disputed", "type": "boolean"},
        {"name": "kind", "type": "string"},
    ],
}
LEARNED = ("features/rate", "model/m", "monitor/0", "labels")


def plan_of(
    events: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    classes: tuple[str, ...] = (),
    payment: Mapping[str, Any] = PAYMENT,
    topics: tuple[str, str] = ("payments", "chargebacks"),
) -> Plan:
    """Payments with chargebacks: what differs from the usual declaration."""
    app = App("app")
    stream = app.events(topics[0], **{"schema": payment, "key": "card", "time": "at", "id": "id", **(events or {})})
    stream.features(spend=col("amount").sum("1h"), rate=col("kind").target_mean())
    app.labels(topics[1], **{"of": stream, "schema": CHARGEBACK, "target": "fraud", **(labels or {})})
    if classes:
        app.target("binary", classes=classes)
    app.model("m", models.LogisticRegression())
    app.monitor(drift.ADWIN(), on=["error"])
    return compile_app(app, {})


def changed_field(**properties: Any) -> dict[str, Any]:
    """The schema of payments with other properties of its field `note`."""
    (*fields, note) = PAYMENT["fields"]
    return {**PAYMENT, "fields": [*fields, {**note, **properties}]}


@pytest.mark.parametrize(
    ("other", "anew"),
    [
        (plan_of(labels={"target": "disputed"}), LEARNED),
        (plan_of(labels={"target": "kind"}, classes=("ok", "fraud")), LEARNED),
        (plan_of(labels={"id": "order"}), ("labels",)),
        (plan_of(events={"id": "order"}, labels={"id": "id"}), ("labels",)),
        (plan_of(topics=("payments", "disputes")), ()),
        (plan_of(topics=("transfers", "chargebacks")), ()),
        (plan_of(labels={"framing": "json"}), ()),
        (plan_of(events={"framing": "json"}, labels={"framing": "confluent"}), ()),
        (plan_of(labels={"schema": {**CHARGEBACK, "aliases": ["Dispute"]}}), ()),
        (plan_of(payment=changed_field(default="nothing")), ()),
        (plan_of(payment=changed_field(aliases=["remark"])), ()),
    ],
    ids=[
        "target",
        "text target",
        "id of labels",
        "id of events",
        "label topic",
        "event topic",
        "label framing",
        "event framing",
        "label schema",
        "default",
        "alias",
    ],
)
def test_what_decides_learning_makes_another_plan(other: Plan, anew: tuple[str, ...]) -> None:
    """A journal is not replayed by it; the parts that the change concerns start anew, and they alone."""
    usual = plan_of()

    assert other.digest != usual.digest
    assert carry(other, facts_of(usual)).anew == anew


def test_classes_in_another_order_mean_something_else() -> None:
    """ "fraud" was 1 and is 0: what was learned is the opposite."""
    one, other = (plan_of(labels={"target": "kind"}, classes=each) for each in (("ok", "fraud"), ("fraud", "ok")))

    assert carry(other, facts_of(one)).anew == LEARNED


def test_documentation_makes_no_other_plan() -> None:
    """What a field is for, in words, decides nothing."""
    assert plan_of(payment=changed_field(doc="what the customer wrote")).digest == plan_of().digest
