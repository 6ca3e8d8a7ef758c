"""A changed app goes on where the old one stopped: unchanged parts keep their state, changed ones start anew."""

from collections import deque
from collections.abc import Mapping
from functools import cache

import numpy as np
import orjson
import pytest

from stream import App, col, drift, models
from stream.app import compile_app
from stream.engine import label_table
from stream.engine.labels import LabelStore, rows_waiting
from stream.engine.plan import Plan
from stream.engine.protocol import Assigned, Event, Instruction, StopRequested
from stream.engine.slot import Slot
from stream.engine.spilled_rows import rows_waiting_outside
from stream.engine.state import LearnedState
from stream.engine.task import Task
from stream.engine.upgrade import Restored, carry, facts_of, score_digests
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.errors import ConfigError
from stream.features import Expression
from stream.records import Array, FeatureBatch, FeatureLayout, Floats, TopicPartition
from tests.engine.build import (
    EVENT_SCHEMA,
    FORMAT,
    LABEL_SCHEMA,
    T0,
    chargebacks,
    payments,
    plan_that_spills,
    plan_with_labels,
)
from tests.engine.memory_broker import MemoryBroker, MemoryConnection
from tests.engine.running import Running as Spilling

EVENTS, LABELS = TopicPartition("payments", 0), TopicPartition("chargebacks", 0)
SCHEMAS = {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()}
FIRST, ALL = 250, 400  # events before the change, and in all
amount = col("amount")
LOGISTIC = models.StandardScaler() | models.LogisticRegression()
BAYES = models.GaussianNB()

FEATURES: dict[str, Expression] = {
    "gone": amount.ewm_var(halflife="10m"),
    "spend": amount.sum("100ms"),
    "unusual": amount / amount.ewm_mean(halflife="1h"),
    "changed": amount.ewm_mean(halflife="2h"),
    "filled": col("card").length().fill_null("mean"),
}
CHANGED_FEATURES = {
    "added": col("at").since_last(),
    **{name: FEATURES[name] for name in ("unusual", "spend", "filled")},
    "changed": amount.ewm_mean(halflife="3h"),
}


def declare(
    features: Mapping[str, Expression], *, has_labels: bool = True, has_more: bool = False, budget: int = 1 << 24
) -> Plan:
    """An app with these features; with a second model and a monitor before the other one if it has more."""
    app = App("app")
    label = None if has_labels else "fraud"
    events = app.events(
        "payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label=label, state_bytes=budget
    )
    events.features(**features)
    if has_labels:
        app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", horizon="1h", state_bytes=1 << 20)
    app.model("champion", LOGISTIC)
    if has_more:
        app.model("challenger", BAYES)
        app.monitor(drift.DDM(), on=["error"])
    app.monitor(drift.ADWIN(), on=["feature:spend"])
    return compile_app(app, {})


@cache
def old_plan() -> Plan:
    """Version 1."""
    return declare(FEATURES)


@cache
def new_plan() -> Plan:
    """Version 2: a feature added, one changed, one removed; the rest in another order."""
    return declare(CHANGED_FEATURES)


@cache
def with_challenger() -> Plan:
    """Another version 2: one model and one monitor more, all features the same."""
    return declare(FEATURES, has_more=True)


@cache
def larger_plan() -> Plan:
    """Version 1 with another budget."""
    return declare(FEATURES, budget=1 << 25)


class Running:
    """A worker of one plan on a broker in memory; dropping it is a crash."""

    def __init__(self, memory: MemoryBroker, plan: Plan, snapshot_interval_ms: int = 1_000_000) -> None:
        settings = WorkerSettings(commit_interval_ms=1, snapshot_interval_ms=snapshot_interval_ms)
        self.worker = Worker(lambda partition, epoch: Task(plan, partition, epoch, FORMAT), settings)
        self.connection = MemoryConnection(memory)
        self.now_ms = T0
        self._events: deque[Event] = deque()
        self.tell(Assigned((0,)))

    def tell(self, event: Event) -> None:
        """Let something happen, and perform what follows from it."""
        self._perform(self.worker.on(event, self.now_ms))

    def finish(self) -> "Running":
        """Handle and commit all that there is."""
        idle = 0
        while idle < 2:
            assert self.connection.stopped is None, self.connection.stopped
            self.now_ms += 1
            for event in self.connection.fetch(50):
                self.tell(event)
            idle = 0 if self.worker.has_work(self.now_ms) or self.worker.is_committing else idle + 1
            self._perform(self.worker.work(self.now_ms, 50))
        return self

    @property
    def slot(self) -> Slot:
        """Its one task's place."""
        (slot,) = self.worker.slots
        return slot

    @property
    def error(self) -> Exception | None:
        """Why it stopped."""
        assert self.connection.stopped is not None
        return self.connection.stopped.error

    def arrays(self) -> dict[str, Array]:
        """Copies of its arrays."""
        return {name: array.copy() for name, array in self.slot.task.state.arrays().items()}

    def _perform(self, instructions: list[Instruction]) -> None:
        self._events.extend(event for item in instructions for event in self.connection.perform(item))
        while self._events:
            self._perform(self.worker.on(self._events.popleft(), self.now_ms))


@pytest.fixture
def memory() -> MemoryBroker:
    """The first 250 events with 100 labels behind them."""
    made = MemoryBroker(["payments", "chargebacks"], FORMAT.topics.journal, SCHEMAS)
    append_events(made, 0, FIRST)
    for number, (key, value) in enumerate(chargebacks(range(50, 150))):
        made.append(LABELS, key, value, T0 + 100 + number)
    return made


def append_events(memory: MemoryBroker, first: int, end: int) -> None:
    """Produce these of the events."""
    for number, (key, value) in enumerate(payments(ALL)[first:end], start=first):
        memory.append(EVENTS, key, value, T0 + number)


def run_and_stop(memory: MemoryBroker, plan: Plan) -> dict[str, Array]:
    """Run a version to the end of what there is and stop it cleanly; returns the arrays it left."""
    running = Running(memory, plan).finish()
    left = running.arrays()
    running.tell(StopRequested())
    assert running.error is None
    return left


def run_whole(plan: Plan) -> Running:
    """A run of one plan over all events, from the first on."""
    memory = MemoryBroker(["payments", "chargebacks"], FORMAT.topics.journal, SCHEMAS)
    append_events(memory, 0, ALL)
    return Running(memory, plan).finish()


def last_features(running: Running) -> dict[str, Floats]:
    """By feature, its values at the events behind the change: the rows that wait for labels hold them."""
    rows, marks = (running.arrays()[f"labels/{name}"].view(np.int64) for name in ("rows", "marks"))
    waiting = rows[np.arange(int(marks[label_table.ROW_TAIL]), int(marks[label_table.ROW_HEAD])) % len(rows)]
    waiting = waiting[waiting[:, label_table.ROW_OFFSET] >= FIRST]
    names, first = running.slot.task.state.features.plan.layout.dense, label_table.ROW_HEAD_CELLS
    return {name: waiting[:, first + place].copy().view(np.float64) for place, name in enumerate(names)}


def test_unchanged_features_go_on_as_if_the_new_app_had_always_run(memory: MemoryBroker) -> None:
    """Their values at the events behind the change are the same, bit for bit."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, ALL)
    got, expected = last_features(Running(memory, new_plan()).finish()), last_features(run_whole(new_plan()))
    assert len(got["spend"]) == len(expected["spend"]) > 100
    for name in ("unusual", "spend", "filled"):
        assert got[name].tobytes() == expected[name].tobytes(), name


def test_new_and_changed_features_start_anew(memory: MemoryBroker) -> None:
    """They are null once more at each card's first event behind the change, though the card was known before."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, ALL)
    got, expected = last_features(Running(memory, new_plan()).finish()), last_features(run_whole(new_plan()))
    for name in ("added", "changed"):
        assert not np.isnan(expected[name]).any(), name
        assert np.count_nonzero(np.isnan(got[name])) >= 20, name  # cards; late events enter no state
        assert not np.isnan(got[name][-20:]).any(), name


def test_what_starts_anew_is_told(memory: MemoryBroker) -> None:
    """The task names features, models and label rows; the detector of an unchanged feature keeps its window."""
    left = run_and_stop(memory, old_plan())
    started = Running(memory, new_plan())
    restored = started.slot.restored
    assert restored.anew == ("features/added", "features/changed", "model/champion", "labels")
    assert restored.label_rows_dropped == rows_waiting(left["labels/marks"]) > 100
    now = started.arrays()
    assert_same({name: array for name, array in left.items() if name.startswith(("monitor/", "share/"))}, now)
    assert np.count_nonzero(left["model/champion/weights"]) and not np.count_nonzero(now["model/champion/weights"])
    assert carry(new_plan(), facts_of(old_plan())).anew == restored.anew


def test_a_model_and_a_monitor_more_leave_the_others_as_they_were(memory: MemoryBroker) -> None:
    """Features, the champion with its metrics, and the old monitor, which stands second now, keep every bit."""
    left = run_and_stop(memory, old_plan())
    started = Running(memory, with_challenger())
    assert started.slot.restored.anew == ("model/challenger", "monitor/0")
    now = started.arrays()
    kept = ("features/", "model/champion/", "evaluation/champion/", "share/")
    assert_same({name: array for name, array in left.items() if name.startswith(kept)}, now)
    moved = {name.replace("monitor/0", "monitor/1"): array for name, array in left.items()}
    assert_same({name: array for name, array in moved.items() if name.startswith("monitor/")}, now)


def test_scores_of_two_models_that_are_alike_are_told_apart() -> None:
    """A challenger that is declared as the champion is keeps its own scores in rows outside of memory."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label="fraud")
    events.features(**FEATURES)
    app.model("champion", LOGISTIC)
    app.model("challenger", LOGISTIC)

    first, second = score_digests(compile_app(app, {}))
    assert first != second


def test_rows_outside_of_memory_that_are_dropped_are_told_too(memory: MemoryBroker) -> None:
    """Where spilling ends all that waits is dropped: in memory, and outside but those whose label was learned."""
    running = Spilling(memory, plan=plan_that_spills()).finish_from_the_start()
    (slot,) = running.worker.slots
    saved, spilled = slot.task.state.arrays(), "labels/spilled_"
    learned = np.unpackbits(saved[f"{spilled}learned"].view(np.uint8)).sum()  # its ring has not come round
    outside = saved[f"{spilled}marks"][1] - learned
    assert rows_waiting_outside(saved[f"{spilled}marks"], saved[f"{spilled}learned"]) == outside > 0

    restored = LearnedState(plan_with_labels()).load(saved, facts_of(plan_that_spills()))
    assert restored.anew == ("labels",)
    assert restored.label_rows_dropped == rows_waiting(saved["labels/marks"]) + outside


def test_labels_of_dropped_rows_are_counted_and_do_no_harm(memory: MemoryBroker) -> None:
    """A label whose event's row was dropped is one of an unknown event; later events are learned from as ever."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, ALL)
    assert learned_late(Running(memory, new_plan()), memory) == (2, 2)


def test_waiting_events_keep_their_rows_when_a_model_joins(memory: MemoryBroker) -> None:
    """Both models learn from a label that comes behind the change; only the one that scored the event is measured."""
    left = run_and_stop(memory, old_plan())
    append_events(memory, FIRST, ALL)
    after = Running(memory, with_challenger())
    assert after.slot.restored.label_rows_dropped == 0
    labels = after.slot.task.state.labels
    assert labels is not None and labels.waiting == rows_waiting(left["labels/marks"])
    before = labels.counts
    assert learned_late(after, memory) == (before.joined + 4, before.early)
    figures = after.slot.task.state.evaluation.figures()
    assert figures["champion"]["labelled"] == before.joined + 4
    assert figures["challenger"]["labelled"] == 2


def test_rows_that_no_longer_fit_beside_more_scores_go_oldest_first() -> None:
    """A wider row in the same budget: as many of the newest are kept as fit."""
    layout = FeatureLayout(("x",), ())
    narrow, wide = (LabelStore(layout, 0, scores, 10**9, 1 << 18) for scores in (2, 40))
    fits = int(wide.arrays()["marks"][label_table.MAX_ROWS])
    count = fits + 100
    assert count <= narrow.arrays()["marks"][label_table.MAX_ROWS]
    numbers = np.arange(count)
    nothing = np.zeros((count, 0), np.int64)
    x = numbers[:, None].astype(np.float64)
    batch = FeatureBatch(x, np.zeros(count + 1, np.int64), np.zeros(0, np.int64), np.zeros(0))
    _, registered = narrow.register(numbers + 1, np.ones(count, np.bool_), numbers)
    narrow.keep(registered, batch, nothing, np.hstack((-x, x)), numbers, numbers)
    wide.take_over(narrow.arrays(), np.array([-1, 1] + [-1] * 38))
    assert (wide.waiting, wide.counts.rows_evicted) == (fits, 100)
    joined = wide.join(np.array([100, 101, count]), np.ones(3))
    assert joined.features.dense[:, 0].tolist() == [100.0, count - 1.0]
    assert joined.scores[:, 1].tolist() == [100.0, count - 1.0]
    assert np.isnan(joined.scores[:, [0, 2, 39]]).all()
    assert wide.counts.too_late == 1


def learned_late(running: Running, memory: MemoryBroker) -> tuple[int, int]:
    """Labels joined and early, after two for events before the change and two for later ones."""
    running.finish()
    for number, (key, value) in enumerate(chargebacks([200, 201, 300, 301])):
        memory.append(LABELS, key, value, T0 + ALL + number)
    running.finish()
    labels = running.slot.task.state.labels
    assert labels is not None
    return labels.counts.joined, labels.counts.early


def test_an_unchanged_app_starts_nothing_anew(memory: MemoryBroker) -> None:
    """Every bit is as it was left."""
    left = run_and_stop(memory, old_plan())
    started = Running(memory, old_plan())
    assert started.slot.restored == Restored((), 0)
    assert_same(left, started.arrays())


def test_a_model_starts_anew_when_what_a_feature_means_changes() -> None:
    """Same names in the same order, another definition: weights and scales of the old one would be wrong."""
    redefined = declare({**FEATURES, "changed": CHANGED_FEATURES["changed"]})
    assert carry(redefined, facts_of(old_plan())).anew == ("features/changed", "model/champion", "labels")


def test_a_larger_budget_alone_starts_no_part_anew(memory: MemoryBroker) -> None:
    """A budget is no part of a definition: features, models, detectors and waiting rows are kept."""
    left = run_and_stop(memory, old_plan())
    started = Running(memory, larger_plan())
    assert started.slot.restored == Restored((), 0)
    kept = {name: array for name, array in left.items() if not name.startswith("features/")}
    assert_same(kept, started.arrays())


def test_after_a_crash_a_changed_app_is_refused(memory: MemoryBroker) -> None:
    """No replay across versions: the error says what to do, and the old version can do it."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, 300)
    Running(memory, old_plan()).finish()  # its snapshot is that of the stop before
    refused = Running(memory, new_plan())
    assert isinstance(refused.error, ConfigError)
    assert "Run `stream state catch-up APP` with the old version" in str(refused.error)
    run_and_stop(memory, old_plan())
    assert Running(memory, new_plan()).finish().connection.stopped is None


@pytest.mark.parametrize("snapshot_interval_ms", [1_000_000, 3])
def test_a_crash_behind_the_change_rebuilds_the_same_state(memory: MemoryBroker, snapshot_interval_ms: int) -> None:
    """With a snapshot of its own or, before there is one, from the old version's last: never by replaying that one's
    cycles with the new app."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, ALL)
    crashed = Running(memory, new_plan(), snapshot_interval_ms).finish()
    again = Running(memory, new_plan()).finish()
    assert_same(crashed.arrays(), again.arrays())


def test_a_version_that_comes_back_does_not_load_its_old_snapshot(memory: MemoryBroker) -> None:
    """Old, new, old: the second old one begins where the new one stopped."""
    run_and_stop(memory, old_plan())
    append_events(memory, FIRST, 300)
    run_and_stop(memory, new_plan())
    append_events(memory, 300, ALL)
    back = Running(memory, old_plan()).finish()
    assert_same(back.arrays(), Running(memory, old_plan()).finish().arrays())
    assert memory.committed[EVENTS].next_offset == ALL


def test_a_label_topic_may_come_and_go(memory: MemoryBroker) -> None:
    """Offsets are those of the topics that the running version reads; a new topic is read from its beginning."""
    run_and_stop(memory, declare(FEATURES, has_labels=False))
    assert LABELS not in memory.committed
    with_labels = Running(memory, old_plan())
    assert set(with_labels.slot.restored.anew) == {"model/champion", "labels"}
    with_labels.finish().tell(StopRequested())
    assert memory.committed[LABELS].next_offset == 100
    append_events(memory, FIRST, ALL)
    without = Running(memory, declare(FEATURES, has_labels=False)).finish()
    assert set(without.slot.task.next_offsets) == {EVENTS}


def assert_same(expected: Mapping[str, Array], got: Mapping[str, Array]) -> None:
    """The same bytes under the same names, of which there is at least one."""
    assert expected
    for name, array in expected.items():
        assert got[name].tobytes() == array.tobytes(), name
