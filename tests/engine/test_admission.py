"""Keys as declared: null ones rejected or scored without keyed features, records' own compared in every encoding."""

import struct
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from stream import avro
from stream.app import compile_app
from stream.engine.admission import LARGEST_NAME_BYTES, admit
from stream.engine.dead_letters import reason_of
from stream.engine.effects import OutputBatch
from stream.engine.plan import EventPlan, KeyEncoding, Plan
from stream.engine.predictions import PredictionEncoder
from stream.engine.record_keys import with_other_key
from stream.engine.small_avro import decode_small
from stream.errors import ConfigError
from stream.headers import unpack
from stream.records import RejectReason
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, declare, encoded, plan_with_label_field, task_of

KEYS = avro.parse_schema(
    {
        "type": "record",
        "name": "Keys",
        "fields": [
            {"name": "text", "type": ["null", "string"]},
            {"name": "raw", "type": "bytes"},
            {"name": "number", "type": "long"},
            {"name": "height", "type": "double"},
        ],
    }
)
COLUMNS = {column.name: column for column in avro.columns_of(KEYS, None)}


def event(number: int, card: str | None, amount: float = 9.0) -> tuple[bytes | None, bytes]:
    """One payment, under its card."""
    value = {"id": f"p{number}", "card": card, "amount": amount, "at": T0 + number, "text": "", "fraud": None}
    return card.encode() if card else None, encoded(EVENT_SCHEMA, 1, value)


@cache
def plan_that_scores_null_keys() -> Plan:
    """As the plan whose events carry the label, except for null keys."""
    return compile_app(declare(has_label_topic=False, of_events={"null_key": "score"}), {})


def predictions_of(plan: Plan, records: list[tuple[bytes | None, bytes]]) -> list[dict[str, Any]]:
    """Predictions of a model that adds up half the amount's logarithm, three times spend, three times unusual."""
    task = task_of(plan)
    arrays = task.state.models[0].arrays()
    arrays["scalers"][:] = [[1.0] * 3, [0.0] * 3, [1.0] * 3]  # count, mean, variance: inputs as they are
    arrays["weights"][:, 0] = [0.5, 3.0, 3.0]
    (made,) = task.process(batch("payments", list(records)), T0).predictions
    return [decode_small("prediction", made.data[start + 5 : end].tobytes()) for start, end in made.values.tolist()]


def test_an_event_without_a_key_is_rejected_where_that_is_declared() -> None:
    """The dead letter says which field is null; the events around it go on."""
    outputs = task_of(plan_with_label_field()).process(
        batch("payments", [event(0, "a"), event(1, None), event(2, "a")], 10), T0
    )

    (letters,) = outputs.transactional
    headers = dict(unpack(letters.data[slice(*letters.headers[0])].tobytes()))
    assert len(letters) == 1
    assert headers["stream.error"] == RejectReason.NULL_KEY.value.encode()
    assert (headers["stream.field"], headers["stream.expected"], headers["stream.got"]) == (b"card", b"a key", b"null")
    assert headers["stream.offset"] == b"11"
    assert offsets_of(outputs.predictions) == [10, 12]


def offsets_of(predictions: tuple[OutputBatch, ...]) -> list[int]:
    return [
        decode_small("prediction", made.data[start + 5 : end].tobytes())["offset"]
        for made in predictions
        for start, end in made.values.tolist()
    ]


def test_an_event_without_a_key_is_scored_without_keyed_features_where_that_is_declared() -> None:
    """Its amount alone counts, and the card's next event is scored as if it had never been."""
    plan = plan_that_scores_null_keys()
    around = [event(0, "a", 4.0), event(2, "a", 5.0)]

    first, keyless, last = predictions_of(plan, [around[0], event(1, None), around[1]])

    assert keyless["key"] is None
    assert [item["feature"] for item in keyless["contributions"]] == ["amount"]
    assert keyless["score"] == pytest.approx(1 / (1 + np.exp(-0.5 * np.log1p(9.0))))
    assert [first["score"], last["score"]] == [each["score"] for each in predictions_of(plan, around)]


def test_events_without_a_key_leave_no_trace_in_keyed_state() -> None:
    """A hundred of them: no key, and not one byte of the features' tables or windows."""
    task, untouched = task_of(plan_that_scores_null_keys()), task_of(plan_that_scores_null_keys())
    task.process(batch("payments", [event(number, None) for number in range(100)]), T0)

    assert task.state.features.metrics.keys == 0
    before, after = untouched.state.features.arrays(), task.state.features.arrays()
    tables = [name for name in after if name.startswith(("keys", "window"))]
    assert tables
    assert [name for name in tables if after[name].tobytes() != before[name].tobytes()] == []


def events_by(field: str, encoding: KeyEncoding, framing: avro.Framing = avro.Framing.CONFLUENT) -> EventPlan:
    """Events keyed by this field."""
    known = plan_with_label_field().events
    return replace(known, key=(COLUMNS[field],), key_encoding=encoding, framing=framing, time=None)


def differs(events: EventPlan, key: bytes | None, **changed: Any) -> bool:
    """Whether an event whose key is this is marked; its neighbours, which have no key, never are."""
    value = {"text": "über", "raw": b"\xff\x00", "number": -300, "height": 1.5, **changed}
    record = avro.header(avro.Framing.CONFLUENT, 1) + avro.encode_one(KEYS, value)
    work = batch("payments", [(None, record), (key, record), (None, record)])
    decoder = avro.Decoder(KEYS, None, avro.Framing.CONFLUENT)
    decoder.add_writer(1, KEYS)
    marks = with_other_key(events, work, decoder.decode(work).columns)
    assert not marks[0] and not marks[2]
    return bool(marks[1])


UTF8, AVRO, BYTES = KeyEncoding.UTF8, KeyEncoding.AVRO, KeyEncoding.BYTES
TEXT = "über".encode()


@pytest.mark.parametrize(
    ("field", "encoding", "right", "wrong"),
    [
        ("text", UTF8, TEXT, [b"", b"ueber", TEXT + b"x", TEXT[:-1], b"\0\0\0\0\7\x0a" + TEXT]),
        ("text", BYTES, TEXT, [b"ueber", b"\x0a" + TEXT]),
        (
            "text",
            AVRO,
            b"\0\0\0\0\7\x0a" + TEXT,
            [TEXT, b"\x0a" + TEXT, b"\0\0\0\0\7\x0b" + TEXT, b"\0\0\0\0\7", b"\0"],
        ),
        ("raw", BYTES, b"\xff\x00", [b"\xff", b"\xff\x01", b"\xff\x00\x00"]),
        ("raw", AVRO, b"\0\0\0\0\7\x04\xff\x00", [b"\xff\x00", b"\0\0\0\0\7\x04\xff\x00\x00"]),
        ("number", UTF8, b"-300", [b"300", b"-0300", b"-30", b"-3000", b"-", b"", b" -300", struct.pack(">q", -300)]),
        ("number", BYTES, struct.pack(">q", -300), [b"-300", struct.pack("<q", -300), struct.pack(">q", 300), b"\xd4"]),
        ("number", BYTES, struct.pack(">i", -300), [struct.pack(">i", -301), struct.pack(">h", -300)]),
        ("number", AVRO, b"\0\0\0\0\7\xd7\x04", [b"-300", b"\xd7\x04", b"\0\0\0\0\7\xd7", b"\0\0\0\0\7\xd7\x04\x00"]),
    ],
)
def test_a_key_is_compared_as_it_is_declared_to_be_encoded(
    field: str, encoding: KeyEncoding, right: bytes, wrong: list[bytes]
) -> None:
    """Text, bytes and integers as text, in Avro, or as Kafka's serializers write them; anything else is another key."""
    events = events_by(field, encoding)

    assert not differs(events, right)
    assert [key for key in wrong if not differs(events, key)] == []


@pytest.mark.parametrize("number", [0, 7, 10, -1, 2**63 - 1, -(2**63)])
def test_integers_of_every_size_are_their_own_keys(number: int) -> None:
    """From the smallest long to the largest, in digits and in eight bytes."""
    assert not differs(events_by("number", UTF8), str(number).encode(), number=number)
    assert not differs(events_by("number", BYTES), struct.pack(">q", number), number=number)
    assert differs(events_by("number", UTF8), str(number ^ 1).encode(), number=number)


def test_what_cannot_be_compared_is_not_marked() -> None:
    """A null key, a null field, a double, several fields: no alert without a reason."""
    assert not differs(events_by("text", UTF8), None)
    assert not differs(events_by("text", UTF8), b"other", text=None)
    assert not differs(events_by("height", UTF8), b"other")
    both = replace(events_by("text", UTF8), key=(COLUMNS["text"], COLUMNS["number"]))
    assert not differs(both, b"other")


def test_an_avro_key_has_the_header_of_its_framing() -> None:
    """Ten bytes in single-object encoding, none where events are JSON."""
    single, plain = avro.Framing.SINGLE_OBJECT, avro.Framing.JSON
    assert not differs(events_by("raw", AVRO, single), avro.header(single, 7) + b"\x04\xff\x00")
    assert differs(events_by("raw", AVRO, single), b"\0\0\0\0\7\x04\xff\x00")
    assert not differs(events_by("raw", AVRO, plain), b"\x04\xff\x00")


def test_admitting_marks_the_rows_that_go_on() -> None:
    """Behind a rejected event the marks stand at the rows of those that are left."""
    work = batch("payments", [event(0, None), (b"other", event(1, "a")[1]), event(2, "a")])
    decoder = avro.Decoder(avro.parse_schema(EVENT_SCHEMA), None, avro.Framing.CONFLUENT)
    decoder.add_writer(1, avro.parse_schema(EVENT_SCHEMA))
    events = replace(plan_with_label_field().events, wanted=frozenset())
    columns = {column.name: column for column in decoder.columns}
    assert events.time is not None
    events = replace(events, key=(columns["card"],), time=columns["at"])

    admitted = admit(events, work, decoder.decode(work).columns)

    assert admitted.columns.rows.tolist() == [1, 2]
    assert admitted.has_other_key.tolist() == [True, False]


def named(number: int, event_id: str, key: bytes = b"a") -> tuple[bytes | None, bytes | None]:
    """One payment of this id under this record key."""
    value = {"id": event_id, "card": "a", "amount": 9.0, "at": T0 + number, "text": "", "fraud": None}
    return key, encoded(EVENT_SCHEMA, 1, value)


def test_an_event_whose_prediction_would_be_too_large_is_rejected() -> None:
    """Rule 12: whoever writes a megabyte into id or key stops nobody; the events around it are scored."""
    long = LARGEST_NAME_BYTES
    records = [
        named(0, "p0"),
        named(1, "x" * (long - 1)),  # and one byte of key
        named(2, "x" * long),
        named(3, "", b"k" * long),
        named(4, "p4", b"k" * (long - 1)),
        named(5, "x" * 1_030_000),
        named(6, "p6"),
    ]
    outputs = task_of(plan_with_label_field()).process(batch("payments", records), T0)

    (letters,) = (made for made in outputs.transactional if made.topic == "app.dead-letters")
    reasons = [reason_of(unpack(letters.data[start:end].tobytes())) for start, end in letters.headers.tolist()]
    assert offsets_of(outputs.predictions) == [0, 1, 3, 6]
    assert [(each["offset"], each["error"]) for each in reasons] == [(n, "too_large") for n in ("2", "4", "5")]
    assert (reasons[0]["expected"], reasons[0]["got"]) == (
        f"event id and record key of {long} bytes at most, together",
        f"{long + 1} bytes",
    )
    assert reasons[0]["field"] == "id"


@pytest.mark.parametrize("limit", [65_536, 1_000_000])
def test_which_events_are_too_large_does_not_depend_on_a_setting(limit: int) -> None:
    """It decides what is learned: a replay under another `max_message_bytes` gives the same state (rule 5)."""
    plan, records = (
        plan_with_label_field(),
        [named(0, "x" * 70_000), named(1, "p1"), named(2, "x" * LARGEST_NAME_BYTES)],
    )
    task = task_of(plan, format=replace(FORMAT, max_record_bytes=limit))

    assert offsets_of(task.process(batch("payments", records), T0).predictions) == [1]


@pytest.mark.parametrize("is_json", [False, True])
def test_the_largest_prediction_fits_below_its_bound(is_json: bool) -> None:
    """Characters that JSON writes in six, in id and key, extreme numbers: key and value stay below `largest_bytes`."""
    header = None if is_json else FORMAT.prediction_header
    task = task_of(plan_with_label_field(), format=replace(FORMAT, prediction_header=header))
    half = LARGEST_NAME_BYTES // 2
    worst = [
        named(0, "\1" * half, b"\1" * half),
        named(1, "\1" * LARGEST_NAME_BYTES, b""),
        named(2, "", b"\1" * 2 * half),
    ]
    (made,) = task.process(batch("payments", worst, 2**62), T0).predictions

    sizes = (made.values[:, 1] - made.values[:, 0]) + made.keys[:, 1] - made.keys[:, 0]
    bound = PredictionEncoder(plan_with_label_field(), "p", header, 0).largest_bytes
    assert sizes.max() < bound < 4 * sizes.max()


def test_settings_that_predictions_of_an_app_do_not_fit_are_refused() -> None:
    """Before anything is read, and with what would do."""
    with pytest.raises(ConfigError, match=r"max_message_bytes: .*may take \d+ bytes.*8000"):
        task_of(plan_with_label_field(), format=replace(FORMAT, max_record_bytes=8_000))
