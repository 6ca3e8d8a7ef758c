"""Features that count labels by another key than the stream's: labels go back to their stage (rule 34)."""

import io
from collections import defaultdict
from functools import cache
from typing import Any

import fastavro
import numpy as np
import orjson
import pytest

from stream import App, col
from stream.app import compile_app, compile_stages
from stream.cli.checks.stages import hops_text
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.task import Task
from stream.errors import ConfigError
from stream.features.expression import Expression
from stream.headers import unpack
from stream.records import RecordBatch, joined
from stream.resources import schema_text
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, chargebacks, declare, payments
from tests.engine.stage_pipeline import SCHEMAS, Pipeline, in_partition

PARTITIONS = 4
EVENTS = 200
TOPIC = "app.by-text.repartition"
SMOOTHING = 2.0
BETWEEN, LEARNED = (fastavro.parse_schema(orjson.loads(schema_text(name))) for name in ("repartition", "learned-label"))
Place = tuple[int, int]  # partition and offset of an event


def declared(has_label_topic: bool = True, local: bool = False) -> App:
    """Payments with the share of fraud by their text, over all partitions, beside a count by it."""
    app = declare(has_label_topic)
    assert app.event_stream is not None
    risk = col("text").target_mean(SMOOTHING, local=local)
    app.event_stream.features(risk=risk, alike=col("amount").count("1m", by="text"))
    return app


@cache
def stages(has_label_topic: bool = True) -> tuple[Plan, ...]:
    """On four partitions."""
    return compile_stages(declared(has_label_topic), {}, PARTITIONS)


@cache
def finished(has_label_topic: bool = True) -> Pipeline:
    """All stages, once they are through with the events and labels of all partitions."""
    inputs = {}
    for number in range(PARTITIONS):
        events = batch("payments", payments(EVENTS, 5 + number, not has_label_topic))
        inputs["payments", number] = in_partition(events, number)
        if has_label_topic:
            labels = batch("chargebacks", chargebacks(range(0, EVENTS, 2), number))
            inputs["chargebacks", number] = in_partition(labels, number)
    return Pipeline(stages(has_label_topic), PARTITIONS, inputs, 3).run()


def read(schema: Any, record: bytes, header_bytes: int = 10) -> dict[str, Any]:
    """A record by fastavro."""
    found: Any = fastavro.schemaless_reader(io.BytesIO(record[header_bytes:]), schema, None)
    return dict(found)


def values(run: Pipeline, topic: str, partition: int) -> list[bytes]:
    """Of all records of a partition."""
    return [each.data[slice(*each.values[0])].tobytes() for each in run.logs[topic, partition]]


def is_label(value: bytes) -> bool:
    """A learned label among the events."""
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(LEARNED), "CRC-64-AVRO")
    return value[2:10] == bytes.fromhex(fingerprint)


def text_of(value: bytes) -> str:
    """That the event's stage is keyed by."""
    return str(read(fastavro.parse_schema(EVENT_SCHEMA), value, 5)["text"])


def expected(run: Pipeline) -> dict[Place, float]:
    """Of each event the share of fraud by its text, from the labels that lie before it in its stage's log."""
    texts: dict[Place, str] = {}
    found: dict[Place, float] = {}
    for number in range(PARTITIONS):
        counts, sums = defaultdict[str, int](int), defaultdict[str, float](float)
        for value in values(run, TOPIC, number):
            if is_label(value):
                label = read(LEARNED, value)
                for name in (texts[label["partition"], label["offset"]], "of all"):
                    counts[name] += 1
                    sums[name] += label["target"]
                continue
            event = read(BETWEEN, value)
            place = event["partition"], event["offset"]
            name = texts[place] = text_of(event["value"])
            overall = sums["of all"] / counts["of all"] if counts["of all"] else np.nan
            found[place] = (sums[name] + SMOOTHING * overall) / (counts[name] + SMOOTHING)
    return found


@pytest.mark.parametrize("has_label_topic", [True, False])
def test_rule_34_labels_are_counted_where_their_key_lies(has_label_topic: bool) -> None:
    """From all partitions, each at its place in the stage's log: what comes behind it knows it, and nothing before."""
    run = finished(has_label_topic)
    computed = {
        (event["partition"], event["offset"]): event["features"][0]
        for number in range(PARTITIONS)
        for event in (read(BETWEEN, value) for value in values(run, "app.repartition", number))
    }
    wanted = expected(run)
    assert len(computed) > 3 * EVENTS
    assert computed.keys() == wanted.keys()
    assert all(np.array_equal(computed[place], wanted[place], equal_nan=True) for place in computed)
    assert len({value for value in computed.values() if value == value}) > 100


@pytest.mark.parametrize("has_label_topic", [True, False])
def test_rule_34_each_label_that_is_learned_goes_back_once(has_label_topic: bool) -> None:
    """What came early, late or in its event; beside an event whose record says where it lies."""
    run = finished(has_label_topic)
    learned = [
        read(LEARNED, value) for number in range(PARTITIONS) for value in values(run, TOPIC, number) if is_label(value)
    ]
    tasks = [run.tasks["", number] for number in range(PARTITIONS)]
    counts = [task.state.labels.counts for task in tasks if task.state.labels]
    if has_label_topic:
        assert sum(each.joined for each in counts) > 3
        assert sum(each.early_joined for each in counts) > 10
        assert len(learned) == sum(each.joined + each.early_joined for each in counts)
    else:
        assert len(learned) == sum(len(run.logs["app.repartition", number]) for number in range(PARTITIONS))
    places = {(each["partition"], each["offset"]) for each in learned}
    assert len(places) == len(learned)
    kept = sum(
        run.tasks["by-text", number].state.arrays()["features/categories"].sum(axis=0) for number in range(PARTITIONS)
    )
    assert kept.tolist() == [len(learned), sum(each["target"] for each in learned)]
    running = [run.tasks["by-text", number].state.arrays()["features/running"] for number in range(PARTITIONS)]
    assert sum(each[0] for each in running) == len(learned)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_rule_35_labels_among_events_are_learned_in_their_turn_however_the_log_is_cut(size: int) -> None:
    """State and what is sent on are those of the whole run, bit for bit; the schema's answer may come amid labels."""
    run, number = finished(), 2
    log, at, sent = run.logs[TOPIC, number], 0, []
    task = Task(stages()[1], number, 1, FORMAT)
    while at < len(log):
        outputs = task.process(joined(log[at : at + size]), T0)
        at += outputs.taken
        sent += [each.data[slice(*span)].tobytes() for each in outputs.sent_on for span in each.values.tolist()]
        if outputs.needs_schema is not None:
            task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
    assert task.state.digest() == run.tasks["by-text", number].state.digest()
    assert len(sent) == sum(not is_label(value) for value in values(run, TOPIC, number))


def test_a_label_that_is_damaged_is_a_dead_letter_and_costs_no_other() -> None:
    """A record that begins as a label and ends at once, amid others; what is no record of a stage at all."""
    run = finished()
    label = next(value for value in values(run, TOPIC, 0) if is_label(value))
    log = run.logs[TOPIC, 0]
    mixed = [*log[:60], batch(TOPIC, [(None, label[:11]), (None, b"junk"), (None, None)]), *log[60:]]
    whole = joined(mixed)
    whole = RecordBatch(
        TOPIC, 0, whole.data, whole.keys, whole.values, np.arange(len(whole)), whole.timestamps_ms, whole.headers
    )
    task, at, letters = Task(stages()[1], 0, 1, FORMAT), 0, []
    while at < len(whole):
        outputs = task.process(whole.part(at, len(whole)), T0)
        at += outputs.taken
        letters += [
            dict(unpack(each.data[slice(*span)].tobytes()))
            for each in outputs.transactional
            for span in each.headers.tolist()
        ]
        if outputs.needs_schema is not None:
            task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
    assert [each["stream.offset"] for each in letters] == [b"60", b"61", b"62"]
    assert task.state.digest() == run.tasks["by-text", 0].state.digest()


def test_on_one_partition_no_label_travels() -> None:
    """The same feature, bit for bit, and no stages; nor where events of a category lie together by their key."""
    (whole,) = compile_stages(declared(), {}, 1)
    assert whole.features.digests["risk"] == compile_app(declared(local=True), {}).features.digests["risk"]
    assert whole.sent_back == ()
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(risk=col("card").target_mean(local=False))
    assert len(compile_stages(app, {}, PARTITIONS)) == 1
    local = compile_stages(declared(local=True), {}, PARTITIONS)
    assert [plan.label_inputs for plan in local] == [0, 0, 1]


def test_the_hops_say_where_labels_go_back() -> None:
    """For `stream check`."""
    assert hops_text(stages()).endswith("; labels go back, once they are learned, to by-text (rule 34)")
    assert "go back" not in hops_text(compile_stages(declared(local=True), {}, PARTITIONS))


def test_rows_that_wait_keep_the_key_and_start_anew_where_it_is_another() -> None:
    """The hash of a key stands in each row: rows of an app without it, or with another one, are others."""
    digests = {
        plan.parts["labels"] for plan in (stages()[-1], compile_stages(declared(local=True), {}, PARTITIONS)[-1])
    }
    assert len(digests) == 2
    assert stages()[-1].label_inputs == 1


@pytest.mark.parametrize("expression", [col("amount").log1p(), col("text").length() > 3])
def test_only_a_column_is_a_key_for_labels(expression: Expression) -> None:
    """Told where it is written."""
    with pytest.raises(ConfigError, match=r"target_mean\(local=False\) is of a column, as in"):
        expression.target_mean(local=False)


def test_labels_that_are_left_of_a_feature_that_is_no_more_are_passed_over() -> None:
    """The other features of that key stay: nobody counts what comes back, and nothing is a dead letter."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(alike=col("amount").count("1m", by="text"))
    plan, run = compile_stages(app, {}, PARTITIONS)[1], finished()
    log, at, sent = joined(run.logs[TOPIC, 0]), 0, 0
    task = Task(plan, 0, 1, FORMAT)
    while at < len(log):
        outputs = task.process(log.part(at, len(log)), T0)
        at += outputs.taken
        sent += sum(len(each) for each in outputs.sent_on)
        assert outputs.transactional == ()
        if outputs.needs_schema is not None:
            task.answer_schema(SchemaFetched(outputs.needs_schema, SCHEMAS[outputs.needs_schema]))
    assert sent == sum(not is_label(value) for value in values(run, TOPIC, 0))
    assert task.state.arrays()["features/running"][0] == 0
