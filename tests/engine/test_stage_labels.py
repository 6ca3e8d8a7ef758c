"""Labels and the events that come through stages: they meet as they would in one task (rules 34 and 35)."""

from dataclasses import replace

import numpy as np

from stream.app import compile_app, compile_stages
from stream.engine.metrics import LabelOutcome
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched, TaskFound
from stream.engine.slot import Slot
from stream.engine.task import Task
from stream.records import joined
from tests.engine.build import FORMAT, LABEL_SCHEMA, T0, batch, chargebacks, payments
from tests.engine.stage_pipeline import SCHEMAS, Pipeline
from tests.engine.test_stages import EVENTS, PARTITIONS, declared


def test_labels_wait_for_events_that_are_still_on_their_way_through_the_stages() -> None:
    """Given all labels before any event, as where a backfill begins, one learns as many as a task that sees all."""
    app = declared()
    app.label_stream = None
    assert app.event_stream is not None
    app.labels("chargebacks", of=app.event_stream, schema=LABEL_SCHEMA, target="fraud", horizon="100ms")
    events = batch("payments", payments(EVENTS, 1))
    labels = batch("chargebacks", chargebacks(range(EVENTS)))
    labels = replace(labels, timestamps_ms=labels.timestamps_ms + 20)
    plans = compile_stages(app, {}, PARTITIONS)
    hop = Pipeline(plans, PARTITIONS, {("payments", 0): events}, 1).run().logs["app.repartition", 0]
    learned = []
    in_pieces = [joined(hop[at : at + 20]) for at in range(0, len(hop), 20)]
    for plan, came in ((compile_app(app, {}), [events]), (plans[-1], in_pieces)):
        slot = begun(plan)
        slot.enqueue(labels, T0)
        for each in came:
            if plan.arrives is not None:
                drain(slot)
            slot.enqueue(each, T0)
        drain(slot)
        drain(slot, T0 + 60_000)
        slot.task.close_cycle()
        learned.append(slot.task.metrics.learned["champion"])
    assert learned[0] > EVENTS * 0.8
    assert abs(learned[1] - learned[0]) < EVENTS * 0.05


def test_labels_wait_for_a_backlog_of_events_that_comes_in_another_order() -> None:
    """Partition after partition of the stage before, as a restart finds them: ten seconds pass, none is early."""
    app = declared()
    app.label_stream = None
    assert app.event_stream is not None
    app.labels("chargebacks", of=app.event_stream, schema=LABEL_SCHEMA, target="fraud", horizon="1h")
    labels = batch("chargebacks", chargebacks(range(EVENTS)))
    labels = replace(labels, timestamps_ms=labels.timestamps_ms + 200)
    plans = compile_stages(app, {}, PARTITIONS)
    events = batch("payments", payments(EVENTS, 1))
    hop = Pipeline(plans, PARTITIONS, {("payments", 0): events}, 1).run().logs["app.repartition", 0]
    backlog = joined([hop[at] for first in range(PARTITIONS) for at in range(first, len(hop), PARTITIONS)])
    early, slices = [], 0
    for plan, came in ((compile_app(app, {}), events), (plans[-1], replace(backlog, offsets=np.arange(len(backlog))))):
        slot, slices = begun(plan), 0
        slot.enqueue(labels, T0)
        slot.enqueue(came, T0)
        while slot.has_work(T0 + 5_000 * slices):
            handle(slot, T0 + 5_000 * slices)
            slices += 1
        slot.task.close_cycle()
        early.append(slot.task.metrics.labels[LabelOutcome.EARLY])
        assert slot.task.metrics.labels[LabelOutcome.JOINED] == EVENTS - early[-1]
    assert early[1] == early[0] < EVENTS // 20  # of events that were rejected
    assert slices < EVENTS // 10


def begun(plan: Plan) -> Slot:
    """A task in a worker that has nothing to restore."""
    slot = Slot(Task(plan, 0, 1, FORMAT), 0)
    nowhere = dict.fromkeys(slot.task.sources, 0)
    slot.begin(TaskFound(0, {}, (), (), (), nowhere, nowhere), "earliest", T0)
    return slot


def drain(slot: Slot, now_ms: int = T0) -> None:
    """Let it handle all that it may."""
    while slot.has_work(now_ms):
        handle(slot, now_ms)


def handle(slot: Slot, now_ms: int) -> None:
    """Let it handle a slice."""
    outputs, _ = slot.handle(now_ms, 64)
    if outputs is not None and outputs.needs_schema is not None:
        slot.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
