"""Avro: schemas, their resolution, records to columns and back."""

from stream.avro.build import Lists, Texts, column_batch
from stream.avro.columns import TWO_CELLS, columns_of
from stream.avro.decoder import Decoded, Decoder
from stream.avro.encoder import Encoded, Encoder
from stream.avro.framing import Framing, header
from stream.avro.json_text import json_text
from stream.avro.parse import parse_schema
from stream.avro.reading import decode_one
from stream.avro.schema import Schema
from stream.avro.values import InvalidValue, encode_one

__all__ = [
    "TWO_CELLS",
    "Decoded",
    "Decoder",
    "Encoded",
    "Encoder",
    "Framing",
    "InvalidValue",
    "Lists",
    "Schema",
    "Texts",
    "column_batch",
    "columns_of",
    "decode_one",
    "encode_one",
    "header",
    "json_text",
    "parse_schema",
]
