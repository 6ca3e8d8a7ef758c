"""Avro for the few records that are made one by one: alerts, journal records, pieces of predictions."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import fastavro
import orjson

from stream.resources import schema_text


def encode_small(subject: str, value: Mapping[str, Any]) -> bytes:
    """One value in the binary encoding of `schemas/<subject>/v1.avsc`."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed_schema(subject), value)
    return out.getvalue()


def decode_small(subject: str, data: bytes) -> dict[str, Any]:
    """The value that `encode_small` encoded; logical types stay numbers."""
    value: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(data), _plain_schema(subject), None)
    return value


def varint_bytes(value: int) -> bytes:
    """Avro's int and long."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


def text_bytes(text: str) -> bytes:
    """Avro's string."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "string", text)
    return out.getvalue()


@cache
def parsed_schema(subject: str) -> Any:
    """The shipped schema of a subject, as fastavro parses it."""
    return fastavro.parse_schema(orjson.loads(schema_text(subject)))


@cache
def _plain_schema(subject: str) -> Any:
    return fastavro.parse_schema(_without_logical_types(orjson.loads(schema_text(subject))))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return [_without_logical_types(item) for item in node] if isinstance(node, list) else node
