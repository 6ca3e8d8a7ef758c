"""Batches to columns: wire formats, rejections, unknown schemas, lists."""

import time
from typing import Any

import numpy as np
import pytest

from stream.avro import Decoder, Framing, encode_one, header, parse_schema
from stream.avro.interpreter import decode_records
from stream.errors import SchemaError
from stream.records import Kind, Rejection, RejectReason
from tests.avro.comparison import row_values
from tests.avro.records import batch_of

PAYMENT = parse_schema(
    {
        "type": "record",
        "name": "Payment",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "amount", "type": "double"},
            {"name": "count", "type": "int"},
            {"name": "country", "type": {"type": "enum", "name": "Country", "symbols": ["GB", "US"]}},
            {"name": "device", "type": ["null", "string"]},
            {"name": "online", "type": "boolean"},
        ],
    }
)
HEADER = header(Framing.CONFLUENT, 1)
GOOD = encode_one(PAYMENT, {"id": "x1", "amount": 2.5, "count": 3, "country": "US", "device": None, "online": True})


def one_field(of: Any, **more: Any) -> Any:
    return parse_schema({"type": "record", "name": "R", "fields": [{"name": "f", "type": of, **more}]})


def decoder_of(schema: Any, wanted: set[str] | None = None) -> Decoder:
    decoder = Decoder(schema, wanted, Framing.CONFLUENT)
    decoder.add_writer(1, schema)
    return decoder


def rejection_of(schema: Any, body: bytes) -> Rejection:
    decoded = decoder_of(schema).decode(batch_of([HEADER + body]))
    assert len(decoded.columns) == 0
    (rejection,) = decoded.rejections
    return rejection


def test_a_record_becomes_a_row_of_typed_columns() -> None:
    """Each leaf of the schema, under its name, of its kind."""
    decoded = decoder_of(PAYMENT).decode(batch_of([HEADER + GOOD]))
    assert {column.name: column.kind for column in decoded.columns.columns} == {
        "id": Kind.STRING,
        "amount": Kind.DOUBLE,
        "count": Kind.LONG,
        "country": Kind.ENUM,
        "device": Kind.STRING,
        "online": Kind.BOOLEAN,
    }
    expected = {"id": "x1", "amount": 2.5, "count": 3, "country": "US", "device": None, "online": True}
    assert row_values(decoded.columns, 0) == expected


def test_only_the_wanted_columns_are_decoded_and_slots_are_counted_among_them() -> None:
    """In the schema's order."""
    decoded = decoder_of(PAYMENT, {"country", "id"}).decode(batch_of([HEADER + GOOD]))
    assert [(column.name, column.slot, column.index) for column in decoded.columns.columns] == [
        ("id", 0, 0),
        ("country", 2, 1),
    ]
    assert decoded.columns.cells.shape == (1, 3)


def test_a_wanted_column_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    """A misspelt column."""
    with pytest.raises(SchemaError, match="no column amuont; it has id, amount, count"):
        Decoder(PAYMENT, {"amuont"}, Framing.CONFLUENT)


def test_a_bad_record_is_rejected_and_its_neighbours_are_not() -> None:
    """`rows` says which record each row came from."""
    batch = batch_of([HEADER + GOOD, HEADER + GOOD[:-3], None, HEADER + GOOD])
    decoded = decoder_of(PAYMENT).decode(batch)
    assert decoded.columns.rows.tolist() == [0, 3]
    assert row_values(decoded.columns, 0) == row_values(decoded.columns, 1)
    assert [(each.row, each.reason) for each in decoded.rejections] == [
        (1, RejectReason.TRUNCATED),
        (2, RejectReason.NULL_VALUE),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (GOOD[:5], Rejection(0, RejectReason.TRUNCATED, "amount", "double", "at least 6 bytes too few")),
        (b"\x0ax1", Rejection(0, RejectReason.TRUNCATED, "id", "string", "at least 3 bytes too few")),
        (b"\x05x1", Rejection(0, RejectReason.INVALID_VALUE, "id", "string", "a length of -3")),
        (
            b"\x04\xc3\x28" + GOOD[3:],
            Rejection(0, RejectReason.INVALID_VALUE, "id", "string", "text that is not UTF-8 from byte 0 on"),
        ),
        (
            GOOD[:11] + b"\xff\xff\xff\xff\x1f" + GOOD[12:],
            Rejection(0, RejectReason.INVALID_VALUE, "count", "int", "-4294967296, which is no 32-bit integer"),
        ),
        (
            GOOD[:11] + b"\xff" * 10 + b"\1" + GOOD[12:],
            Rejection(0, RejectReason.INVALID_VALUE, "count", "int", "an integer of more than 64 bits"),
        ),
        (
            GOOD[:12] + b"\x04" + GOOD[13:],
            Rejection(0, RejectReason.INVALID_VALUE, "country", "one of GB, US", "symbol 2 of 2"),
        ),
        (
            GOOD[:13] + b"\x04" + GOOD[14:],
            Rejection(0, RejectReason.INVALID_VALUE, "device", "a branch of union of null, string", "branch 2"),
        ),
        (GOOD[:14] + b"\x02", Rejection(0, RejectReason.INVALID_VALUE, "online", "boolean", "a byte 02")),
        (GOOD + b"\0\0", Rejection(0, RejectReason.TRAILING_BYTES, "", "the end of the record", "2 more bytes")),
    ],
)
def test_a_rejection_says_field_expected_and_got(body: bytes, expected: Rejection) -> None:
    """One for each way to be wrong."""
    assert rejection_of(PAYMENT, body) == expected


def test_a_record_that_fails_late_leaves_nothing_in_the_next_ones_row() -> None:
    """Its fields up to there had been written to that row: a null of the next record is null all the same."""
    device = b"\x02\x04d1"
    bad = GOOD[:13] + device + b"\7"
    decoded = decoder_of(PAYMENT).decode(batch_of([HEADER + bad, HEADER + GOOD]))
    assert [each.field for each in decoded.rejections] == ["online"]
    assert row_values(decoded.columns, 0)["device"] is None


def test_keys_of_a_map_are_checked_to_be_utf8() -> None:
    """They are strings, too."""
    rejection = rejection_of(one_field({"type": "map", "values": "null"}), b"\x02\x02\xff\x00")
    assert (rejection.field, rejection.got) == ("f.keys", "text that is not UTF-8 from byte 0 on")


@pytest.mark.parametrize(
    ("value", "got"), [(b"", "0 bytes"), (b"\0\0\0\1", "4 bytes"), (b"\7\0\0\0\1abc", "a byte 07")]
)
def test_what_does_not_begin_as_the_wire_format_says_is_rejected(value: bytes, got: str) -> None:
    """Too short, or another magic byte."""
    decoded = decoder_of(PAYMENT).decode(batch_of([value, HEADER + GOOD]))
    expected = Rejection(0, RejectReason.FRAMING, "", "a byte 00 and a schema id (5 bytes)", got)
    assert decoded.rejections == (expected,)
    assert decoded.columns.rows.tolist() == [1]


def test_an_unknown_schema_stops_the_decoder_which_goes_on_once_it_is_known() -> None:
    """`needs` names the id, `end` the record; what came before is done."""
    batch = batch_of([HEADER + GOOD, header(Framing.CONFLUENT, 9) + GOOD, HEADER + GOOD])
    decoder = decoder_of(PAYMENT)

    first = decoder.decode(batch)
    assert (first.end, first.needs, first.columns.rows.tolist()) == (1, 9, [0])

    decoder.add_writer(9, PAYMENT)
    rest = decoder.decode(batch, first.end)
    assert (rest.end, rest.needs, rest.columns.rows.tolist()) == (3, None, [1, 2])


def test_records_of_a_refused_schema_are_rejected_with_its_reason() -> None:
    """A schema that the registry does not know, or that does not resolve."""
    decoder = decoder_of(PAYMENT)
    decoder.refuse(9, RejectReason.UNKNOWN_SCHEMA, "id 9, which the registry does not know")
    batch = batch_of([header(Framing.CONFLUENT, 9) + b"?", HEADER + GOOD])
    decoded = decoder.decode(batch)
    assert decoded.columns.rows.tolist() == [1]
    assert [(each.row, each.reason, each.got) for each in decoded.rejections] == [
        (0, RejectReason.UNKNOWN_SCHEMA, "id 9, which the registry does not know")
    ]


def test_a_refusal_may_be_forgotten_or_replaced() -> None:
    """Then the id is one that is not known, or a schema like any other; other refusals keep their reasons."""
    decoder = decoder_of(PAYMENT)
    for schema_id in (7, 8, 9):
        decoder.refuse(schema_id, RejectReason.UNKNOWN_SCHEMA, f"no {schema_id}")
    decoder.refuse(7, RejectReason.UNRESOLVABLE_SCHEMA, "another reason")
    decoder.add_writer(8, PAYMENT)
    decoder.forget(9)
    batch = batch_of([header(Framing.CONFLUENT, schema_id) + GOOD for schema_id in (7, 8, 9)])

    decoded = decoder.decode(batch)

    assert [(each.row, each.got) for each in decoded.rejections] == [(0, "another reason")]
    assert decoded.columns.rows.tolist() == [1]
    assert (decoded.end, decoded.needs) == (2, 9)


def test_writers_schemas_may_alternate_within_a_batch() -> None:
    """Each record is read as its own schema says."""
    old = one_field("int")
    new = one_field("string")
    reader = one_field(["int", "string"])
    decoder = Decoder(reader, None, Framing.CONFLUENT)
    decoder.add_writer(1, old)
    decoder.add_writer(2, new)
    records = [HEADER + encode_one(old, {"f": 5}), header(Framing.CONFLUENT, 2) + encode_one(new, {"f": "x"})] * 2
    columns = decoder.decode(batch_of(records)).columns
    assert [row_values(columns, i)["f.int"] for i in range(4)] == [5, None, 5, None]
    assert [row_values(columns, i)["f.string"] for i in range(4)] == [None, "x", None, "x"]


def test_single_object_encoding_names_its_schema_by_fingerprint() -> None:
    """C3 01 and eight bytes, little end first."""
    decoder = Decoder(PAYMENT, None, Framing.SINGLE_OBJECT)
    record = b"\xc3\x01" + PAYMENT.fingerprint.to_bytes(8, "little", signed=True) + GOOD
    batch = batch_of([record, b"\xc3\x02" + record[2:], b"\xc3\x01ab"])
    assert decoder.decode(batch).needs == PAYMENT.fingerprint
    decoder.add_writer(PAYMENT.fingerprint, PAYMENT)
    decoded = decoder.decode(batch)
    assert decoded.columns.rows.tolist() == [0]
    assert [(each.reason, each.got) for each in decoded.rejections] == [
        (RejectReason.FRAMING, "a byte 02"),
        (RejectReason.FRAMING, "4 bytes"),
    ]


def test_lists_longer_than_the_room_for_them_are_whole_and_a_rejected_record_leaves_none_behind() -> None:
    """Room grows within a batch; items of a record that fails later are taken back."""
    schema = parse_schema(
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "n", "type": {"type": "array", "items": "long"}},
                {"name": "t", "type": {"type": "map", "values": "string"}},
                {"name": "last", "type": "boolean"},
            ],
        }
    )
    values = [{"n": list(range(i)), "t": {f"k{i}": f"v{i}"}, "last": True} for i in range(120)]
    records = [HEADER + encode_one(schema, value) for value in values]
    for bad in (5, 80):
        records[bad] = records[bad][:-1] + b"\7"
    decoded = decoder_of(schema).decode(batch_of(records))
    assert [each.row for each in decoded.rejections] == [5, 80]
    for i, row in enumerate(decoded.columns.rows.tolist()):
        expected = {"n": values[row]["n"], "t.keys": [f"k{row}"], "t": [f"v{row}"], "last": True}
        assert row_values(decoded.columns, i) == expected


def test_blocks_of_a_list_with_a_size_in_bytes_are_read_like_others() -> None:
    """A negative count announces the size; several blocks are one list."""
    schema = one_field({"type": "array", "items": "int"})
    body = b"\x03\x04" + b"\x02\x04" + b"\x02\x06" + b"\x00"  # -2 items in 2 bytes: 1, 2; then 1 item: 3
    decoded = decoder_of(schema).decode(batch_of([HEADER + body]))
    assert row_values(decoded.columns, 0) == {"f": [1, 2, 3]}


@pytest.mark.parametrize("items", ["null", {"type": "record", "name": "Empty", "fields": []}])
def test_a_billion_items_without_bytes_are_rejected_at_once(items: Any) -> None:
    """Five bytes may claim any number of them."""
    schema = one_field({"type": "array", "items": items})
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"
    started = time.perf_counter()
    rejection = rejection_of(schema, huge)
    assert time.perf_counter() - started < 30.0  # to walk over them would take years
    assert "items without any bytes" in rejection.got


def test_a_count_beyond_the_records_bytes_is_truncated() -> None:
    """Each item of the list takes a byte at least."""
    rejection = rejection_of(one_field({"type": "array", "items": "string"}), b"\xfe\xff\xff\xff\x0f\x00")
    assert rejection.reason is RejectReason.TRUNCATED


def test_records_in_each_other_without_end_are_rejected() -> None:
    """A linked list of a thousand elements is deeper than any event; a record that must hold itself has no end."""
    schema = one_field("int")
    node = parse_schema(
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "f", "type": "int"}, {"name": "next", "type": ["null", "R"]}],
        }
    )
    decoder = Decoder(schema, None, Framing.CONFLUENT)
    decoder.add_writer(1, node)
    for links, accepted in ((100, 1), (1000, 0)):
        body = b"\x02\x02" * links + b"\x02\x00"
        assert len(decoder.decode(batch_of([HEADER + body])).columns) == accepted
    endless = parse_schema({"type": "record", "name": "R", "fields": [{"name": "f", "type": "R"}]})
    assert rejection_of(endless, b"").got == "more than 128 levels"


def test_default_texts_lie_behind_the_batchs_bytes() -> None:
    """Cells of the batch's own text still point to where it was fetched."""
    reader = parse_schema(PAYMENT.text[:-2] + ', {"name": "shop", "type": "string", "default": "none"}]}')
    decoder = Decoder(reader, None, Framing.CONFLUENT)
    decoder.add_writer(1, PAYMENT)
    batch = batch_of([HEADER + GOOD, HEADER + GOOD])
    columns = decoder.decode(batch).columns
    assert row_values(columns, 1)["shop"] == "none"
    assert np.array_equal(columns.data[: len(batch.data)], batch.data)


def test_an_empty_batch_has_no_rows() -> None:
    """And all its columns."""
    decoded = decoder_of(PAYMENT).decode(batch_of([]))
    assert (len(decoded.columns), decoded.end, decoded.needs, decoded.rejections) == (0, 0, None, ())


def test_a_new_schema_is_used_without_a_compilation() -> None:
    """The kernel is compiled when a decoder is made, never when a schema comes."""
    decoder_of(PAYMENT).decode(batch_of([HEADER + GOOD]))
    compiled = len(decode_records.signatures)  # type: ignore[attr-defined]
    other = one_field(["null", {"type": "array", "items": "string"}])
    assert row_values(decoder_of(other).decode(batch_of([HEADER + b"\0"])).columns, 0) == {"f": None}
    assert len(decode_records.signatures) == compiled == 1  # type: ignore[attr-defined]
