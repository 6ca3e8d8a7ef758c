"""Schema resolution: what a writer's record is to a reader that differs."""

import struct
from typing import Any

import numpy as np
import pytest

from stream.avro import Decoder, Framing, encode_one, header, parse_schema
from stream.errors import SchemaError
from stream.records import Rejection, RejectReason
from tests.avro.comparison import row_values
from tests.avro.records import batch_of

HEADER = header(Framing.CONFLUENT, 1)
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}


def record(*fields: Any, **more: Any) -> Any:
    return {"type": "record", "name": "R", "fields": list(fields), **more}


def field(of: Any, **more: Any) -> Any:
    return {"name": "f", "type": of, **more}


def read(writer: Any, value: Any, reader: Any) -> dict[str, Any] | Rejection:
    """The columns of one value, or why it is rejected."""
    wrote = parse_schema(writer)
    decoder = Decoder(parse_schema(reader), None, Framing.CONFLUENT)
    decoder.add_writer(1, wrote)
    decoded = decoder.decode(batch_of([HEADER + encode_one(wrote, value)]))
    return decoded.rejections[0] if decoded.rejections else row_values(decoded.columns, 0)


@pytest.mark.parametrize(
    ("of", "value", "becomes", "expected"),
    [
        ("int", -3, "long", -3),
        ("int", 16777217, "float", 16777216.0),  # rounded as a float of 32 bits is
        ("int", 2**31 - 1, "double", 2147483647.0),
        ("long", 2**53 + 1, "double", 2.0**53),
        ("long", 2**25 + 1, "float", 2.0**25),
        ("float", 0.5, "double", 0.5),
        ("string", "é", "bytes", "é".encode()),
        ("bytes", b"\xc3\xa9", "string", "é"),
    ],
)
def test_promotions(of: str, value: Any, becomes: str, expected: Any) -> None:
    """Every promotion of the specification, into the reader's precision."""
    assert read(record(field(of)), {"f": value}, record(field(becomes))) == {"f": expected}


@pytest.mark.parametrize(
    ("of", "default", "expected"),
    [
        ("int", 7, {"f": 7}),
        ("string", "né", {"f": "né"}),
        ("bytes", "ÿ", {"f": b"\xff"}),
        ("float", 0.1, {"f": struct.unpack("<f", struct.pack("<f", 0.1))[0]}),
        ("double", "NaN", None),
        ("boolean", True, {"f": True}),
        (COLOUR, "BLUE", {"f": "BLUE"}),
        ({"type": "fixed", "name": "X", "size": 2}, "ab", {"f": b"ab"}),
        (["null", "int"], None, {"f": None}),
        (["null", "int"], 4, {"f": 4}),
        (["int", "string"], "x", {"f.int": None, "f.string": "x"}),
        ({"type": "array", "items": "string"}, ["a", "b"], {"f": ["a", "b"]}),
        ({"type": "map", "values": "int"}, {"k": 1}, {"f": [1], "f.keys": ["k"]}),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "\x04\xd2", {"f": 12.34}),
        (
            {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int", "default": 3}, field("string")]},
            {"f": "y"},
            {"f.x": 3, "f.f": "y"},
        ),
    ],
)
def test_a_field_that_the_writer_does_not_have_takes_its_default(of: Any, default: Any, expected: Any) -> None:
    """Defaults of every type, strings and lists among them."""
    found = read(record(), {}, record(field(of, default=default)))
    if expected is None:
        assert isinstance(found, dict)
        assert np.isnan(found["f"])
    else:
        assert found == expected


def test_fields_are_matched_by_name_and_by_the_readers_aliases() -> None:
    """Reordered, renamed, removed: the writer's order decides where the bytes lie, the reader's what they are."""
    writer = record({"name": "a", "type": "int"}, {"name": "gone", "type": COLOUR}, {"name": "b", "type": "string"})
    reader = record({"name": "b", "type": "string"}, {"name": "x", "type": "int", "aliases": ["a"]})
    assert read(writer, {"a": 1, "gone": "RED", "b": "s"}, reader) == {"b": "s", "x": 1}


def test_records_enums_and_fixed_are_matched_by_unqualified_name_or_alias() -> None:
    """A record renamed by its reader needs an alias."""
    writer = record(field("int"), namespace="old")
    assert read(writer, {"f": 1}, record(field("int"), namespace="new")) == {"f": 1}
    assert read(writer, {"f": 1}, record(field("int")) | {"name": "Q", "aliases": ["old.R"]}) == {"f": 1}


def test_a_symbol_that_the_reader_does_not_know_is_its_default_or_a_rejection() -> None:
    """Symbols are matched by name, not by place."""
    reader = {**COLOUR, "symbols": ["BLUE", "GREY"]}
    assert read(record(field(COLOUR)), {"f": "BLUE"}, record(field(reader))) == {"f": "BLUE"}
    with_default = record(field({**reader, "default": "GREY"}))
    assert read(record(field(COLOUR)), {"f": "RED"}, with_default) == {"f": "GREY"}
    expected = Rejection(0, RejectReason.INVALID_VALUE, "f", "one of BLUE, GREY", "RED")
    assert read(record(field(COLOUR)), {"f": "RED"}, record(field(reader))) == expected


def test_a_branch_that_does_not_resolve_rejects_the_records_that_carry_it_and_no_others() -> None:
    """A writer's union is read as one type as long as that type is what stands there."""
    writer, reader = record(field(["null", "int", "string"])), record(field("long"))
    assert read(writer, {"f": 5}, reader) == {"f": 5}
    assert read(writer, {"f": "x"}, reader) == Rejection(0, RejectReason.INVALID_VALUE, "f", "long", "string")
    assert read(writer, {"f": None}, reader) == Rejection(0, RejectReason.INVALID_VALUE, "f", "long", "null")


def test_a_readers_union_takes_the_writers_own_type_before_a_promotion() -> None:
    """As Java does; the specification's "first that matches" would turn an int into the double beside it."""
    assert read(record(field("int")), {"f": 5}, record(field(["double", "int"]))) == {"f.double": None, "f.int": 5}
    assert read(record(field("int")), {"f": 5}, record(field(["string", "double"]))) == {
        "f.string": None,
        "f.double": 5.0,
    }


@pytest.mark.parametrize(
    ("writer", "reader", "message"),
    [
        (field("string"), field("int"), "f: writer's type string, reader's type int: string is not promoted to int"),
        (field("long"), field("int"), "long is not promoted to int"),
        (field(COLOUR), field("string"), "Colour does not resolve to string"),
        (field(["null", "int"]), field("string"), "no branch of the writer's union resolves"),
        (field("boolean"), field(["null", "int"]), "no branch of the reader's union matches"),
        ({"name": "g", "type": "int"}, field("int"), "f: the writer's R has no such field, and it has no default"),
        (
            field({"type": "fixed", "name": "X", "size": 2}),
            field({"type": "fixed", "name": "X", "size": 3}),
            "X has 2 bytes, the reader's 3",
        ),
        (
            field({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}),
            field({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}),
            "precision and scale must be the same",
        ),
        (
            field({"type": "long", "logicalType": "timestamp-millis"}),
            field({"type": "long", "logicalType": "timestamp-micros"}),
            "timestamp-millis does not resolve to timestamp-micros",
        ),
        (
            field({"type": "array", "items": {"type": "array", "items": "string"}}),
            field({"type": "array", "items": {"type": "array", "items": "int"}}),
            "f: writer's type string, reader's type int",
        ),
    ],
)
def test_schemas_that_do_not_resolve_are_refused_with_field_and_both_types(
    writer: Any, reader: Any, message: str
) -> None:
    """Before any record is read."""
    decoder = Decoder(parse_schema(record(reader)), None, Framing.CONFLUENT)
    with pytest.raises(SchemaError, match=message):
        decoder.add_writer(1, parse_schema(record(writer)))
    assert decoder.decode(batch_of([HEADER])).needs == 1


def test_a_record_that_holds_itself_is_walked_through_to_its_end() -> None:
    """A linked list has the columns of its first element; what follows is checked and skipped."""
    node = record(field("int"), {"name": "next", "type": ["null", "R"]})
    value: Any = {"f": 3, "next": None}
    for each in (2, 1):
        value = {"f": each, "next": value}
    assert read(node, value, node) == {"f": 1}
    unnoticed = record(field("int"))
    assert read(node, value, unnoticed) == {"f": 1}


def test_a_decimal_is_the_double_nearest_to_it() -> None:
    """Of any length and sign."""
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2}
    schema = record(field(decimal))
    for unscaled in (0, -1, 1234, -256, -(2**63), 2**63, -(10**30) + 1, 2**53 + 1, 2**118 + 2**64 + 1, -(2**100)):
        data = unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True)
        assert read(schema, {"f": data}, schema) == {"f": float(unscaled) / 100.0}
