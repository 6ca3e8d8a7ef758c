"""The decoder against fastavro, on generated schemas, values, evolutions and damaged bytes.

AVRO_FUZZ_EXAMPLES=20000 runs it longer than the suite does. Where fastavro accepts what the specification does not
allow, the rejection must be one of those listed in docs/avro.md.
"""

import io
import math
import os
from copy import deepcopy
from typing import Any, Final

import fastavro
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from stream.avro import Decoded, Decoder, Framing, encode_one, header, parse_schema
from stream.avro.defaults import Chosen
from stream.avro.reading import read_value
from stream.avro.schema import Schema
from stream.avro.values import InvalidValue
from stream.records import Rejection, RejectReason
from tests.avro.comparison import Agreement, row_values
from tests.avro.generated import Evolution, Values, damaged, record_schemas
from tests.avro.records import batch_of

FUZZ: Final = settings(
    max_examples=int(os.environ.get("AVRO_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
HEADER: Final = header(Framing.CONFLUENT, 1)
# What fastavro accepts and Avro's specification does not: see docs/avro.md.
STRICTER: Final = (
    "an integer of more than 64 bits",
    "no 32-bit integer",
    "a byte ",
    "a length of -",
    "symbol -",
    "branch -",
)


@FUZZ
@given(st.data())
def test_any_value_of_any_schema_decodes_to_the_columns_that_fastavro_reads(data: st.DataObject) -> None:
    """What encode_one writes, fastavro reads as the value it was, and the decoder as that value's columns."""
    source = data.draw(record_schemas())
    value = Values(data.draw).of(source)
    schema = parse_schema(source)
    encoded = encode_one(schema, value)

    assert same(read_value(schema, encoded), value)
    assert same(fastavro_value(encoded, source, None), unwrapped(value))

    decoded = decode(schema, schema, encoded)
    assert decoded.rejections == ()
    assert Agreement(row_values(decoded.columns, 0)).value(schema.type, unwrapped(value), "")


@FUZZ
@given(st.data())
def test_an_evolved_schema_reads_old_records_as_fastavro_does(data: st.DataObject) -> None:
    """Fields added, removed, reordered, renamed, promoted; symbols and branches gone: the same value or both refuse."""
    source = data.draw(record_schemas())
    value = Values(data.draw).of(source)
    evolved = Evolution(data.draw).of(deepcopy(source))
    writer, reader = parse_schema(source), parse_schema(evolved)
    encoded = encode_one(writer, value)

    decoded = decode(writer, reader, encoded)

    try:
        expected = fastavro_value(encoded, source, evolved)
    except Exception:  # noqa: BLE001 - fastavro's errors are of many classes
        assert decoded.rejections != ()
        return
    assert decoded.rejections == ()
    assert Agreement(row_values(decoded.columns, 0)).value(reader.type, expected, "")


@FUZZ
@given(st.data())
def test_damaged_bytes_are_read_as_the_specification_says_or_rejected(data: st.DataObject) -> None:
    """The kernel accepts what the plain reader accepts, with the same values; neighbours are untouched."""
    source = data.draw(record_schemas())
    schema = parse_schema(source)
    good = encode_one(schema, Values(data.draw).of(source))
    bad = data.draw(damaged(good))

    decoder = Decoder(schema, None, Framing.CONFLUENT)
    decoder.add_writer(1, schema)
    decoded = decoder.decode(batch_of([HEADER + good, HEADER + bad, HEADER + good]))
    rows = {int(row): row_values(decoded.columns, i) for i, row in enumerate(decoded.columns.rows)}

    assert {0, 2} <= set(rows)
    assert same(rows[0], rows[2])
    try:
        plain = unwrapped(read_value(schema, bad))
    except InvalidValue:
        assert [rejection.row for rejection in decoded.rejections] == [1]
        accepted_by_fastavro_alone(decoded.rejections[0], bad, source)
        return
    assert decoded.rejections == ()
    assert Agreement(rows[1]).value(schema.type, plain, "")
    assert same(fastavro_value(bad, source, None), plain)


@FUZZ
@given(st.data())
def test_damaged_bytes_of_another_schema_are_the_value_that_they_say_or_rejected(data: st.DataObject) -> None:
    """What the writer's schema reads from them is resolved as its undamaged encoding is; neighbours are untouched."""
    source = data.draw(record_schemas())
    evolved = Evolution(data.draw).of(deepcopy(source))
    writer, reader = parse_schema(source), parse_schema(evolved)
    good = encode_one(writer, Values(data.draw).of(source))
    bad = data.draw(damaged(good))

    decoder = Decoder(reader, None, Framing.CONFLUENT)
    decoder.add_writer(1, writer)
    decoded = decoder.decode(batch_of([HEADER + good, HEADER + bad, HEADER + good]))
    rows = {int(row): row_values(decoded.columns, i) for i, row in enumerate(decoded.columns.rows)}

    alone = decode(writer, reader, good)
    neighbours = [] if alone.rejections else [row_values(alone.columns, 0)] * 2
    assert same([rows[row] for row in (0, 2) if row in rows], neighbours)
    expected = expected_of_damaged(bad, source, evolved, is_accepted=1 in rows)
    assert (expected is None) == (1 not in rows)
    assert expected is None or Agreement(rows[1]).value(reader.type, expected, "")


@FUZZ
@given(st.data())
def test_what_is_accepted_does_not_depend_on_the_wanted_columns_or_the_cut_into_batches(data: st.DataObject) -> None:
    """Some of the columns, decoded record by record, are those columns of the whole batch."""
    source = data.draw(record_schemas())
    schema = parse_schema(source)
    good = [encode_one(schema, Values(data.draw).of(source)) for _ in range(3)]
    records = [HEADER + (data.draw(damaged(each)) if data.draw(st.booleans()) else each) for each in good]
    whole = Decoder(schema, None, Framing.CONFLUENT)
    names = [column.name for column in whole.columns]
    wanted = set(data.draw(st.lists(st.sampled_from(names)))) if names else set()
    part = Decoder(schema, wanted, Framing.CONFLUENT)
    for decoder in (whole, part):
        decoder.add_writer(1, schema)

    together = whole.decode(batch_of(records))
    apart = [part.decode(batch_of([record])) for record in records]

    assert [row for row, each in enumerate(apart) if not each.rejections] == together.columns.rows.tolist()
    for i, row in enumerate(together.columns.rows.tolist()):
        every = row_values(together.columns, i)
        assert same(row_values(apart[row].columns, 0), {name: every[name] for name in names if name in wanted})


def decode(writer: Schema, reader: Schema, encoded: bytes) -> Decoded:
    decoder = Decoder(reader, None, Framing.CONFLUENT)
    decoder.add_writer(1, writer)
    return decoder.decode(batch_of([HEADER + encoded]))


def expected_of_damaged(bad: bytes, source: Any, evolved: Any, is_accepted: bool) -> Any:
    """The value of the reader's schema, None where the bytes are to be rejected.

    If they are no value of the writer's schema and are accepted all the same, what is wrong lies in a field that the
    reader does not have, or in text that it reads as bytes.
    """
    writer = parse_schema(source)
    try:
        undamaged = encode_one(writer, read_value(writer, bad))
    except InvalidValue:
        try:
            return fastavro_value(bad, source, evolved) if is_accepted else None
        except UnicodeDecodeError:  # fastavro makes text of it on the way to bytes
            reject()
    try:
        return fastavro_value(undamaged, source, evolved)
    except Exception:  # noqa: BLE001 - fastavro's errors are of many classes
        return None


def accepted_by_fastavro_alone(rejection: Rejection, bad: bytes, source: Any) -> None:
    """If fastavro reads what was rejected, it is for one of the listed reasons."""
    if rejection.reason is RejectReason.TRAILING_BYTES or "without any bytes" in rejection.got:
        return  # it does not look behind the value, and counts empty items to the end
    if any(each in rejection.got for each in STRICTER):
        return
    with pytest.raises(Exception):  # noqa: B017 - fastavro's errors are of many classes
        fastavro_value(bad, source, None)


def fastavro_value(encoded: bytes, writer: Any, reader: Any) -> Any:
    parsed = [None if each is None else fastavro.parse_schema(physical(each)) for each in (writer, reader)]
    return fastavro.schemaless_reader(io.BytesIO(encoded), parsed[0], parsed[1])


def physical(schema: Any) -> Any:
    """The schema without logical types: values as they lie there, not as datetime and UUID."""
    if isinstance(schema, list):
        return [physical(each) for each in schema]
    if isinstance(schema, dict):
        return {
            key: physical(each) if key != "default" else each for key, each in schema.items() if key != "logicalType"
        }
    return schema


def unwrapped(value: Any) -> Any:
    match value:
        case Chosen():
            return unwrapped(value.value)
        case dict():
            return {key: unwrapped(each) for key, each in value.items()}
        case list():
            return [unwrapped(each) for each in value]
        case _:
            return value


def same(left: Any, right: Any) -> bool:
    """Equality under which NaN is itself."""
    match left, right:
        case float(), float():
            return left == right or (math.isnan(left) and math.isnan(right))
        case Chosen(), Chosen():
            return left.branch == right.branch and same(left.value, right.value)
        case dict(), dict():
            return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        case list(), list():
            return len(left) == len(right) and all(map(same, left, right))
        case _:
            return bool(left == right)
