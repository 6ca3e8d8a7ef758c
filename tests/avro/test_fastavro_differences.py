"""Where the decoder and fastavro differ: the table of docs/avro.md, row by row."""

import io
from typing import Any

import fastavro
import pytest

from stream.avro import Decoder, Framing, header, parse_schema
from stream.errors import SchemaError
from stream.records import RejectReason
from tests.avro.comparison import row_values
from tests.avro.records import batch_of

HEADER = header(Framing.CONFLUENT, 1)
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}


def record(of: Any, **more: Any) -> Any:
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": of, **more}]}


def ours(writer: Any, body: bytes, reader: Any = None) -> Any:
    """The value of column f, or the reason of the rejection."""
    decoder = Decoder(parse_schema(reader or writer), None, Framing.CONFLUENT)
    decoder.add_writer(1, parse_schema(writer))
    decoded = decoder.decode(batch_of([HEADER + body]))
    return decoded.rejections[0].reason if decoded.rejections else row_values(decoded.columns, 0)


def fastavros(writer: Any, body: bytes, reader: Any = None) -> Any:
    parsed = [None if each is None else fastavro.parse_schema(each) for each in (writer, reader)]
    return fastavro.schemaless_reader(io.BytesIO(body), parsed[0], parsed[1])


@pytest.mark.parametrize(
    ("of", "body", "reason"),
    [
        pytest.param("int", b"\x80\x80\x80\x80\x10", RejectReason.INVALID_VALUE, id="int-of-more-than-32-bits"),
        pytest.param("long", b"\xff" * 9 + b"\x03", RejectReason.INVALID_VALUE, id="long-of-more-than-64-bits"),
        pytest.param("boolean", b"\x02", RejectReason.INVALID_VALUE, id="boolean-neither-0-nor-1"),
        pytest.param("int", b"\x02\x02", RejectReason.TRAILING_BYTES, id="bytes-behind-the-value"),
        pytest.param(ENUM, b"\x01", RejectReason.INVALID_VALUE, id="negative-symbol"),
        pytest.param(["null", "int"], b"\x03", RejectReason.INVALID_VALUE, id="negative-branch"),
        pytest.param(
            {"type": "array", "items": "null"},
            b"\x80\x80\x10\x00",
            RejectReason.INVALID_VALUE,
            id="more-than-65536-items-without-bytes",
        ),
    ],
)
def test_what_fastavro_accepts_and_is_rejected_here(of: Any, body: bytes, reason: RejectReason) -> None:
    """The specification does not allow these values (the last one is a limit of ours)."""
    assert "f" in fastavros(record(of), body)
    assert ours(record(of), body) is reason


def test_an_integer_promoted_to_float_is_rounded_to_32_bits() -> None:
    """The reader's type cannot hold more; fastavro hands out a double."""
    assert fastavros(record("int"), b"\x82\x80\x80\x10", record("float")) == {"f": 16777217.0}
    assert ours(record("int"), b"\x82\x80\x80\x10", record("float")) == {"f": 16777216.0}


def test_a_union_takes_the_writers_own_type_before_a_promotion() -> None:
    """fastavro takes the first branch that matches, as the specification's text has it."""
    assert isinstance(fastavros(record("int"), b"\x02", record(["double", "int"]))["f"], float)
    assert ours(record("int"), b"\x02", record(["double", "int"])) == {"f.double": None, "f.int": 1}


def test_a_uuid_is_text() -> None:
    """Its form is not checked; fastavro refuses what Python's UUID does."""
    of = {"type": "string", "logicalType": "uuid"}
    with pytest.raises(ValueError, match="badly formed hexadecimal UUID"):
        fastavros(record(of), b"\x02x")
    assert ours(record(of), b"\x02x") == {"f": "x"}


LOGICAL = [
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": scale}, b"\x02\x05") for scale in (2, 1)
]
TIMES = [({"type": "long", "logicalType": f"timestamp-{unit}"}, b"\x02") for unit in ("millis", "micros")]


@pytest.mark.parametrize(("written", "read"), [LOGICAL, TIMES], ids=["decimal", "timestamp"])
def test_logical_types_that_differ_do_not_resolve(written: tuple[Any, bytes], read: tuple[Any, bytes]) -> None:
    """Milliseconds are not microseconds; fastavro reads one as the other."""
    of, body = written
    assert "f" in fastavros(record(of), body, record(read[0]))
    with pytest.raises(SchemaError, match="f: writer's type"):
        ours(record(of), body, record(read[0]))


def test_schemas_that_cannot_resolve_are_refused_before_a_record_shows_it() -> None:
    """fastavro notices when it meets such a value: an array without items passes."""
    point = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}
    wider = {"type": "record", "name": "P", "fields": [{"name": "y", "type": "int"}]}
    written, reader = record({"type": "array", "items": point}), record({"type": "array", "items": wider})
    assert fastavros(written, b"\0", reader) == {"f": []}
    with pytest.raises(SchemaError, match=r"f\.y: the writer's P has no such field"):
        ours(written, b"\0", reader)
