"""Records as lines."""

import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from stream.cli.tailing.decoding import ValueReader


def as_object(message: Any, reader: ValueReader) -> dict[str, Any]:
    """A record for programs and for `as_line`."""
    value = reader.read(message.value())
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": iso(message.timestamp()[1]),
        "key": reader.read(message.key()).value,
        "headers": {name: reader.read(item).value for name, item in message.headers() or ()},
        "format": value.format,
        "value": value.value,
    }


def as_line(record: dict[str, Any]) -> str:
    """A record for people: partition/offset, time, key, headers if any, value."""
    value = record["value"]
    shown = value if isinstance(value, str) and "\n" not in value else to_json(value)
    headers = " ".join(
        f"{name}={item if isinstance(item, str) else to_json(item)}" for name, item in record["headers"].items()
    )
    place = f"{record['partition']}/{record['offset']}"
    key = "-" if record["key"] is None else record["key"]
    return "\t".join([place, record["timestamp"], str(key), *([headers] if headers else []), shown])


def to_json(value: Any) -> str:
    """JSON in one line; integers beyond 64 bits and what else JSON has no form for as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def iso(time_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; "-" where there is no time."""
    if time_ms < 0:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(line: str) -> None:
    """Print one line at once, so that a pipe sees it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
