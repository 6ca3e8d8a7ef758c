"""Labels of a topic that is keyed otherwise than the events (rule 19): a stage puts them where their events are."""

import random
import zlib
from functools import cache
from typing import Any

import orjson
import pytest

from stream import App, col
from stream.app import compile_stages
from stream.engine.plan import Plan
from stream.errors import ConfigError
from stream.headers import unpack
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, LABEL_SCHEMA, batch, declare, encoded, payments
from tests.engine.stage_pipeline import Pipeline, in_partition

PARTITIONS, EVENTS = 4, 200
KEYED_LABEL: dict[str, Any] = {
    **LABEL_SCHEMA,
    "fields": [*LABEL_SCHEMA["fields"], {"name": "owner", "type": ["null", "string"]}],
}
SCHEMAS = {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(KEYED_LABEL).decode()}
Records = list[tuple[bytes | None, bytes | None]]


def declared(key: str | None = "owner", by_text: bool = False, **of_events: Any) -> App:
    """Payments by card, whose labels say the card as `owner`."""
    app = declare(of_events=of_events)
    assert app.event_stream is not None
    app.label_stream = None
    app.labels("chargebacks", of=app.event_stream, schema=KEYED_LABEL, target="fraud", horizon="1h", key=key)
    if by_text:
        app.event_stream.features(alike=col("amount").count("1m", by="text"))
    return app


@cache
def stages(by_text: bool) -> tuple[Plan, ...]:
    """The stages of that app on four partitions."""
    return compile_stages(declared(by_text=by_text), {}, PARTITIONS)


def spread(seed: int) -> tuple[dict[tuple[str, int], RecordBatch], int]:
    """Events where their keys belong, labels anywhere, one of them without an owner; and how many have an event."""
    draw = random.Random(seed)
    by_place: dict[tuple[str, int], Records] = {}
    wanted = 0
    for number, (key, value) in enumerate(payments(EVENTS, seed)):
        if key is None:
            continue
        by_place.setdefault(("payments", zlib.crc32(key) % PARTITIONS), []).append((key, value))
        label = {"id": f"p{number}", "fraud": draw.random() < 0.3, "owner": key.decode()}
        by_place.setdefault(("chargebacks", draw.randrange(PARTITIONS)), []).append(
            (b"case", encoded(KEYED_LABEL, 2, label))
        )
        wanted += 1
    nobody = encoded(KEYED_LABEL, 2, {"id": "p0", "fraud": True, "owner": None})
    by_place["chargebacks", 0].append((b"case", nobody))
    return {place: in_partition(batch(place[0], records), place[1]) for place, records in by_place.items()}, wanted


@pytest.mark.parametrize("by_text", [False, True])
def test_rule_19_labels_that_lie_anywhere_meet_their_events(by_text: bool) -> None:
    """Every accepted event learns from its label; a label without a key is a dead letter that says so."""
    inputs, wanted = spread(3)
    run = Pipeline(stages(by_text), PARTITIONS, inputs, 3, SCHEMAS).run()
    spans = [(each, span) for each in run.out for span in each.headers.tolist() if span[0] >= 0]
    letters = [dict(unpack(bytes(each.data[span[0] : span[1]]))) for each, span in spans]
    reasons = [(letter["stream.error"], letter["stream.topic"]) for letter in letters]
    assert reasons.count((b"null_key", b"chargebacks")) == 1
    rejected = sum(topic == b"payments" for _, topic in reasons)
    learned = 0
    for number in range(PARTITIONS):
        task = run.tasks["", number]
        task.close_cycle()
        learned += task.metrics.learned["champion"]
    assert learned == wanted - rejected
    assert learned > EVENTS / 2


def test_without_a_key_of_their_own_they_are_read_where_they_lie() -> None:
    """As they were: most of them then never meet their event."""
    app = declared(key=None)
    (only,) = compile_stages(app, {}, PARTITIONS)
    assert only.handed_on == ()
    inputs, wanted = spread(3)
    run = Pipeline([only], PARTITIONS, inputs, 3, SCHEMAS).run()
    learned = 0
    for number in range(PARTITIONS):
        run.tasks["", number].close_cycle()
        learned += run.tasks["", number].metrics.learned["champion"]
    assert learned < wanted / 2


def test_the_stage_that_moves_labels_comes_first() -> None:
    """It reads the label topic; the last stage reads what it wrote, from the beginning."""
    plans = stages(True)
    assert [plan.stage for plan in plans] == ["labels", "entry", "by-text", ""]
    assert plans[0].input_topic == "chargebacks"
    assert plans[-1].handed_on == ("app.repartition", "app.labels.repartition")
    assert [plan.stage for plan in compile_stages(declared(), {}, 1)] == ["labels", ""]


@pytest.mark.parametrize(
    ("key", "of_events", "said"),
    [
        ("owner", {"key_encoding": "avro"}, "keyed by card as avro"),
        (("owner", "id"), {}, "keyed by card as utf8"),
        ("fraud", {}, "column 'fraud' is boolean; a string or a long is wanted"),
        ("owners", {}, "owner"),
    ],
)
def test_a_key_that_cannot_be_that_of_the_events_is_refused(key: Any, of_events: dict[str, Any], said: str) -> None:
    """With what is wrong and what is wanted."""
    with pytest.raises(ConfigError, match=said):
        compile_stages(declared(key=key, **of_events), {}, PARTITIONS)


def test_its_journal_and_state_are_functions_of_what_it_took() -> None:
    """However it was cut: counts of rejections are all that it remembers."""
    inputs, _ = spread(5)
    runs = [Pipeline(stages(False), PARTITIONS, inputs, seed, SCHEMAS).run() for seed in (1, 2)]
    for number in range(PARTITIONS):
        first, second = (run.tasks["labels", number].state.digest() for run in runs)
        assert first == second
