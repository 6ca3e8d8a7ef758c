"""Avro: schemas, their resolution, records to columns and back."""

from stream.avro.columns import columns_of
from stream.avro.decoder import Decoded, Decoder
from stream.avro.framing import Framing
from stream.avro.parse import parse_schema
from stream.avro.reading import decode_one
from stream.avro.schema import Schema
from stream.avro.values import InvalidValue, encode_one

__all__ = [
    "Decoded",
    "Decoder",
    "Framing",
    "InvalidValue",
    "Schema",
    "columns_of",
    "decode_one",
    "encode_one",
    "parse_schema",
]
