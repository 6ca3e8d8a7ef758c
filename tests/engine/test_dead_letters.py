"""Dead letters: records as they came, what stands in for what is too large, and which headers are the project's."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from stream.engine.dead_letters import dead_letters, reason_of, without_reason
from stream.headers import Headers, pack, unpack
from stream.records import RecordBatch, Rejection, RejectReason
from tests.engine.build import T0, batch

TRUNCATED = Rejection(0, RejectReason.TRUNCATED, "id", "a string", "the end")
LIMIT = 65_536  # the smallest max_message_bytes that the settings take


def record(key: bytes | None, value: bytes | None, headers: Headers = ()) -> RecordBatch:
    """One record at offset 41."""
    made = batch("payments", [(key, value)], 41)
    if not headers:
        return made
    packed, start = pack(headers), len(made.data)
    data = np.concatenate([made.data, np.frombuffer(packed, np.uint8)])
    return replace(made, data=data, headers=np.array([[start, start + len(packed)]], np.int64))


def letter(
    rejected: RecordBatch, rejection: Rejection = TRUNCATED
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Key, value and headers of its dead letter."""
    made = dead_letters("dead", "app", rejected, [rejection], T0, LIMIT)
    spans = [made.keys[0], made.values[0], made.headers[0]]
    key, value, headers = (None if start < 0 else made.data[start:end].tobytes() for start, end in spans)
    assert len(key or b"") + len(value or b"") + len(headers or b"") + 256 <= LIMIT
    return key, value, unpack(headers or b"")


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def test_a_key_too_large_for_a_dead_letter_is_a_checksum_too() -> None:
    """A record whose key alone is larger than the limit: its letter fits, and points to it."""
    key, value = b"k" * 70_000, b"\0\0\0\0\x01zz"

    found_key, found_value, headers = letter(record(key, value, [("trace", b"7")]))

    reason = reason_of(headers)
    assert (found_key, found_value) == (None, None)
    assert (reason["topic"], reason["partition"], reason["offset"]) == ("payments", "0", "41")
    assert (reason["sha256"], reason["key_sha256"]) == (sha256(value), sha256(key))
    assert reason["headers_sha256"] == sha256(pack([("trace", b"7")]))


def test_headers_too_large_for_a_dead_letter_leave_its_key() -> None:
    """What need not go stays: the key, by which the letter finds its partition."""
    large = [("trace", b"7" * 70_000)]

    key, value, headers = letter(record(b"card1", b"zz", large))

    assert (key, value) == (b"card1", None)
    assert reason_of(headers)["headers_sha256"] == sha256(pack(large))
    assert "key_sha256" not in reason_of(headers)
    assert without_reason(headers) == []


def test_a_long_reason_is_cut() -> None:
    """What a record is told to have got may be as long as the record."""
    rejection = Rejection(0, RejectReason.INVALID_VALUE, "f" * 90_000, "e" * 90_000, "ü" * 90_000)

    _, _, headers = letter(record(b"card1", b"zz"), rejection)

    assert reason_of(headers)["got"] == "ü" * 1_000


def test_a_producers_own_headers_survive_whatever_they_are_called() -> None:
    """Those that begin like the project's, and those that are called the same: in the letter, and after its replay."""
    own: Headers = [("stream.source", b"mobile"), ("stream.topic", b"theirs"), ("trace", None), ("trace", b"\xff")]

    _, _, headers = letter(record(b"card1", b"zz", own))

    assert headers[: len(own)] == own
    assert (reason_of(headers)["error"], reason_of(headers)["topic"]) == ("truncated", "payments")
    assert without_reason(headers) == own


def test_a_dead_letter_that_comes_back_is_told_anew() -> None:
    """One that was sent back with all its headers: the new reason replaces the old one."""
    own: Headers = [("stream.source", b"mobile")]
    _, _, once = letter(record(b"card1", b"zz", own))

    _, _, twice = letter(record(b"card1", b"zz", [*once, ("again", b"1")]), replace(TRUNCATED, field="card"))

    assert without_reason(twice) == [*own, ("again", b"1")]
    assert [name for name, _ in twice].count("stream.error") == 1
    assert reason_of(twice)["field"] == "card"


@pytest.mark.parametrize("headers", [[], [("trace", b"7")], [("stream.topic", b"theirs")]])
def test_other_records_have_no_reason(headers: Headers) -> None:
    """And keep their headers."""
    assert reason_of(headers) == {}
    assert without_reason(headers) == headers
