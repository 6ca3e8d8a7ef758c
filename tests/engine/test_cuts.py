"""However a stream is cut into batches: models of River beside compiled ones, JSON, labels, detectors, rejections."""

import random
from functools import cache

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import App, col, drift, models
from stream.app import compile_app
from stream.engine.effects import OutputBatch
from stream.engine.plan import Plan
from stream.engine.task import Task
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0, batch

EVENTS, LABELS = 240, 160
Records = dict[str, bytes]  # what came out so far, by topic: keys, values and headers with their lengths


@cache
def plan() -> Plan:
    """A forest of River's, a linear model and a bag of words; events and labels as JSON."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", framing="json")
    amount = col("amount")
    events.features(
        amount=amount.log1p(),
        spend=amount.sum("1m"),
        idle=col("at").since_last(),
        words=col("text").bag_of_words(16),
    )
    app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", horizon="1h", state_bytes=1 << 20)
    app.model("linear", models.StandardScaler() | models.LogisticRegression())
    app.model("forest", models.AdaptiveRandomForest(n_models=2, seed=1))
    app.model("bayes", models.GaussianNB())
    app.decide(by="forest")
    app.monitor(drift.ADWIN(delta=0.2), on=["error", "score", "features"], policy=drift.AlertPolicy(False, 0.0, 10))
    app.alert_on_rejections(above=0.01)
    return compile_app(app, {})


@cache
def work() -> tuple[RecordBatch, ...]:
    """Events and labels in turn: damaged JSON, null keys, wrong keys, labels early, twice and of nobody."""
    draw = random.Random(3)
    events = [event(number, draw) for number in range(EVENTS)]
    labels = [label(draw.randrange(EVENTS + 20), draw) for _ in range(LABELS)]
    third, half = EVENTS // 3, LABELS // 2
    return (
        batch("payments", events[:third]),
        batch("chargebacks", labels[:half]),
        batch("payments", events[third : 2 * third], third),
        batch("chargebacks", labels[half:], half),
        batch("payments", events[2 * third :], 2 * third),
    )


def event(number: int, draw: random.Random) -> tuple[bytes | None, bytes | None]:
    """A payment; some are late, some are damaged."""
    card = None if draw.random() < 0.03 else f"card{draw.randrange(5)}"
    value = {
        "id": f"p{number}",
        "card": card,
        "amount": draw.lognormvariate(3 if number < 150 else 5, 1),
        "at": T0 + 100 * number - (5000 if draw.random() < 0.05 else 0),
        "text": " ".join(draw.choice(["win", "cash", "rent"]) for _ in range(draw.randrange(4))),
    }
    text = orjson.dumps(value)
    return (card or "other").encode(), text[:-7] if draw.random() < 0.04 else text


def label(number: int, draw: random.Random) -> tuple[bytes | None, bytes | None]:
    """A truth about a payment; some are damaged."""
    text = orjson.dumps({"id": f"p{number}", "fraud": draw.random() < 0.4})
    return b"card", text[:-1] if draw.random() < 0.04 else text


def run(task: Task, cuts: list[int]) -> Records:
    """Process all records; a new batch begins at each cut, counted over all of them."""
    came: Records = {}
    before = 0
    for whole in work():
        inside = [cut - before for cut in cuts if before < cut < before + len(whole)]
        for first, end in zip([0, *inside], [*inside, len(whole)], strict=True):
            outputs = task.process(whole.part(first, end), T0)
            for output in (*outputs.predictions, *outputs.transactional):
                came[output.topic] = came.get(output.topic, b"") + content(output)
        before += len(whole)
    return came


def content(output: OutputBatch) -> bytes:
    """All bytes of a batch's records, so that other cuts between them would show."""
    parts = []
    for spans in zip(output.keys.tolist(), output.values.tolist(), output.headers.tolist(), strict=True):
        for start, end in spans:
            parts += [b"%d:" % (end - start), output.data[max(0, start) : max(0, end)].tobytes()]
    return b"".join(parts)


def remembered(task: Task) -> Records:
    """The state, but for River's pickle: it depends on which equal objects are one object."""
    return {name: array.tobytes() for name, array in task.state.arrays().items() if not name.endswith("/pickle")}


@cache
def expected() -> tuple[Records, Records]:
    """What comes out and what is remembered, each of the five batches processed whole."""
    task = Task(plan(), 0, 1, FORMAT)
    return run(task, []), remembered(task)


@settings(max_examples=8)
@given(st.lists(st.integers(1, EVENTS + LABELS - 1), max_size=40, unique=True).map(sorted))
def test_any_cut_of_a_stream_gives_the_same_bytes_and_the_same_state(cuts: list[int]) -> None:
    """Predictions of all models, alerts and dead letters, byte for byte; what River learned shows in its scores."""
    task = Task(plan(), 0, 1, FORMAT)
    records, state = expected()

    assert run(task, cuts) == records
    assert remembered(task) == state
    assert set(records) == {FORMAT.topics.predictions, FORMAT.topics.alerts, FORMAT.topics.dead_letters}
