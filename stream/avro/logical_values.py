"""Logical types as text: what JSON holds in place of their integers and bytes."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from stream.avro.schema import Logical

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS_A_SECOND: Final = {"millis": 10**3, "micros": 10**6, "nanos": 10**9}


def integer_from_iso(text: str, logical: str) -> int:
    """Days since 1970 of an ISO 8601 date, or units of a time or timestamp; without an offset it is UTC.

    Digits beyond the unit (and beyond microseconds) are cut off.

    Raises:
        ValueError: the text is no such date or time.
    """
    if logical == "date":
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    units = _UNITS_A_SECOND[logical.rpartition("-")[2]]
    if logical.startswith("time-"):
        at = time.fromisoformat(text)
        microseconds = ((at.hour * 60 + at.minute) * 60 + at.second) * 10**6 + at.microsecond
    else:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        elif logical.startswith("local-"):
            raise ValueError("a local timestamp has no offset")
        microseconds = (moment - _EPOCH) // _MICROSECOND
    return microseconds * units // 10**6


def decimal_to_bytes(value: object, logical: Logical, size: int | None) -> bytes:
    """The unscaled integer of a decimal in two's complement, big end first, in `size` bytes or the fewest.

    Args:
        value: a Decimal, a number, or text such as "12.50".
        logical: the decimal's precision and scale.
        size: of a fixed; None for bytes.

    Raises:
        ValueError: it is no number, or has more digits than the type.
    """
    try:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        unscaled = int(exact.scaleb(logical.scale).to_integral_exact())
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError("no decimal number") from None
    if Decimal(unscaled).scaleb(-logical.scale) != exact or abs(unscaled) >= 10**logical.precision:
        raise ValueError(f"more than {logical.precision} digits, {logical.scale} of them behind the point")
    fewest = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(size or fewest, "big", signed=True)
