"""Drift alerts of a task: every detector on every kind of signal, what each says, and a checkpoint in between."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stream import App, col, drift, models
from stream.app import compile_app
from stream.drift.declarations import Declaration
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0, batch, encoded, task_of

CHANGES_AT, EVENTS, NOW_MS = 4000, 6500, T0 + 77
STEP_MS = 1000  # between two events, so that times and offsets differ
PLACED_WITHIN = 500
DETECTORS: tuple[Declaration, ...] = (
    drift.ADWIN(delta=0.01),
    drift.DDM(drift_threshold=4.0),
    drift.PageHinkley(threshold=40.0),
    drift.KSWIN(alpha=1e-6, window_size=300, stat_size=100, seed=3),
)
SIGNALS = ("error", "score", "feature:amount")


@cache
def plan() -> Plan:
    """Every detector on every kind of signal; the label is in the event."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label="fraud")
    events.features(amount=col("amount"))
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    for detector in DETECTORS:
        app.monitor(detector, on=list(SIGNALS))
    return compile_app(app, {})


@cache
def plan_of_labels() -> Plan:
    """Every detector on the errors that labels of their own topic reveal."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id")
    events.features(amount=col("amount"))
    app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", horizon="1d", state_bytes=1 << 20)
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    for detector in DETECTORS:
        app.monitor(detector, on=["error"])
    return compile_app(app, {})


@cache
def stream() -> tuple[list[float], list[bool]]:
    """Amounts around 10, of which the largest are frauds; from the change on around 25, and most are, unforeseeably."""
    draw = np.random.default_rng(4)
    amounts = draw.normal(10.0, 2.0, EVENTS) + np.where(np.arange(EVENTS) >= CHANGES_AT, 15.0, 0.0)
    frauds = np.where(np.arange(EVENTS) < CHANGES_AT, amounts > 13.0, draw.random(EVENTS) < 0.7)
    return amounts.tolist(), frauds.tolist()


@cache
def payments() -> RecordBatch:
    """The stream as events that carry their label; record keys are wrong just before the change (rule 19)."""
    records: list[tuple[bytes | None, bytes | None]] = []
    for number, (amount, fraud) in enumerate(zip(*stream(), strict=True)):
        value = {
            "id": f"p{number}",
            "card": "card1",
            "amount": amount,
            "at": time_of(number),
            "text": "",
            "fraud": fraud,
        }
        key = b"other" if CHANGES_AT - 300 <= number < CHANGES_AT else b"card1"
        records.append((key, encoded(EVENT_SCHEMA, 1, value)))
    made = batch("payments", records)
    made.timestamps_ms[:] = T0 + STEP_MS * made.offsets
    return made


@cache
def chargebacks() -> RecordBatch:
    """The stream's labels."""
    frauds = stream()[1]
    return batch(
        "chargebacks",
        [(b"card1", encoded(LABEL_SCHEMA, 2, {"id": f"p{n}", "fraud": fraud})) for n, fraud in enumerate(frauds)],
    )


def time_of(offset: int) -> int:
    """Event time of a payment."""
    return T0 + STEP_MS * offset


def alerts_of(task: Task, work: RecordBatch) -> list[dict[str, Any]]:
    """What the task says to operators about these records."""
    outputs = [each for each in task.process(work, NOW_MS).transactional if each.topic == FORMAT.topics.alerts]
    return [
        decode_small("alert", each.data[start + 5 : end].tobytes()) for each in outputs for start, end in each.values
    ]


@cache
def all_alerts() -> tuple[dict[str, Any], ...]:
    """Of one task over all payments at once."""
    return tuple(alerts_of(task_of(plan()), payments()))


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_a_change_raises_an_alert_that_says_all_about_it(detector: Declaration, signal: str) -> None:
    """The first one behind the change: identity, place in offsets and in time, both sides, parameters, sentence."""
    behind = [each for each in all_alerts() if each["offset"] >= CHANGES_AT]
    alert = next(each for each in behind if (each["detector"], each["signal"]) == (detector.name, signal))

    model = None if signal.startswith("feature") else "champion"
    source = "app" if model is None else "app/champion"
    identity = ["app", "payments", "0", str(alert["offset"]), *([model] if model else []), signal, detector.name]
    assert (alert["kind"], alert["app"], alert["topic"], alert["partition"]) == ("DRIFT", "app", "payments", 0)
    assert (alert["model"], alert["id"]) == (model, "/".join(identity))
    assert alert["parameters"] == detector.parameters
    assert abs(alert["placed_offset"] - CHANGES_AT) < PLACED_WITHIN
    assert alert["placed_offset"] <= alert["offset"]
    assert alert["placed_time"] == time_of(alert["placed_offset"])
    assert alert["event_time"] == time_of(alert["offset"])
    assert alert["processing_time"] == NOW_MS
    assert alert["after"] > alert["before"]
    assert alert["severity"] == "CRITICAL"
    assert alert["sentence"].startswith(f"{source}, partition 0: the {signal.replace(':', ' ')} ")
    assert f"after offset {alert['placed_offset']:,} (" in alert["sentence"]
    assert f"{detector.name}, " in alert["sentence"]


def test_a_feature_s_alert_speaks_in_its_own_unit() -> None:
    """Amounts went from 10 to 25, though detectors see parts of the range of the first thousand."""
    (alert, *_) = (each for each in all_alerts() if (each["detector"], each["signal"]) == ("ADWIN", "feature:amount"))
    assert alert["before"] == pytest.approx(10.0, abs=0.5)
    assert alert["after"] > 12.0


def test_alerts_and_their_order_do_not_depend_on_the_cut_into_batches() -> None:
    """Record by record around the change, where detectors raise theirs one after the other."""
    task = task_of(plan())
    edges = [0, 1000, *range(CHANGES_AT, CHANGES_AT + 300), EVENTS]
    cut = [alert for first, end in pairwise(edges) for alert in alerts_of(task, payments().part(first, end))]
    assert cut == list(all_alerts())
    assert [alert["offset"] for alert in cut] == sorted(alert["offset"] for alert in cut)
    assert {alert["kind"] for alert in cut} == {"DRIFT", "OTHER"}


@pytest.mark.slow
def test_alerts_of_late_labels_do_not_depend_on_the_cut_either() -> None:
    """Labels come 500 events late, at once or one by one; what they reveal is placed in the events' offsets."""
    whole, cut = task_of(plan_of_labels()), task_of(plan_of_labels())
    at_once, one_by_one = [], []
    for first in range(0, EVENTS, 500):
        for task in (whole, cut):
            assert not any(alert["kind"] == "DRIFT" for alert in alerts_of(task, payments().part(first, first + 500)))
        at_once += alerts_of(whole, chargebacks().part(first, first + 500))
        one_by_one += [
            alert for n in range(first, first + 500) for alert in alerts_of(cut, chargebacks().part(n, n + 1))
        ]

    assert one_by_one == at_once
    behind = [alert for alert in at_once if alert["offset"] >= CHANGES_AT]
    assert {alert["detector"] for alert in behind} == {detector.name for detector in DETECTORS}
    assert all(alert["event_time"] == time_of(alert["offset"]) for alert in at_once)


def test_a_checkpoint_in_the_middle_changes_no_alert() -> None:
    """Every detector's state is saved and loaded just behind the change, before any of them noticed it."""
    middle = CHANGES_AT + 10
    task, other = task_of(plan()), Task(plan(), 0, 1, FORMAT)
    first = alerts_of(task, payments().part(0, middle))
    task.close_cycle()

    other.load(task.checkpoint(T0))

    behind = alerts_of(other, payments().part(middle, EVENTS))
    assert first + behind == list(all_alerts())
    assert {(alert["detector"], alert["signal"]) for alert in behind} == {
        (detector.name, signal) for detector in DETECTORS for signal in SIGNALS
    }


@cache
def plan_of_alike_monitors() -> Plan:
    """One detector three times on the same signal: twice with other parameters, and once with another policy."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label="fraud")
    events.features(amount=col("amount"))
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    app.monitor(drift.ADWIN(delta=0.002), on=["feature:amount"])
    app.monitor(drift.ADWIN(delta=0.0021), on=["feature:amount"])
    app.monitor(drift.ADWIN(delta=0.002), on=["feature:amount", "score"])
    return compile_app(app, {})


def test_alerts_of_monitors_that_differ_have_ids_that_differ() -> None:
    """They notice the same change at the same event: whoever drops repeated ids keeps each monitor's alert."""
    alerts = alerts_of(task_of(plan_of_alike_monitors()), payments())

    at_one_event = [each["id"] for each in alerts if each["signal"] == "feature:amount"]
    offsets = {each["offset"] for each in alerts if each["signal"] == "feature:amount"}
    assert len(at_one_event) > len(offsets)
    assert len(set(at_one_event)) == len(at_one_event)
    assert alerts_of(task_of(plan_of_alike_monitors()), payments()) == alerts
