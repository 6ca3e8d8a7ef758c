"""What a task tells operators: drift, too many rejections, keys that do not fit."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from stream.engine.monitoring import ShareWatch, errors_of
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.models import BINARY, multiclass
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, encoded, plan_with_label_field, task_of

SCHEMA_ID = 1


def event(number: int, key: str = "card1", amount: float = 10.0, fraud: bool = False) -> tuple[bytes, bytes]:
    """One payment of card1, under this record key."""
    value = {"id": f"p{number}", "card": "card1", "amount": amount, "at": T0 + number, "text": "", "fraud": fraud}
    return key.encode(), encoded(EVENT_SCHEMA, SCHEMA_ID, value)


def alerts_of(task: Task, work: RecordBatch) -> list[dict[str, Any]]:
    """The alerts that a batch gave."""
    outputs = [each for each in task.process(work, T0).transactional if each.topic == FORMAT.topics.alerts]
    return [
        decode_small("alert", each.data[start + 5 : end].tobytes()) for each in outputs for start, end in each.values
    ]


def test_a_share_of_rejections_above_the_limit_raises_one_alert() -> None:
    """6 % of 1,000 records are damaged and the limit is 5 %: one alert at the window's end, none in the next."""
    task = task_of(plan_with_label_field())
    records = [event(number) for number in range(2000)]
    for number in [*range(0, 960, 16), *range(1000, 1960, 16)]:
        records[number] = (records[number][0], records[number][1][:-1])

    alerts = alerts_of(task, batch("payments", list(records)))

    (alert,) = (alert for alert in alerts if alert["kind"] == "REJECTIONS")
    assert (alert["before"], alert["after"]) == (0.0, 0.06)
    assert alert["offset"] in (997, 998, 999)  # the schema's own records were counted first
    assert "6.0% of 1000 records" in alert["sentence"]
    assert alert["id"].startswith("app/payments/0/")


def test_json_alerts_say_what_avro_alerts_say() -> None:
    """output_format="json": the same fields, with the same values."""
    plan = plan_with_label_field()
    keys = [event(number, key=f"other{number}") for number in range(1000)]
    as_json = task_of(plan, format=replace(FORMAT, prediction_header=None, alert_header=None))

    outputs = as_json.process(batch("payments", keys), T0).transactional

    (text,) = (
        each.data[start:end].tobytes()
        for each in outputs
        if each.topic == FORMAT.topics.alerts
        for start, end in each.values
    )
    assert [orjson.loads(text)] == alerts_of(task_of(plan), batch("payments", keys))


def test_a_record_key_that_is_not_the_key_field_raises_an_alert() -> None:
    """Rule 19: partitions come from the record's key, so a field that says something else is told."""
    task = task_of(plan_with_label_field())
    alerts = alerts_of(task, batch("payments", [event(number, key=f"other{number}") for number in range(1000)]))

    (alert,) = (alert for alert in alerts if alert["signal"] == "keys")
    assert alert["severity"] == "CRITICAL"
    assert "their field card" in alert["sentence"]


def test_a_share_is_taken_over_whole_windows_however_batches_are_cut() -> None:
    """Single records or all at once: the limit is passed at the same record."""
    wrong = np.random.default_rng(1).random(5000) < 0.05
    whole, single = ShareWatch(0.05), ShareWatch(0.05)

    at_once = whole.observe(wrong)
    one_by_one = [(row, *passed[1:]) for row in range(5000) for passed in single.observe(wrong[row : row + 1])]

    assert [tuple(passed) for passed in at_once] == one_by_one
    assert whole.counters.tolist() == single.counters.tolist()


def test_errors_are_distances_to_the_truth() -> None:
    """Binary: |target - score|; several classes: what is missing at the true class; NaN without a label."""
    binary = errors_of(BINARY, np.array([[0.2], [0.9], [0.5]]), np.array([1.0, 1.0, np.nan]))
    several = errors_of(multiclass(("a", "b")), np.array([[0.3, 0.7]]), np.array([0.0]))

    np.testing.assert_allclose(binary, [[0.8], [0.1], [np.nan]])
    np.testing.assert_allclose(several, [[0.7]])


def test_how_a_task_stands_says_what_models_are_worth() -> None:
    """Labelled events show up in each model's metrics beside its baseline."""
    task = task_of(plan_with_label_field())
    draw = np.random.default_rng(3)
    amounts = draw.lognormal(3, 1, 3000)
    task.process(batch("payments", [event(n, amount=float(a), fraud=bool(a > 40)) for n, a in enumerate(amounts)]), T0)
    task.close_cycle()

    now = task.standing()
    figures = now.models["champion"]
    assert figures["labelled"] == 3000
    assert figures["roc_auc"] > 0.9
    assert figures["log_loss"] < figures["prior_log_loss"]
    assert task.metrics.events == 3000
    assert now.state_bytes > 10_000
    assert now.state_keys == 1
    assert task.metrics.learned == {"champion": 3000}
    standing = {statistic.signal: statistic.value for statistic in now.drift}
    assert standing["feature:amount"] == pytest.approx(np.log1p(amounts).mean(), rel=0.05)
    assert 0.0 < standing["error"] < 0.5
