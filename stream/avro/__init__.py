"""Avro: schemas, their resolution, records to columns and back."""

from stream.avro.columns import columns_of
from stream.avro.decoder import Decoded, Decoder
from stream.avro.framing import Framing
from stream.avro.parse import parse_schema
from stream.avro.schema import Schema

__all__ = ["Decoded", "Decoder", "Framing", "Schema", "columns_of", "parse_schema"]
