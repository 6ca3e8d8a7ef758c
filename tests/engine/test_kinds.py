"""Apps of every kind: framings, targets, River's models, composite keys, JSON out."""

import random
from typing import Any

import orjson
import pytest

from stream import App, avro, col, drift, models
from stream.app import compile_app
from stream.config import TopicNames
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.engine.warm_up import warm_up
from stream.errors import ConfigError
from tests.engine.build import FORMAT, T0, batch

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "number", "type": "long"},
        {"name": "shop", "type": "string"},
        {"name": "till", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "x", "type": "double"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["low", "middle", "high"]}},
        {"name": "word", "type": "string"},
        {"name": "height", "type": "double"},
    ],
}


def app_of(model: Any, label: str | None, framing: str = "confluent") -> App:
    """Visits by shop and till."""
    app = App("visits")
    events = app.events(
        "visits", schema=SCHEMA, key=("shop", "till"), time="at", id="number", label=label, framing=framing
    )
    events.features(x=col("x"), seen=col("x").ewm_mean(halflife="1m"), word=col("word").one_hot(max_categories=4))
    app.model("first", model)
    app.monitor(drift.ADWIN(), on=["score", "features"])
    return app


def visits(count: int) -> list[dict[str, Any]]:
    """Visits whose kind, word and height follow from x."""
    draw = random.Random(1)
    made = []
    for number in range(count):
        x = draw.gauss(0, 1)
        kind = "low" if x < -0.5 else "high" if x > 0.5 else "middle"
        made.append(
            {
                "number": number,
                "shop": f"s{number % 3}",
                "till": number % 2,
                "at": (T0 + number) * 1000,
                "x": x,
                "kind": kind,
                "word": "yes" if x > 0 else "no",
                "height": 3 * x + 1,
            }
        )
    return made


def predictions_of(plan: Plan, count: int = 400, format: OutputFormat = FORMAT) -> list[dict[str, Any]]:
    """Run visits through a task; returns its predictions, decoded from Avro."""
    task, schema = Task(plan, 0, 1, format), avro.parse_schema(SCHEMA)
    framing = plan.events.framing
    schema_id = schema.fingerprint if framing is avro.Framing.SINGLE_OBJECT else 1
    values = [
        orjson.dumps(visit)
        if framing is avro.Framing.JSON
        else avro.header(framing, schema_id) + avro.encode_one(schema, visit)
        for visit in visits(count)
    ]
    work = batch("visits", [(None, value) for value in values])
    outputs = task.process(work, T0)
    if outputs.needs_schema is not None:
        task.answer_schema(SchemaFetched(1, schema.text))
        outputs = task.process(work, T0)
    assert outputs.taken == count
    (made,) = outputs.predictions
    raw = [made.data[start:end].tobytes() for start, end in made.values]
    if format.prediction_header is None:
        return [orjson.loads(value) for value in raw]
    return [decode_small("prediction", value[5:]) for value in raw]


@pytest.mark.parametrize("framing", ["confluent", "single-object", "json"])
def test_every_framing_gives_the_same_predictions(framing: str) -> None:
    """The wire format of the events changes nothing but the wire format."""
    model = models.StandardScaler() | models.LogisticRegression()
    app = app_of(model, "word", framing)
    app.target("binary", classes=("no", "yes"))
    plan = compile_app(app, {})

    last = predictions_of(plan)[-1]

    reference = app_of(model, "word")
    reference.target("binary", classes=("no", "yes"))
    assert last["score"] == predictions_of(compile_app(reference, {}))[-1]["score"]
    assert last["event_id"] == "399"
    assert last["event_time"] == T0 + 399
    assert last["contributions"]


def test_an_enum_of_three_is_a_multiclass_target() -> None:
    """The decision is the likeliest class, and every class has its score."""
    predictions = predictions_of(compile_app(app_of(models.GaussianNB(), "kind"), {}))

    last = predictions[-1]
    scores = {score["label"]: score["score"] for score in last["scores"]}
    assert set(scores) == {"low", "middle", "high"}
    assert last["decision"] == max(scores, key=lambda label: scores[label])
    assert last["score"] == max(scores.values())
    assert last["threshold"] is None
    right = [p["decision"] == v["kind"] for p, v in zip(predictions[100:], visits(400)[100:], strict=True)]
    assert sum(right) > 0.8 * len(right)


def test_a_double_is_a_regression_target() -> None:
    """The score is the value; there is nothing to decide."""
    predictions = predictions_of(compile_app(app_of(models.StandardScaler() | models.LinearRegression(), "height"), {}))

    assert predictions[-1]["decision"] is None
    assert abs(predictions[-1]["score"] - visits(400)[-1]["height"]) < 1.0


def test_without_a_label_there_is_anomaly_detection() -> None:
    """A score for every event, and a decision by threshold."""
    model = models.MinMaxScaler() | models.HalfSpaceTrees(n_trees=3, height=3, window_size=50, seed=1)
    predictions = predictions_of(compile_app(app_of(model, None), {}))

    assert all(0.0 <= prediction["score"] <= 1.0 for prediction in predictions)
    assert predictions[-1]["decision"] in ("true", "false")


def test_a_river_model_plugs_in_and_survives_a_checkpoint() -> None:
    """Any River estimator works at River's own speed, and is pickled into the snapshot."""
    app = app_of(models.HoeffdingTreeClassifier(grace_period=20), "word")
    app.target("binary", classes=("no", "yes"))
    plan = compile_app(app, {})
    schema = avro.parse_schema(SCHEMA)
    values = [(None, avro.header(avro.Framing.CONFLUENT, 1) + avro.encode_one(schema, visit)) for visit in visits(200)]
    task, other = Task(plan, 0, 1, FORMAT), Task(plan, 0, 1, FORMAT)
    task.process(batch("visits", values[:100]), T0)
    task.answer_schema(SchemaFetched(1, schema.text))
    task.process(batch("visits", values[:100]), T0)
    task.close_cycle()

    other.load(task.checkpoint(T0))

    rest = batch("visits", values[100:], 100)
    (mine,), (its,) = task.process(rest, T0).predictions, other.process(rest, T0).predictions
    assert mine.data.tobytes() == its.data.tobytes()


def test_json_output_says_what_avro_says() -> None:
    """output_format="json": the same fields with the same values."""
    app = app_of(models.StandardScaler() | models.LogisticRegression(), "word")
    app.target("binary", classes=("no", "yes"))
    plan = compile_app(app, {})

    as_json = predictions_of(plan, 50, OutputFormat(TopicNames.of("visits"), None, None))

    assert as_json == predictions_of(plan, 50)


def test_warming_up_compiles_every_kernel_of_a_plan() -> None:
    """Zeros of every type go through a throw-away task, in every framing."""
    for framing in ("confluent", "single-object", "json"):
        warm_up(compile_app(app_of(models.GaussianNB(), "kind", framing), {}), FORMAT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda app: app.event_stream.features(y=col("xx")), "did you mean"),
        (lambda app: app.monitor(drift.ADWIN(), on=["feature:sen"]), "did you mean 'feature:seen'"),
        (lambda app: app.decide("frist"), "did you mean 'first'"),
        (lambda app: app.target("regression"), "regression"),
        (lambda app: app.model("second", 5), "model 'second'"),
        (lambda app: app.event_stream.features(y=col("word").log1p()), "'y'"),
    ],
)
def test_a_mistake_in_the_declaration_is_named(change: Any, told: str) -> None:
    """Misspelt columns, signals and models, wrong targets and types: one error that says where and what."""
    app = app_of(models.GaussianNB(), "kind")
    with pytest.raises(ConfigError) as caught:
        change(app)
        compile_app(app, {})
    assert told in str(caught.value)
