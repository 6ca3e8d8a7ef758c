"""What a value depends on, as a text: by it parts of the state are told apart, today's and a snapshot's."""

import hashlib
from collections.abc import Iterator

from stream.features.calendar_parts import offsets_of
from stream.features.typed import Node
from stream.records import Column


def definition(node: Node) -> str:
    """All that a node's values depend on; the offsets of its time zones belong to it."""
    zones = sorted({inner.options["tz"] for inner in walk(node) if "tz" in inner.options})
    return node.text + "".join(hashlib.sha256(offsets_of(zone).tobytes()).hexdigest() for zone in zones)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for operand in node.operands:
        yield from walk(operand)


def key_definition(key: tuple[Column, ...]) -> str:
    """All that says which events are of one key."""
    return repr(tuple((column.name, column.kind.value, column.symbols) for column in key))


def digest_of(*texts: str) -> str:
    """A short digest."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
