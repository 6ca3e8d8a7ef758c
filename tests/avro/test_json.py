"""JSON events fill the same columns as Avro's."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.avro import Decoder, Framing, encode_one, header, json_text, parse_schema
from stream.avro.values import InvalidValue
from stream.records import Rejection, RejectReason
from tests.avro.comparison import row_values
from tests.avro.generated import Draw, Values, damaged, record_schemas
from tests.avro.records import batch_of
from tests.avro.test_fuzz import FUZZ, same

HEADER = header(Framing.CONFLUENT, 1)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner))


def schema_of(of: Any, **more: Any) -> Any:
    return parse_schema({"type": "record", "name": "R", "fields": [{"name": "f", "type": of, **more}]})


def read(schema: Any, text: bytes) -> dict[str, Any] | Rejection:
    decoded = Decoder(schema, None, Framing.JSON).decode(batch_of([text]))
    return decoded.rejections[0] if decoded.rejections else row_values(decoded.columns, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_same_events_by_avro_and_by_json_are_the_same_columns(data: st.DataObject) -> None:
    """Twin: any schema, any values."""
    schema = parse_schema(data.draw(record_schemas()))
    events = [encode_one(schema, Values(data.draw).of(orjson.loads(schema.text))) for _ in range(2)]
    by_avro = Decoder(schema, None, Framing.CONFLUENT)
    by_avro.add_writer(1, schema)
    avro = by_avro.decode(batch_of([HEADER + event for event in events])).columns
    json = Decoder(schema, None, Framing.JSON).decode(batch_of([json_text(schema, event) for event in events]))
    assert json.rejections == ()
    for row in range(2):
        assert same(row_values(avro, row), row_values(json.columns, row))


@FUZZ
@given(st.data())
def test_damaged_json_is_the_value_that_it_says_or_rejected(data: st.DataObject) -> None:
    """Bytes changed, or a value inside replaced: never an error, and the records around it are untouched."""
    schema = parse_schema(data.draw(record_schemas()))
    good = json_text(schema, encode_one(schema, Values(data.draw).of(orjson.loads(schema.text))))
    bad = data.draw(damaged(good) | altered(good))

    decoded = Decoder(schema, None, Framing.JSON).decode(batch_of([good, bad, good]))

    rows = {int(row): row_values(decoded.columns, i) for i, row in enumerate(decoded.columns.rows)}
    assert same(rows[0], rows[2])
    assert same(rows[0], read(schema, good))
    try:
        said = encode_one(schema, orjson.loads(bad))
    except (orjson.JSONDecodeError, InvalidValue) as error:
        reason = RejectReason.INVALID_VALUE if isinstance(error, InvalidValue) else RejectReason.INVALID_JSON
        assert [(each.row, each.reason) for each in decoded.rejections] == [(1, reason)]
        return
    by_avro = Decoder(schema, None, Framing.CONFLUENT)
    by_avro.add_writer(1, schema)
    assert same(rows[1], row_values(by_avro.decode(batch_of([HEADER + said])).columns, 0))


@st.composite
def altered(draw: Draw, text: bytes) -> bytes:
    """The text with one value in it replaced by another, or taken away."""
    root = at = [orjson.loads(text)]
    place: Any = 0
    while isinstance(at[place], list | dict) and at[place] and draw(st.booleans()):
        at = at[place]
        place = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    if at is not root and draw(st.booleans()):
        del at[place]
    else:
        at[place] = draw(JSON)
    return orjson.dumps(root[0])


@pytest.mark.parametrize(
    ("of", "text", "expected"),
    [
        ("double", b"3", 3.0),
        ("double", b'"NaN"', None),
        ("bytes", b'"\\u00ff"', b"\xff"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b'"2024-01-01T00:00:00.25Z"', 1704067200250),
        ({"type": "long", "logicalType": "timestamp-micros"}, b'"2024-01-01T01:00:00+01:00"', 1704067200000000),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"17", 17),
        ({"type": "int", "logicalType": "date"}, b'"1970-02-01"', 31),
        ({"type": "int", "logicalType": "time-millis"}, b'"00:01:00"', 60000),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, b'"-12.30"', -12.3),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, b"0.1", 0.1),
        (["null", "long"], b"4", 4),
        (["null", "long"], b'{"long": 4}', 4),
        (["null", "long"], b"null", None),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}, b'"C"', "B"),
    ],
)
def test_json_has_its_own_ways_to_write_avros_values(of: Any, text: bytes, expected: Any) -> None:
    """Numbers for floats, text for dates, times, decimals and bytes, unions with and without a wrapper."""
    found = read(schema_of(of), b'{"f": ' + text + b', "unknown": [1]}')
    assert isinstance(found, dict)
    if text == b'"NaN"':
        assert found["f"] != found["f"]
    else:
        assert found == {"f": expected}


@pytest.mark.parametrize(
    ("of", "text", "expected"),
    [
        (
            "int",
            b'{"f": 1',
            Rejection(
                0,
                RejectReason.INVALID_JSON,
                "",
                "JSON (unexpected end of data: line 1 column 8 (char 7))",
                "b'{\"f\": 1'",
            ),
        ),
        ("int", b"[]", Rejection(0, RejectReason.INVALID_VALUE, "", "an object with the fields of R", "[]")),
        ("int", b"{}", Rejection(0, RejectReason.INVALID_VALUE, "f", "a value (the field has no default)", "nothing")),
        ("int", b'{"f": 2147483648}', Rejection(0, RejectReason.INVALID_VALUE, "f", "int", "2147483648")),
        ("int", b'{"f": true}', Rejection(0, RejectReason.INVALID_VALUE, "f", "int", "True")),
        ("int", b'{"f": 1.5}', Rejection(0, RejectReason.INVALID_VALUE, "f", "int", "1.5")),
        ("string", b'{"f": null}', Rejection(0, RejectReason.INVALID_VALUE, "f", "string", "None")),
        (["null", "int"], b'{"f": "x"}', Rejection(0, RejectReason.INVALID_VALUE, "f", "int", "'x'")),
        (
            {"type": "record", "name": "P", "fields": [{"name": "x", "type": "boolean"}]},
            b'{"f": {"x": 0}}',
            Rejection(0, RejectReason.INVALID_VALUE, "f.x", "boolean", "0"),
        ),
    ],
)
def test_json_that_does_not_fit_the_schema_is_rejected_with_the_field(
    of: Any, text: bytes, expected: Rejection
) -> None:
    """As Avro is."""
    assert read(schema_of(of), text) == expected


def test_a_missing_field_has_its_default_and_a_tombstone_is_null() -> None:
    """Rows before and after are not touched."""
    decoder = Decoder(schema_of("string", default="d"), None, Framing.JSON)
    decoded = decoder.decode(batch_of([b"{}", None, b'{"f": "x"}']))
    assert [row_values(decoded.columns, row) for row in range(2)] == [{"f": "d"}, {"f": "x"}]
    assert decoded.rejections == (Rejection(1, RejectReason.NULL_VALUE, "", "a value", "null"),)


def test_decoding_may_begin_in_the_middle_of_a_batch() -> None:
    """Rows keep their numbers."""
    decoder = Decoder(schema_of("long"), None, Framing.JSON)
    decoded = decoder.decode(batch_of([b"?", b'{"f": 1}', b"?", b'{"f": 2}']), 1)
    assert decoded.columns.rows.tolist() == [1, 3]
    assert [each.row for each in decoded.rejections] == [2]
    assert row_values(decoded.columns, 1) == {"f": 2}
