"""What a failed record's code means, in words."""

from typing import Final

from stream.avro import opcodes as op
from stream.avro.framing import Framing
from stream.avro.program import Place
from stream.records import Rejection, RejectReason

_MAGIC: Final = {
    Framing.CONFLUENT: "a byte 00 and a schema id (5 bytes)",
    Framing.SINGLE_OBJECT: "the bytes C3 01 and a schema's fingerprint (10 bytes)",
    Framing.JSON: "JSON",
}


def of_header(row: int, code: int, detail: int, framing: Framing) -> Rejection:
    """The rejection of a record that is null or does not begin as the wire format says."""
    if code == op.NULL:
        return Rejection(row, RejectReason.NULL_VALUE, "", "a value", "null")
    got = f"{detail} bytes" if code == op.SHORT_HEADER else f"a byte {detail:02X}"
    return Rejection(row, RejectReason.FRAMING, "", _MAGIC[framing], got)


def of_value(row: int, code: int, detail: int, place: Place) -> Rejection:
    """The rejection of a record that failed at an instruction."""
    if code == op.TRUNCATED:
        return Rejection(row, RejectReason.TRUNCATED, place.field, place.expected, f"at least {detail} bytes too few")
    if code == op.TRAILING:
        return Rejection(row, RejectReason.TRAILING_BYTES, "", place.expected, f"{detail} more bytes")
    return Rejection(row, RejectReason.INVALID_VALUE, place.field, place.expected, _got(code, detail, place))


def _got(code: int, detail: int, place: Place) -> str:
    match code:
        case op.OVERLONG:
            return "an integer of more than 64 bits"
        case op.OUT_OF_INT:
            return f"{detail}, which is no 32-bit integer"
        case op.NOT_BOOLEAN:
            return f"a byte {detail:02X}"
        case op.NEGATIVE_LENGTH:
            return f"a length of {detail}"
        case op.NO_SUCH_SYMBOL:
            return f"symbol {detail} of {len(place.symbols)}"
        case op.UNKNOWN_SYMBOL:
            return place.symbols[detail]
        case op.NO_SUCH_BRANCH:
            return f"branch {detail}"
        case op.NOT_UTF8:
            return f"text that is not UTF-8 from byte {detail} on"
        case op.TOO_DEEP:
            return f"more than {op.MAX_DEPTH} levels"
        case op.TOO_MANY_EMPTY:
            return f"{detail} items without any bytes, beyond {op.MAX_EMPTY_ITEMS} in a record"
        case _:
            return place.got
