"""Images of a state: copied in pieces while the task goes on, and bit for bit what a copy at once is."""

import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import naive_bayes

from stream import App, col, drift, models
from stream.app import compile_app
from stream.engine.image import StateImage
from stream.engine.plan import Plan
from stream.engine.task import Task
from stream.kernels.pages import PAGE_ROWS
from stream.records import Array, RecordBatch
from tests.engine.build import EVENT_SCHEMA, LABEL_SCHEMA, T0, batch, chargebacks, encoded, task_of

EVENTS = 1200
amount = col("amount")


def declare(events_bytes: int, labels_bytes: int, expiry: str, label: str | None) -> Plan:
    """Every kind of feature that keeps something, every kind of model, and budgets small enough to be used up."""
    app = App("app")
    events = app.events(
        "payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label=label,
        state_bytes=events_bytes, key_expiry=expiry,
    )  # fmt: skip
    events.features(
        spend=amount.sum("200ms"),
        deviation=amount.std("1s"),
        most=amount.max("300ms"),
        least=amount.min("1s"),
        kinds=col("text").nunique("400ms"),
        spread=amount.ewm_var(halflife="1h"),
        idle=col("at").since_last(),
        filled=col("card").length().fill_null("mean"),
        kind=col("text").one_hot(max_categories=3),
        fraud_of_card=col("card").target_mean(buckets=500),
        words=col("text").bag_of_words(256),
    )
    if label is None:
        app.labels(
            "chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", horizon="500ms", state_bytes=labels_bytes
        )
    app.model("linear", models.StandardScaler() | models.LogisticRegression(models.Adam()))
    app.model("bayes", models.GaussianNB())
    app.model("trees", models.MinMaxScaler() | models.HalfSpaceTrees(n_trees=3, height=5, window_size=50, seed=1))
    app.model("river", naive_bayes.GaussianNB())
    app.monitor(drift.ADWIN(), on=["error", "score"])
    return compile_app(app, {})


@cache
def plans() -> tuple[Plan, ...]:
    """Budgets that are never used up; ones that evict keys, windows and rows; keys that expire; labels in the event."""
    return (
        declare(1 << 24, 1 << 22, "90d", None),
        declare(120_000, 200_000, "90d", None),
        declare(1 << 22, 1 << 20, "100ms", None),
        declare(1 << 22, 1 << 20, "1h", "fraud"),
    )


@cache
def stream(seed: int) -> tuple[RecordBatch, RecordBatch]:
    """Payments of ever more cards, some late, with leaps of time; and labels, some early, some twice, some unknown."""
    draw = random.Random(seed)
    records: list[tuple[bytes | None, bytes | None]] = []
    at = T0
    for number in range(EVENTS):
        at += draw.choice([0, 1, 2, 5]) + (2_000 if draw.random() < 0.002 else 0)
        card = None if draw.random() < 0.02 else f"card{draw.randrange(1 + number)}"
        text = " ".join(f"w{draw.randrange(200)}" for _ in range(draw.randrange(5)))
        value = {
            "id": f"p{number}",
            "card": card,
            "amount": draw.lognormvariate(3, 1),
            "at": at - (draw.randrange(1, 90) if draw.random() < 0.2 else 0),
            "text": text,
            "fraud": draw.choice([None, True, False]),
        }
        records.append((card.encode() if card else None, encoded(EVENT_SCHEMA, 1, value)))
    numbers = [draw.randrange(EVENTS + 50) for _ in range(EVENTS // 2)]
    return batch("payments", records, 1), batch("chargebacks", chargebacks(numbers), 1)


def copied(task: Task) -> dict[str, Array]:
    """All arrays as they are now, copied at once."""
    return {name: array.copy() for name, array in task.state.arrays().items()}


def assert_equal(image: dict[str, Array], expected: dict[str, Array]) -> None:
    """The same names, shapes, types and bits."""
    assert sorted(image) == sorted(expected)
    for name, array in expected.items():
        assert (image[name].dtype, image[name].shape) == (array.dtype, array.shape), name
        assert image[name].tobytes() == array.tobytes(), name


class Run:
    """A task that handles a stream piece by piece, two events to a label."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.task = task_of(plan)
        events, labels = stream(seed)
        self._left = {"payments": events} | ({"chargebacks": labels} if plan.labels else {})

    def handle(self, count: int) -> bool:
        """Handle so many events, with half as many labels; whether there are more."""
        for topic, left in self._left.items():
            taken = min(len(left), count if topic == "payments" else count // 2)
            if taken:
                self.task.process(left.part(0, taken), T0)
                self._left[topic] = left.part(taken, len(left))
        return len(self._left["payments"]) > 0


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    plan=st.integers(0, 3),
    seed=st.integers(0, 3),
    before=st.integers(0, 900),
    slices=st.lists(st.tuples(st.integers(1, 150), st.sampled_from([0, 100, 5_000, 50_000, 1 << 20])), max_size=12),
)
def test_an_image_made_beside_the_stream_is_a_copy_at_once(
    plan: int, seed: int, before: int, slices: Sequence[tuple[int, int]]
) -> None:
    """However much is handled and copied in turn, with tables that grow, evict and expire meanwhile; twice in a row."""
    run = Run(plans()[plan], seed)
    run.handle(before)
    for part in (slices[::2], slices[1::2]):
        image = StateImage(run.task.state)
        for count, most_bytes in part:
            run.handle(count)
            image.copy(most_bytes)
        run.handle(7)
        assert_equal(image.finish(), copied(run.task))


@pytest.mark.parametrize("plan", range(4))
def test_what_one_event_changes_lies_in_marked_pages(plan: int) -> None:
    """Image after image, one event apart: a write that is not marked would be missing in the second."""
    run = Run(plans()[plan], 9)
    image = StateImage(run.task.state)
    image.copy(1 << 30)
    assert image.remaining_bytes == 0
    while run.handle(2):
        image.copy(1 << 30)
    assert_equal(image.finish(), copied(run.task))


def test_only_pages_that_were_written_are_copied_again() -> None:
    """Of 1,000 keys one is seen again: a page of its table remains, not all of it."""
    plan = plans()[0]
    run = Run(plan, 1)
    run.handle(1000)
    image = StateImage(run.task.state)
    image.copy(1 << 30)
    before = image.remaining_bytes
    run.handle(1)
    assert before == 0
    assert 0 < image.remaining_bytes < 60 * PAGE_ROWS * 8 * 40
    assert image.remaining_bytes < run.task.state.state_bytes // 3


def test_slices_become_smaller_until_they_change_less_than_is_copied() -> None:
    """Otherwise there would be no end of it."""
    run = Run(plans()[0], 2)
    run.handle(600)
    image = StateImage(run.task.state)
    at_first = image.slice_records
    image.copy(1 << 30)
    while run.handle(100):
        image.copy(200)
    assert image.slice_records < at_first


def test_an_empty_table_has_nothing_to_copy() -> None:
    """A task that has seen nothing."""
    task = task_of(plans()[3])
    image = StateImage(task.state)
    image.copy(1)
    assert_equal(image.finish(), copied(task))
    assert all(isinstance(array, np.ndarray) for array in copied(task).values())
