"""What stands before a record's Avro data: the wire formats."""

# Kernels and intrinsics give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

from enum import Enum
from typing import Final

from stream.avro.addresses import byte_at, word_at
from stream.avro.opcodes import NULL, OK, REFUSED, SHORT_HEADER, WRONG_MAGIC
from stream.kernels import kernel
from stream.records import Bytes, Ints


class Framing(Enum):
    """How a record says which schema wrote it."""

    CONFLUENT = "confluent"  # a zero byte, the registry's id (4 bytes, big end first)
    SINGLE_OBJECT = "single_object"  # C3 01, the fingerprint of the schema (8 bytes, little end first)
    JSON = "json"  # plain JSON; no writer's schema


HEADER_BYTES: Final = {Framing.CONFLUENT: 5, Framing.SINGLE_OBJECT: 10, Framing.JSON: 0}


def header(framing: Framing, schema_id: int) -> bytes:
    """The bytes before a record that the schema of this id wrote."""
    match framing:
        case Framing.CONFLUENT:
            return b"\0" + schema_id.to_bytes(4, "big")
        case Framing.SINGLE_OBJECT:
            return b"\xc3\x01" + schema_id.to_bytes(8, "little", signed=True)
        case Framing.JSON:
            return b""


@kernel
def read_headers(data: Bytes, values: Ints, size: int, known: Ints, outcomes: Ints, bodies: Ints, needs: Ints) -> int:
    """Find the program of each record, up to the first whose schema is not known.

    Args:
        data: the records' bytes.
        values: (n, 2), start and end of each record; -1 where null.
        size: bytes of a header: 5, 10, or 0 where there is none (then the first of `known` wrote every record).
        known: (schemas, 3), for each id its program's address, or -1 - k for refusal k; the third word is free.
        outcomes: (n, 3), receives a code, the program's address, a detail.
        bodies: (n, 2), receives start and end of the data behind the header.
        needs: (1,), receives the id that is not known.

    Returns:
        How many records were handled.
    """
    base = data.ctypes.data
    latest = 0
    for record in range(values.shape[0]):
        start = values[record, 0]
        end = values[record, 1]
        outcomes[record, 0] = OK
        outcomes[record, 1] = 0
        outcomes[record, 2] = 0
        bodies[record, 0] = start + size
        bodies[record, 1] = end
        if start < 0:
            outcomes[record, 0] = NULL
            continue
        if end - start < size:
            outcomes[record, 0] = SHORT_HEADER
            outcomes[record, 2] = end - start
            continue
        wrong = _wrong_magic(base + start, size)
        if wrong >= 0:
            outcomes[record, 0] = WRONG_MAGIC
            outcomes[record, 2] = wrong
            continue
        if size > 0:
            schema = _schema_id(base + start, size)
            if latest >= known.shape[0] or known[latest, 0] != schema:
                latest = 0
                while latest < known.shape[0] and known[latest, 0] != schema:
                    latest += 1
            if latest == known.shape[0]:
                needs[0] = schema
                return record
        outcomes[record, 1] = known[latest, 1]
        if known[latest, 1] < 0:
            outcomes[record, 0] = REFUSED
            outcomes[record, 2] = -1 - known[latest, 1]
    return values.shape[0]


@kernel
def _wrong_magic(start: int, size: int) -> int:
    """The byte that is not what the format begins with, or -1. Like `_schema_id`, of the header at this address."""
    if size == 5 and byte_at(start) != 0:
        return byte_at(start)
    if size == 10 and byte_at(start) != 0xC3:
        return byte_at(start)
    if size == 10 and byte_at(start + 1) != 1:
        return byte_at(start + 1)
    return -1


@kernel
def _schema_id(start: int, size: int) -> int:
    """The registry's id, or the fingerprint as a signed integer."""
    if size == 10:
        return word_at(start + 2)
    return byte_at(start + 1) << 24 | byte_at(start + 2) << 16 | byte_at(start + 3) << 8 | byte_at(start + 4)
