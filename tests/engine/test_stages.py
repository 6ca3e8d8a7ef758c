"""Features by other keys than the stream's, on several partitions: stages between repartition topics (rules 34, 35)."""

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from stream import App, col, models
from stream.app import compile_app, compile_stages
from stream.engine.envelope import Opener, Travellers
from stream.engine.journal import Backfill
from stream.engine.order import SourceOrder
from stream.engine.plan import Plan
from stream.engine.protocol import CommittedOffset, SchemaFetched, SchemaRefused, TaskFound
from stream.engine.restore import find_beginning, metadata_of
from stream.engine.small_avro import decode_small
from stream.engine.snapshot import Checkpoint
from stream.engine.task import Task
from stream.errors import ConfigError, TaskCorrupted
from stream.headers import unpack
from stream.records import RecordBatch, RejectReason, joined
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, chargebacks, declare, payments
from tests.engine.stage_pipeline import SCHEMAS, Pipeline, in_partition, records_of

PARTITIONS = 4
EVENTS = 400
Record = tuple[bytes, bytes]  # key and value


def declared(has_label_topic: bool = True) -> App:
    """Payments with features by their text, by card and text together, and by their card."""
    app = declare(has_label_topic=has_label_topic)
    assert app.event_stream is not None
    amount = col("amount")
    app.event_stream.features(
        alike=amount.count("1m", by="text"),
        dear=amount / amount.ewm_mean("1h", by="text") + amount.max("1m", by=("card", "text")),
        near=amount.sum("1m", by="text", local=True),
    )
    return app


@cache
def stages(has_label_topic: bool = True) -> tuple[Plan, ...]:
    """On four partitions: two other keys, four stages."""
    return compile_stages(declared(has_label_topic), {}, PARTITIONS)


def inline(plan: Plan, inputs: dict[str, RecordBatch], order: list[tuple[str, list[int]]]) -> tuple[Task, list[Record]]:
    """One task that sees all and handles the same records in the same order; and its predictions."""
    task, predicted = Task(plan, 0, 1, FORMAT), []
    for topic, offsets in order:
        left = inputs[topic].chosen(np.searchsorted(inputs[topic].offsets, offsets))
        while len(left):
            outputs = task.process(left, T0)
            left = left.part(outputs.taken, len(left))
            if outputs.needs_schema is not None:
                task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
            predicted += [record for each in outputs.predictions for record in records_of(each)]
    return task, predicted


def test_the_stages_of_an_app() -> None:
    """One hop for each other key, and one back; a single partition, or local features alone, need none."""
    plans = stages()
    assert [plan.stage for plan in plans] == ["entry", "by-text", "by-card-text", ""]
    assert [plan.input_topic for plan in plans] == [
        "payments",
        "app.by-text.repartition",
        "app.by-card-text.repartition",
        "app.repartition",
    ]
    assert [len(plan.features.layout.dense) for plan in plans] == [0, 2, 1, 6]
    assert plans[1].other_stages == ("entry", "by-card-text", "")
    assert plans[-1].other_stages == ("entry", "by-text", "by-card-text")
    assert len({plan.digest for plan in plans}) == len(plans)
    assert len(compile_stages(declared(), {}, 1)) == 1
    assert len(compile_stages(declare(), {}, PARTITIONS)) == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_label_topic", [True, False])
def test_rule_34_stages_give_what_one_task_gives_that_sees_all(seed: int, has_label_topic: bool) -> None:
    """Bit for bit: events of one partition pass four partitions of two topics in any order, and come back in theirs."""
    inputs = {"payments": batch("payments", payments(EVENTS, seed, not has_label_topic))}
    if has_label_topic:
        numbers = random.Random(seed).choices(range(EVENTS), k=200)
        inputs["chargebacks"] = batch("chargebacks", chargebacks(numbers))
    run = Pipeline(
        stages(has_label_topic), PARTITIONS, {(topic, 0): each for topic, each in inputs.items()}, seed
    ).run()

    done = [item for item in run.measured if item[0] in inputs]
    whole, predicted = inline(compile_app(declared(has_label_topic), {}), inputs, done)
    assert len(predicted) > EVENTS // 2
    assert run.of("app.predictions") == predicted
    last = run.tasks["", 0].state.arrays()
    models = {name: array for name, array in whole.state.arrays().items() if name.startswith("model/")}
    assert models
    assert all(array.tobytes() == last[name].tobytes() for name, array in models.items())
    order = run.tasks["", 0].state.stage.order
    assert order is not None
    assert order.waiting == 0


def several(count: int, seed: int) -> dict[tuple[str, int], RecordBatch]:
    """Events and labels of all partitions."""
    return {
        (topic, number): in_partition(batch(topic, records), number)
        for number in range(PARTITIONS)
        for topic, records in (
            ("payments", payments(count, seed + number)),
            ("chargebacks", chargebacks(range(0, count, 2), number)),
        )
    }


def test_rule_34_id_time_order_and_headers_survive() -> None:
    """Each accepted event has one prediction, with its own place and times, in the order of its partition."""
    run = Pipeline(stages(), PARTITIONS, several(100, 5), 3).run()
    predictions = [decode_small("prediction", value[5:]) for _, value in run.of("app.predictions")]
    letters = len(run.of("app.dead-letters"))
    assert len(predictions) + letters == 100 * PARTITIONS
    assert letters > 5
    for number in range(PARTITIONS):
        offsets = [each["offset"] for each in predictions if each["partition"] == number]
        assert offsets == sorted(offsets)
        assert len(offsets) > 80
    assert {each["topic"] for each in predictions} == {"payments"}


@pytest.mark.parametrize("seed", range(3))
def test_what_waits_for_its_order_is_part_of_a_snapshot(seed: int) -> None:
    """Each task is replaced again and again by one that is loaded from its checkpoint: nothing is lost or differs."""
    inputs = several(60, seed)
    whole, broken = Pipeline(stages(), PARTITIONS, inputs, seed), Pipeline(stages(), PARTITIONS, inputs, seed)
    whole.run()
    had_waiting = 0
    while waiting := broken.waiting():
        task, place = broken.draw.choice(waiting)
        broken.turn(task, place)
        task.close_cycle()
        order = task.state.stage.order
        had_waiting += order is not None and order.waiting > 0
        key = next(key for key, each in broken.tasks.items() if each is task)
        broken.tasks[key] = Task(task._plan, task.partition, 1, FORMAT)
        broken.tasks[key].load(task.checkpoint(T0))
    assert had_waiting > 5
    assert broken.of("app.predictions") == whole.of("app.predictions")
    assert {key: task.state.digest() for key, task in broken.tasks.items()} == {
        key: task.state.digest() for key, task in whole.tasks.items()
    }


def test_rule_35_the_state_is_a_function_of_what_arrived_however_it_was_cut() -> None:
    """The same records of a repartition topic, taken by ones and by hundreds, leave the same state behind."""
    run = Pipeline(stages(), PARTITIONS, several(60, 1), 1).run()
    place = ("app.repartition", 0)
    states = []
    for size in (1, 7, 1000):
        task = Task(stages()[-1], 0, 1, FORMAT)
        at, log = 0, run.logs[place][3:]  # without its first records all others wait
        while at < len(log):
            outputs = task.process(joined(log[at : at + size]), T0)
            at += outputs.taken
            if outputs.needs_schema is not None:
                task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
        assert task.state.stage.order is not None
        assert task.state.stage.order.waiting > 10
        states.append(task.state.digest())
    assert len(set(states)) == 1


def test_a_backfill_of_stages_rejects_nothing_of_the_past_aloud() -> None:
    """A schema that the registry refuses to the last stage alone: only events from the time on are dead letters."""
    run = Pipeline(stages(), PARTITIONS, several(60, 1), 1).run()
    place, task = ("app.repartition", 0), Task(stages()[-1], 0, 1, FORMAT)
    task.backfill = Backfill(None, T0 + 20)
    arrived = joined(run.logs[place])
    needed = task.process(arrived, T0)
    assert needed.needs_schema is not None
    task.answer_schema(SchemaRefused(needed.needs_schema, RejectReason.UNKNOWN_SCHEMA, "a replica lags behind"))
    (letters,) = task.process(arrived.part(needed.taken, len(arrived)), T0).transactional
    offsets = [
        int(dict(unpack(bytes(letters.data[start:end])))["stream.offset"] or b"") for start, end in letters.headers
    ]
    assert min(offsets) == 20
    assert len(offsets) > 30


def test_an_event_that_comes_twice_stops_the_task_with_the_way_out() -> None:
    """As when an earlier stage began anew by itself: its numbers begin again."""
    run = Pipeline(stages(), PARTITIONS, several(20, 1), 1).run()
    with pytest.raises(TaskCorrupted, match="Reset all stages together"):
        run.tasks["", 0].process(joined(run.logs["app.repartition", 0][:2]), T0)


def test_a_feature_by_another_key_reads_columns_alone() -> None:
    """What another key's state holds lies in other partitions."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(odd=col("amount").ratio_to_mean("1h").max("1m", by="text"))
    with pytest.raises(ConfigError, match=r"feature 'odd': window by text reads ewm.*local=True"):
        compile_stages(app, {}, PARTITIONS)
    assert len(compile_stages(app, {}, 1)) == 1


def keyed_by(key: tuple[str, ...], *others: tuple[str, ...]) -> App:
    """Payments with this key, and one feature by each of the others."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key=key, time="at", label="fraud")
    events.features(**{f"f{number}": col("amount").sum("1m", by=by) for number, by in enumerate(others)})
    app.model("champion", models.LogisticRegression())
    return app


def test_the_same_columns_in_another_order_are_the_same_key() -> None:
    """No hop of their own, beside the stream's key and beside each other; the order first named is that of all."""
    both = compile_stages(keyed_by(("card",), ("text", "card"), ("card", "text")), {}, PARTITIONS)
    assert [plan.stage for plan in both] == ["entry", "by-text-card", ""]
    assert both[1].features.layout.dense == ("f0", "f1")
    assert both[1].features.digests["f0"] == both[1].features.digests["f1"]
    (own,) = compile_stages(keyed_by(("card", "text"), ("text", "card")), {}, PARTITIONS)
    assert own.features.foreign_keys == ()
    plans = compile_stages(keyed_by(("card", "text"), ("text", "card"), ("text",)), {}, PARTITIONS)
    assert [plan.stage for plan in plans] == ["entry", "by-text", ""]

    inputs = {"payments": batch("payments", payments(100, 1, True))}
    for app in (keyed_by(("card",), ("text", "card"), ("card", "text")), keyed_by(("card", "text"), ("text", "card"))):
        several_stages = compile_stages(app, {}, PARTITIONS)
        run = Pipeline(several_stages, PARTITIONS, {("payments", 0): inputs["payments"]}, 1).run()
        _, predicted = inline(compile_app(app, {}), inputs, [("payments", inputs["payments"].offsets.tolist())])
        assert len(predicted) > 50
        assert run.of("app.predictions") == predicted


def test_a_feature_is_not_named_like_a_part_of_another() -> None:
    """The second part of `dear` is `dear#2` where it is computed: it would be overwritten without a word."""
    app = declared()
    assert app.event_stream is not None
    app.event_stream.features(**{"dear#2": col("amount").min("1m", by=("card", "text"))})
    with pytest.raises(ConfigError, match="features: 'dear#2' is both a feature and a part of one"):
        compile_stages(app, {}, PARTITIONS)
    compile_stages(app, {}, 1)


def test_a_changed_feature_is_another_column_for_the_last_stage() -> None:
    """Models must not go on with a feature that means something else under the old name."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(alike=col("amount").count("2m", by="text"))
    other = compile_stages(app, {}, PARTITIONS)[-1]
    assert other.features.digests["alike"] != stages()[-1].features.digests["alike"]
    assert other.arrives is not None
    known = stages()[-1].arrives
    assert known is not None
    assert other.arrives.layout != known.layout  # what is on its way is not mistaken for it


def test_stages_cannot_come_or_go_under_a_running_app() -> None:
    """Events are on their way between them."""
    run = Pipeline(stages(), PARTITIONS, several(20, 1), 1).run()
    task = run.tasks["", 0]
    task.close_cycle()
    with pytest.raises(ConfigError, match=r"the stages of app changed from entry > by-text .* to one"):
        Task(compile_app(declared(), {}), 0, 1, FORMAT).load(task.checkpoint(T0))


def committed_at(task: Task, cycle: tuple[bytes, Checkpoint], first: int, begins_at: int) -> TaskFound:
    """What is found of a task behind its first cycle, with this offset of its group in a topic that begins there."""
    arrives, *others = task.sources
    ends = task.next_offsets
    metadata = metadata_of(*task.last_cycle)
    return TaskFound(
        partition=task.partition,
        committed={
            arrives: CommittedOffset(first, metadata),
            **{source: CommittedOffset(ends[source], metadata) for source in others},
        },
        journal=(cycle[0],),
        checkpoints=(cycle[1],),
        damaged=(),
        beginnings={arrives: begins_at, **dict.fromkeys(others, 0)},
        ends=dict.fromkeys(task.sources, 1_000),
    )


def test_a_gap_between_stages_is_never_passed_over() -> None:
    """It names the reset of all stages, and to set the group's offset behind the gap leads nowhere."""
    run = Pipeline(stages(), PARTITIONS, several(20, 1), 1).run()
    task = run.tasks["", 0]
    output = task.close_cycle().journal_output
    record = bytes(output.data[output.values[0, 0] : output.values[0, 1]])
    cycle = record, task.checkpoint(T0)
    end = task.next_offsets[task.sources[0]]

    for committed, told in (
        (end, r"Reset all stages together \(`stream state reset APP`\)"),
        (end + 10, "changed from"),
    ):
        found = committed_at(task, cycle, committed, end + 10)
        with pytest.raises(TaskCorrupted, match=told):
            find_beginning(found, task.sources, task.plan_digest, "earliest", handed_on=task.handed_on)


def test_a_record_that_no_stage_wrote_is_a_dead_letter_and_costs_no_other() -> None:
    """Junk, or what begins as a record of an unknown schema, in the middle of a repartition topic; however cut."""
    run = Pipeline(stages(), PARTITIONS, several(30, 1), 1).run()
    log = run.logs["app.repartition", 0]
    for strange in (b"junk", b"\xc3\x0112345678hello"):
        one = batch("app.repartition", [(None, strange)])
        mixed = [*log[:5], one, *log[5:]]
        for number, record in enumerate(mixed):
            mixed[number] = replace(record, offsets=np.array([number]))
        for size in (1, 7, 1000):
            task = Task(stages()[-1], 0, 1, FORMAT)
            at, letters, predicted = 0, 0, 0
            while at < len(mixed):
                outputs = task.process(joined(mixed[at : at + size]), T0)
                at += outputs.taken
                letters += sum(len(each) for each in outputs.transactional)
                predicted += sum(len(each) for each in outputs.predictions)
                if outputs.needs_schema is not None:
                    task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
            assert (letters, predicted) == (1, len(log))


def test_what_waits_is_held_once_and_goes_on_in_order() -> None:
    """Each is copied once when it comes, and once when it goes on; what is held is told without a copy."""
    order = SourceOrder(stages()[-1])
    log = Pipeline(stages(), PARTITIONS, several(30, 1), 1).run().logs["app.repartition", 0]
    hop = stages()[-1].arrives
    assert hop is not None
    opener = Opener("payments", hop)
    came = [opener.open(record).travellers for record in log]
    first, *others = sorted(came, key=lambda each: int(each.sequences[0]))
    for each in reversed(others):
        before = order.state_bytes
        order.keep(order.released_with(each))
        assert order.state_bytes - before == each.batch.values[0, 1] - each.batch.values[0, 0] + len_of_rest(each)
    released = order.released_with(first)
    assert released.travellers.sequences.tolist() == list(range(len(log)))
    order.keep(released)
    assert (order.waiting, order.state_bytes) == (0, 0)


def len_of_rest(each: Travellers) -> int:
    """Bytes of its key and headers, and of what is noted of it."""
    spans = (each.batch.keys[0], each.batch.headers[0])
    return sum(int(span[1] - span[0]) for span in spans) + 8 * (9 + int(each.features.shape[1]))
