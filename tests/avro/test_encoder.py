"""Columns to records, and back."""

import io
from typing import Any

import fastavro
import numpy as np
import orjson
import pytest

from stream.avro import Decoder, Encoder, Framing, Lists, Texts, column_batch, parse_schema
from stream.errors import SchemaError
from stream.records import ColumnBatch, Rejection, RejectReason
from tests.avro.comparison import row_values
from tests.avro.records import batch_of

PREDICTION = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "offset", "type": "long"},
        {"name": "partition", "type": "int"},
        {"name": "score", "type": ["double", "null"]},
        {"name": "decision", "type": {"type": "enum", "name": "Decision", "symbols": ["PASS", "ALERT"]}},
        {"name": "online", "type": "boolean"},
        {"name": "weight", "type": "float"},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 2}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "scores", "type": {"type": "map", "values": "double"}},
        {
            "name": "top",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Feature",
                    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "double"}],
                },
            },
        },
        {
            "name": "model",
            "type": ["null", {"type": "record", "name": "Model", "fields": [{"name": "version", "type": "long"}]}],
        },
        {"name": "label", "type": ["null", "long", "string"]},
    ],
}
SCHEMA = parse_schema(PREDICTION)


def predictions(encoder: Encoder) -> ColumnBatch:
    """Two rows."""
    return column_batch(
        encoder.columns,
        {
            "event_id": Texts.of(["a", "né"]),
            "key": Texts.of([b"k", b""]),
            "offset": np.array([5, -(2**62)]),
            "partition": np.array([1, 2]),
            "score": np.array([0.5, 0.0]),
            "decision": np.array([1, 0]),
            "online": np.array([True, False]),
            "weight": np.array([0.25, -1.5]),
            "digest": Texts.of([b"ab", b"cd"]),
            "amount": np.array([12.34, -1.28]),
            "scores.keys": Lists(np.array([2, 0]), Texts.of(["x", "y"])),
            "scores": Lists(np.array([2, 0]), np.array([0.1, 0.2])),
            "top.name": Lists(np.array([0, 3]), Texts.of(["p", "q", "r"])),
            "top.value": Lists(np.array([0, 3]), np.array([1.0, 2.0, 3.0])),
            "model.version": np.array([7, 0]),
            "label.string": Texts.of(["yes", ""]),
        },
        {
            "key": np.array([True, False]),
            "score": np.array([True, False]),
            "model.version": np.array([True, False]),
            "label.string": np.array([True, False]),
        },
        2,
    )


EXPECTED: list[dict[str, Any]] = [
    {
        "event_id": "a",
        "key": b"k",
        "offset": 5,
        "partition": 1,
        "score": 0.5,
        "decision": "ALERT",
        "online": True,
        "weight": 0.25,
        "digest": b"ab",
        "amount": (1234).to_bytes(2, "big"),
        "scores": {"x": 0.1, "y": 0.2},
        "top": [],
        "model": {"version": 7},
        "label": "yes",
    },
    {
        "event_id": "né",
        "key": None,
        "offset": -(2**62),
        "partition": 2,
        "score": None,
        "decision": "PASS",
        "online": False,
        "weight": -1.5,
        "digest": b"cd",
        "amount": b"\x80",
        "scores": {},
        "top": [{"name": "p", "value": 1.0}, {"name": "q", "value": 2.0}, {"name": "r", "value": 3.0}],
        "model": None,
        "label": None,
    },
]


def raw(schema: Any) -> Any:
    return orjson.loads(orjson.dumps(schema).replace(b'"logicalType":"decimal",', b""))


def test_rows_are_encoded_as_fastavro_reads_them() -> None:
    """Every kind of column, lists with counts per row, null and a union of several types among them."""
    encoder = Encoder(SCHEMA, Framing.CONFLUENT, 7)
    encoded = encoder.encode(predictions(encoder))
    assert encoded.rejections == ()
    records = [encoded.data[start:end].tobytes() for start, end in encoded.values.tolist()]
    assert [record[:5] for record in records] == [b"\0\0\0\0\7"] * 2
    parsed = fastavro.parse_schema(raw(PREDICTION))
    assert [fastavro.schemaless_reader(io.BytesIO(record[5:]), parsed, None) for record in records] == EXPECTED


@pytest.mark.parametrize("framing", list(Framing))
def test_what_the_encoder_writes_the_decoder_reads_as_the_same_columns(framing: Framing) -> None:
    """In each wire format."""
    schema_id = {Framing.CONFLUENT: 7, Framing.SINGLE_OBJECT: SCHEMA.fingerprint, Framing.JSON: 0}[framing]
    encoder = Encoder(SCHEMA, framing, schema_id)
    batch = predictions(encoder)
    encoded = encoder.encode(batch)
    decoder = Decoder(SCHEMA, None, framing)
    decoder.add_writer(schema_id, SCHEMA)
    decoded = decoder.decode(batch_of([encoded.data[start:end].tobytes() for start, end in encoded.values.tolist()]))
    assert decoded.rejections == ()
    assert decoded.columns.columns == batch.columns
    for row in range(2):
        assert row_values(decoded.columns, row) == row_values(batch, row)


@pytest.mark.parametrize(
    ("name", "values", "expected", "got"),
    [
        ("partition", np.array([2**31, 0]), "int", "a value outside its range"),
        ("decision", np.array([2, 0]), "Decision", "a value outside its range"),
        ("digest", Texts.of([b"abc", b"cd"]), "Digest", "bytes of another size"),
        ("amount", np.array([1e8, 0.0]), "bytes", "a value outside its range"),
        ("amount", np.array([np.nan, 0.0]), "bytes", "a value outside its range"),
        ("offset", None, "long", "nothing (the column is not present)"),
    ],
)
def test_a_row_that_the_schema_does_not_allow_is_rejected_and_the_others_are_not(
    name: str, values: Any, expected: str, got: str
) -> None:
    """The first row; the second is what it is alone."""
    encoder = Encoder(SCHEMA, Framing.CONFLUENT, 7)
    good = predictions(encoder)
    column = next(each for each in encoder.columns if each.name == name)
    cells, present = good.cells.copy(), good.present.copy()
    if values is None:
        present[0, column.index] = False
    elif isinstance(values, Texts):
        cells[0, column.slot + 1] += 1
    else:
        cells[0, column.slot] = values.view(np.int64)[0]
    bad = ColumnBatch(good.columns, good.rows, cells, present, good.data, good.items)
    encoded = encoder.encode(bad)
    assert encoded.rejections == (Rejection(0, RejectReason.INVALID_VALUE, name, expected, got),)
    assert encoded.values[0].tolist() == [-1, -1]
    whole = encoder.encode(good)
    start, end = whole.values[1]
    assert encoded.data.tobytes() == whole.data[start:end].tobytes()


def test_lists_of_one_map_must_have_as_many_keys_as_values() -> None:
    """Otherwise the batch is refused, with the column's name."""
    encoder = Encoder(SCHEMA, Framing.CONFLUENT, 7)
    good = predictions(encoder)
    keys = next(each for each in encoder.columns if each.name == "scores.keys")
    cells = good.cells.copy()
    cells[0, keys.slot + 1] = 1
    bad = ColumnBatch(good.columns, good.rows, cells, good.present, good.data, good.items)
    with pytest.raises(SchemaError, match=r"scores has not as many items in every row as scores\.keys"):
        encoder.encode(bad)


def test_output_larger_than_the_first_guess_is_whole() -> None:
    """The room for output grows until everything fits."""
    schema = parse_schema({"type": "record", "name": "R", "fields": [{"name": "t", "type": "string"}]})
    encoder = Encoder(schema, Framing.CONFLUENT, 1)
    texts = ["x" * (i * 37 % 5000) for i in range(200)]
    encoded = encoder.encode(column_batch(encoder.columns, {"t": Texts.of(texts)}, {}, 200))
    decoder = Decoder(schema, None, Framing.CONFLUENT)
    decoder.add_writer(1, schema)
    back = decoder.decode(batch_of([encoded.data[start:end].tobytes() for start, end in encoded.values.tolist()]))
    assert [row_values(back.columns, row)["t"] for row in range(200)] == texts


@pytest.mark.parametrize(
    "of",
    [
        {"type": "array", "items": {"type": "array", "items": "int"}},
        {"type": "array", "items": ["null", "int"]},
        ["null", "R"],
    ],
)
def test_a_schema_with_parts_that_have_no_column_is_refused(of: Any) -> None:
    """Lists of lists, nullable items, a record in itself."""
    schema = parse_schema({"type": "record", "name": "R", "fields": [{"name": "f", "type": of}]})
    with pytest.raises(SchemaError, match=r"f: .*cannot be encoded from"):
        Encoder(schema, Framing.CONFLUENT, 1)
