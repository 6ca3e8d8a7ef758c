"""Mistakes of a declaration are told when it is made or compiled, with what to do: never by a worker at work."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stream import App, col, drift, models
from stream.app import compile_app
from stream.app.declaration import Events
from stream.errors import ConfigError

PAYMENT: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "amount", "type": "double"},
        {"name": "raw", "type": "bytes"},
        {"name": "items", "type": {"type": "array", "items": "string"}},
        {"name": "fraud", "type": ["null", "boolean"], "default": None},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["a", "b", "c"]}},
        {"name": "word", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


def chargeback(id_type: str) -> dict[str, Any]:
    """The schema of labels with an id of this type."""
    fields = [{"name": "id", "type": id_type}, {"name": "fraud", "type": "boolean"}]
    return {"type": "record", "name": "Chargeback", "fields": fields}


def payments(app: App, **chosen: Any) -> Events:
    """The event topic with one feature."""
    settings: Mapping[str, Any] = {"schema": PAYMENT, "key": "id", "time": "at", "id": "id"}
    events = app.events("payments", **{**settings, **chosen})
    events.features(amount=col("amount"))
    return events


def with_labels(app: App, topic: str = "chargebacks", id_type: str = "string", **chosen: Any) -> None:
    """Payments and their labels."""
    app.labels(topic, **{"of": payments(app), "schema": chargeback(id_type), "target": "fraud", **chosen})


def decide(threshold: Any, model: Any = None, label: str | None = "fraud") -> Callable[[App], None]:
    """A model decides at this threshold."""

    def declare(app: App) -> None:
        payments(app, label=label)
        app.model("m", model or models.LogisticRegression())
        app.decide("m", threshold)

    return declare


def with_target(label: str, *target: Any) -> Callable[[App], None]:
    """The label in the event, and what it means."""

    def declare(app: App) -> None:
        payments(app, label=label)
        app.target(*target)

    return declare


MISTAKES: dict[str, tuple[Callable[[App], object], str]] = {
    "a threshold that is no number": (decide("0.8"), "decide: threshold='0.8': a number is wanted, such as 0.8"),
    "a threshold of true": (decide(True), "decide: threshold=True: a number is wanted"),
    "a threshold of NaN": (decide(float("nan")), "decide: threshold=nan: a number is wanted"),
    "a threshold above every probability": (decide(7), "decide: threshold=7: scores of a binary target are "),
    "a threshold below every probability": (decide(-0.1), "between 0 and 1"),
    "an id that is a double": (
        lambda app: payments(app, id="amount"),
        "id of payments: column 'amount' is double; a string or a long is wanted",
    ),
    "an id that is a list": (lambda app: payments(app, id="items"), "column 'items' is list"),
    "an id that is a boolean": (lambda app: payments(app, id="fraud"), "column 'fraud' is boolean"),
    "an id that no prediction can show": (lambda app: payments(app, id="raw"), "column 'raw' is bytes"),
    "a label's id of another kind": (
        lambda app: with_labels(app, id_type="long"),
        "id of chargebacks: column 'id' is long, and id of payments, column 'id', is string: no label would ever meet",
    ),
    "labels in the event topic": (lambda app: with_labels(app, "payments"), "labels of 'payments' need a topic of"),
    "a budget of labels below zero": (lambda app: with_labels(app, state_bytes=-5), "state_bytes=-5"),
    "a budget of events of zero": (lambda app: payments(app, state_bytes=0), "state_bytes=0"),
    "a signal that is no list": (lambda app: app.monitor(drift.ADWIN(), on="error"), "on='error': a list of signals"),
    "classes that are one text": (lambda app: app.target("binary", "ok"), "classes='ok': a list of names is wanted"),
    "three classes of a binary target": (
        with_target("word", "binary", ("ok", "fraud", "theft")),
        "a binary target has two classes, and here are 'ok', 'fraud', 'theft'",
    ),
    "an enum of three that is said to be binary": (
        with_target("kind", "binary"),
        "a binary target has two classes, and here are 'a', 'b', 'c'",
    ),
    "one class twice": (with_target("word", "binary", ("ok", "ok")), "two classes"),
    "a model's name with a slash": (lambda app: app.model("a/b", None), "model name 'a/b': letters, digits"),
    "a model's name with a space": (lambda app: app.model("the best", None), "model name 'the best'"),
    "a model without a name": (lambda app: app.model("", None), "model name ''"),
    "a schema that is a number": (
        lambda app: payments(app, schema=12),
        "a schema is a name, an object or a list, not 12",
    ),
}


@pytest.mark.parametrize(("declare", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told(declare: Callable[[App], object], told: str) -> None:
    """A ConfigError that says where, what was found and what is wanted."""
    app = App("app")
    with pytest.raises(ConfigError) as caught:
        declare(app)
        if not app.models:
            app.model("m", models.LogisticRegression())
        compile_app(app, {})
    assert told in str(caught.value)


def test_a_threshold_of_anomaly_scores_may_be_any_number() -> None:
    """Not every detector's scores lie between 0 and 1."""
    app = App("app")
    decide(7, models.MinMaxScaler() | models.HalfSpaceTrees(seed=1), label=None)(app)

    assert compile_app(app, {}).decision.threshold == 7.0


@pytest.mark.parametrize("threshold", [0, 1, 0.25])
def test_whole_numbers_are_thresholds(threshold: float) -> None:
    """At 0 every decision is "true"; at 1 those of certainty alone."""
    app = App("app")
    decide(threshold)(app)

    assert compile_app(app, {}).decision.threshold == threshold


def test_ids_may_be_longs_on_both_sides() -> None:
    """An integer meets an integer."""
    app = App("app")
    events = payments(app, id="number")
    app.labels("chargebacks", of=events, schema=chargeback("long"), target="fraud", id="id")
    app.model("m", models.LogisticRegression())

    assert compile_app(app, {}).labels is not None


def test_events_may_come_a_minute_late_unless_said_otherwise() -> None:
    """Producers whose clocks differ by milliseconds must not lose most events of a window; None keeps all out."""
    for lateness, expected_ms in (({}, 60_000), ({"lateness": "5s"}, 5_000), ({"lateness": None}, 0)):
        app = App("app")
        payments(app, label="fraud", **lateness)
        app.model("m", models.LogisticRegression())
        assert compile_app(app, {}).features.lateness_ms == expected_ms


@pytest.mark.parametrize("ending", [".entry", ".labels", ".by-shop", ".by-card-shop"])
def test_an_app_is_not_named_like_a_stage_of_another(ending: str) -> None:
    """Group, transactional ids, journal and snapshots of both would be the same (rule 34)."""
    with pytest.raises(ConfigError, match=f"app name 'pay{ending}': .* stages of an app 'pay' would be named"):
        App(f"pay{ending}")
    assert App(f"pay{ending[1:]}").name == f"pay{ending[1:]}"
    assert App("pay.entry.eu").name == "pay.entry.eu"
