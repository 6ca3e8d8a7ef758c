"""A model that gives no score decides nothing: an app that broke must not approve everything."""

from typing import Any

import pytest
import river.base

from stream import App, col, models
from stream.app import compile_app
from stream.config import TopicNames
from stream.engine.output_format import OutputFormat
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, encoded, task_of

JSON_FORMAT = OutputFormat(TopicNames.of("app"), None, None)


class Broken(river.base.Classifier):  # type: ignore[misc]
    """A classifier whose probability is NaN for large amounts."""

    _multiclass = True

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        """Learn nothing."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[Any, float]:
        """NaN above 10; else sure of the first class."""
        chance = float("nan") if x["amount"] > 10 else 1.0
        return {True: chance, False: 1.0 - chance, "low": chance, "middle": 1.0 - chance}


def task_with(model: Any, label: str | None, classes: tuple[str, ...], decides_first: bool = True) -> Task:
    """The model beside a logistic regression; one of them decides."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label=label)
    events.features(amount=col("amount"))
    if classes:
        app.target("multiclass", classes=classes)
    app.model("broken", model)
    app.model("other", models.GaussianNB() if classes else models.LogisticRegression())
    app.decide(by="broken" if decides_first else "other")
    return task_of(compile_app(app, {}))


def predictions(task: Task, amounts: list[float], first: int = 0) -> list[dict[str, Any]]:
    """What is said of payments of these amounts."""
    values = [{"id": "p", "card": "c", "amount": x, "at": T0, "text": "", "fraud": None} for x in amounts]
    work = batch("payments", [(b"c", encoded(EVENT_SCHEMA, 1, value)) for value in values], first)
    (made,) = task.process(work, T0).predictions
    return [decode_small("prediction", made.data[start:end].tobytes()[5:]) for start, end in made.values.tolist()]


@pytest.mark.parametrize(("label", "classes"), [("fraud", ()), ("amount", ("low", "middle", "high"))])
def test_a_score_that_is_none_gives_no_decision(label: str, classes: tuple[str, ...]) -> None:
    """Null and neither "false" nor the first class; the next event is decided as ever. It is counted."""
    task = task_with(Broken(), label, classes)

    first, second, third = predictions(task, [1.0, 11.0, 1.0])

    assert (second["score"], second["decision"]) == (None, None)
    assert first["decision"] == third["decision"] == ("low" if classes else "true")
    assert first["score"] == third["score"] == 1.0
    assert [score["model"] for score in second["scores"]] == [score["model"] for score in first["scores"]]
    task.close_cycle()
    assert task.metrics.undecided == 1


def test_another_models_missing_score_changes_no_decision() -> None:
    """Only the model that decides counts."""
    task = task_with(Broken(), "fraud", (), decides_first=False)

    (prediction,) = predictions(task, [11.0])

    assert prediction["decision"] == "true"
    task.close_cycle()
    assert task.metrics.undecided == 0


def test_models_that_have_learned_nothing_decide() -> None:
    """A new model has a score, if a poor one: nothing is undecided before it has broken."""
    task = task_with(models.GaussianNB(), "amount", ("low", "middle", "high"))

    (prediction,) = predictions(task, [1.0])

    assert prediction["decision"] == "low"
    assert FORMAT.prediction_header is not None
