"""`stream check --reproducible` finds what would not be the same after a crash."""

import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from river import linear_model

from stream import App, col
from stream.app import compile_app
from stream.avro import decode_one, encode_one, parse_schema
from stream.cli.checks import reproducible
from stream.cli.checks.findings import Findings
from stream.cli.checks.generated import _ValueMaker, generate
from stream.cli.checks.reproducible import check_plan_reproducible
from stream.engine.effects import Outputs
from stream.engine.plan import Plan
from stream.engine.task import Task
from stream.records import RecordBatch
from tests.avro.generated import record_schemas
from tests.cli.commands import run
from tests.engine.build import EVENT_SCHEMA, plan_with_labels


class Dice(linear_model.LogisticRegression):  # type: ignore[misc]
    """Learns, and draws random numbers of its own."""

    def learn_one(self, x: Any, y: Any) -> None:
        """Not every time."""
        if random.random() < 0.5:
            super().learn_one(x, y)


class Forgetful(linear_model.LogisticRegression):  # type: ignore[misc]
    """Saves everything but its weights."""

    def __getstate__(self) -> dict[str, Any]:
        """As new."""
        return dict(vars(type(self)()))


class ByCuts(Task):
    """Counts batches."""

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """The count is part of its state."""
        self.state.rejections.counters[0] += 1
        return super().process(batch, now_ms)


def plan_of(model: Any) -> Plan:
    """An app whose events carry their label."""
    app = App("app")
    payments = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label="fraud")
    payments.features(amount=col("amount").log1p(), seen=col("amount").count("1d"))
    app.model("champion", model)
    return compile_app(app, {})


def wrong(plan: Plan) -> list[str]:
    """What the check finds."""
    findings = Findings()
    check_plan_reproducible(plan, findings)
    assert {each.area for each in findings.found} == {"reproducible"}
    return [each.text for each in findings.found if each.status.value == "wrong"]


def test_an_app_that_gives_the_same_bits_is_told_so(project: Path) -> None:
    """The project of `stream init`, as a program reads it; without the option nobody runs the engine."""
    done = run("check", "shop.py:app", "--offline", "--reproducible", "--json")
    (found,) = [each for each in json.loads(done.stdout)["findings"] if each["area"] == "reproducible"]
    assert (done.exit_code, found["status"]) == (0, "ok")
    assert "1,000 generated events (990 predictions): the same state and outputs" in found["text"]
    without = json.loads(run("check", "shop.py:app", "--offline", "--json").stdout)["findings"]
    assert "reproducible" not in {each["area"] for each in without}


def test_labels_on_a_topic_of_their_own_are_learned_from() -> None:
    """Half of the events have one, and it comes behind them."""
    plan = plan_with_labels()
    made = generate(plan, 400, 1)
    assert (made.events, made.labels) == (400, 200)
    ran = reproducible.run(plan, made.pieces)
    learned = ran.arrays["model/champion/weights"]
    assert (learned != 0).any()
    assert len(ran.outputs["app.predictions"]) == 396
    assert len(ran.outputs["app.dead-letters"]) == 4
    assert wrong(plan) == []


def test_hidden_random_numbers_are_found() -> None:
    """Each run after the first differs, in predictions and in the model's state; nothing else of the state does."""
    told = wrong(plan_of(Dice()))
    assert {text.partition(":")[0] for text in told} == {
        "run again", "cut into other batches and cycles", "saved and loaded half way"
    }  # fmt: skip
    assert any("run again: records of app.predictions differ, 990 and 990, first at " in text for text in told)
    assert any("run again: state model/champion/pickle " in text for text in told)
    assert not any("state features" in text for text in told)


def test_state_that_a_save_forgets_is_found() -> None:
    """Only the run that is saved and loaded differs."""
    told = wrong(plan_of(Forgetful()))
    assert told
    assert all(text.startswith("saved and loaded half way: ") for text in told)


def test_what_depends_on_the_cut_into_batches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the run with other batches differs."""
    monkeypatch.setattr(reproducible, "Task", ByCuts)
    told = wrong(plan_with_labels())
    assert told
    assert all(text.startswith("cut into other batches and cycles: ") for text in told)
    assert any("state share/rejections row 0 is " in text for text in told)


@settings(max_examples=60)
@given(record_schemas())
def test_values_are_made_for_every_schema(schema: Any) -> None:
    """Of all types, nested and recursive: they are what the schema allows, and vary."""
    parsed = parse_schema(orjson.dumps(schema).decode())
    maker = _ValueMaker(3)
    for _ in range(5):
        data = encode_one(parsed, maker.record(parsed, {}))
        assert encode_one(parsed, decode_one(parsed, data)) == data
