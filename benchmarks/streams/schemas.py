"""Schemas of the real streams, made from the names of their columns."""

from collections.abc import Iterable
from typing import Any


def record(name: str, **types: Iterable[str]) -> dict[str, Any]:
    """A record whose fields may all be null but the timestamps.

    Args:
        name: of the record.
        **types: names of fields by Avro type; `timestamp` is timestamp-millis.
    """
    fields: list[dict[str, Any]] = []
    for kind, names in types.items():
        for field in names:
            if kind == "timestamp":
                fields.append({"name": field, "type": {"type": "long", "logicalType": "timestamp-millis"}})
            else:
                fields.append({"name": field, "type": ["null", kind], "default": None})
    return {"type": "record", "name": name, "fields": fields}
