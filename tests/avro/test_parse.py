"""Parsing of schemas: names, canonical form and fingerprint, and what is refused with which path."""

import fastavro
import pytest
from hypothesis import given, settings

from stream.avro import columns_of, parse_schema
from stream.avro.canonical import rabin_fingerprint
from stream.avro.schema import Record
from stream.errors import SchemaError
from tests.avro.generated import JsonSchema, record_schemas


def record(*fields: JsonSchema, **more: JsonSchema) -> JsonSchema:
    return {"type": "record", "name": "R", "fields": list(fields), **more}


def field(of: JsonSchema, **more: JsonSchema) -> JsonSchema:
    return {"name": "f", "type": of, **more}


@settings(max_examples=50, deadline=None)
@given(record_schemas())
def test_canonical_form_and_fingerprint_are_fastavros(source: JsonSchema) -> None:
    """Parsing Canonical Form is fastavro's text, and the Rabin fingerprint its little-endian number."""
    schema = parse_schema(source)
    canonical = fastavro.schema.to_parsing_canonical_form(source)
    assert schema.canonical == canonical
    expected = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    assert schema.fingerprint.to_bytes(8, "little", signed=True) == expected


def test_the_fingerprint_of_nothing_is_the_polynomial() -> None:
    """The specification's EMPTY."""
    assert rabin_fingerprint(b"") & (2**64 - 1) == 0xC15D213AA4D7A795


def test_a_record_may_hold_itself() -> None:
    """The name of a record can be used inside it."""
    schema = parse_schema(record(field(["null", "R"])))
    assert isinstance(schema.type, Record)
    assert schema.type.fields[0].type.branches[1] is schema.type  # type: ignore[union-attr]


def test_names_are_in_the_namespace_around_them() -> None:
    """A simple name takes the namespace of the type it stands in; a dotted one has its own."""
    source = record(field({"type": "enum", "name": "E", "symbols": ["A"]}), namespace="a.b")
    assert set(parse_schema(source).names) == {"a.b.R", "a.b.E"}


def test_a_schema_may_refer_to_types_of_others() -> None:
    """As a registry's references do."""
    address = parse_schema({"type": "record", "name": "Address", "namespace": "x", "fields": []})
    assert "x.Address" in parse_schema(record(field("x.Address")), [address]).names


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{", "schema: this is not JSON"),
        (record(field("strin")), r"schema.fields\[0\] \(f\): no type is called 'strin'"),
        (record({"type": "int"}), r"schema.fields\[0\]: `name` is missing"),
        (record(field("int"), field("int")), "R has two fields called 'f'"),
        (record(field(["int", ["null"]])), r"\[1\]: a union must not directly hold a union"),
        (record(field(["int", "int"])), r"\[1\]: a union holds int twice"),
        (record(field({"type": "enum", "name": "E", "symbols": ["A", "A"]})), "each symbol may stand there once"),
        (record(field({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"})), "'B' is none of the symbols"),
        (record(field({"type": "fixed", "name": "X", "size": -1})), "size: a number of bytes was expected, not -1"),
        (record(field({"type": "fixed", "name": "R", "size": 1})), "R is defined twice"),
        (record(field("int", default="7")), r"R.*default: '7' is no default of type int|default: '7' is no default"),
        (record(field(["null", "int"], default="x")), "'x' is no default of type union of null, int"),
        (record(field("R", default={})), "the default has no end"),
        (record(name="1R"), "'1R' is no name"),
        ({"type": "record", "name": "R", "fields": {}}, "schema.fields: a list of fields was expected"),
    ],
)
def test_a_wrong_schema_is_refused_with_the_path_of_what_is_wrong(source: JsonSchema, message: str) -> None:
    """Each message says where, and what was expected."""
    with pytest.raises(SchemaError, match=message):
        parse_schema(source)


@pytest.mark.parametrize("levels", [200, 3000])
def test_a_schema_nested_too_deep_is_refused(levels: int) -> None:
    """Arrays in arrays, some thousand deep, end in an error and not in the interpreter's recursion limit."""
    source: JsonSchema = "int"
    for _ in range(levels):
        source = {"type": "array", "items": source}
    with pytest.raises(SchemaError, match="nest deeper than 100 levels"):
        parse_schema(record(field(source)))


def test_a_chain_of_names_that_is_too_long_is_refused() -> None:
    """Records that refer to each other by name can nest without their text doing so."""
    chain = [{"name": "f0", "type": {"type": "record", "name": "R0", "fields": []}}]
    for i in range(1, 1500):
        inner = {"type": "record", "name": f"R{i}", "fields": [{"name": "f", "type": f"R{i - 1}"}]}
        chain.append({"name": f"f{i}", "type": inner})
    with pytest.raises(SchemaError, match="more than 4096 fields, or 64 records in each other"):
        columns_of(parse_schema(record(*chain, name="Root")))


def test_an_invalid_logical_type_is_ignored() -> None:
    """As the specification has it: the type underneath remains."""
    wrong = {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}
    schema = parse_schema(record(field(wrong)))
    assert schema.type.fields[0].type.logical is None  # type: ignore[union-attr]
