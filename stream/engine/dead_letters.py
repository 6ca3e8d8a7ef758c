"""Dead letters: rejected records as they came, with headers that say why, so that they can be replayed after a fix."""

import hashlib
from collections.abc import Sequence

from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.headers import Headers, pack, unpack
from stream.records import Ints, RecordBatch, Rejection

# Begins the names of the headers that are added, `stream.error` first; replay takes them off again.
PREFIX = "stream."
_FIRST = PREFIX + "error"
_REASON = ("error", "field", "expected", "got", "topic", "partition", "offset", "app", "time_ms")
_CHECKSUMS = ("sha256", "headers_sha256", "key_sha256")
_ADDED = frozenset(PREFIX + name for name in (*_REASON, *_CHECKSUMS))

# What a record takes beside key, value and headers: a batch's header (61 bytes), its own lengths and attributes, and
# the lengths of some twenty headers.
RECORD_OVERHEAD_BYTES = 256
# Of each text of a reason: nine of four bytes a character and three checksums stay below the smallest
# `max_message_bytes`, 65,536, so that a letter without key, value and headers always fits.
_REASON_CHARACTERS = 1_000


def dead_letters(
    topic: str, app: str, batch: RecordBatch, rejections: Sequence[Rejection], now_ms: int, max_record_bytes: int
) -> OutputBatch:
    """The rejected records of a batch: key, value, headers and timestamp as they came, and why they were rejected.

    One that would be larger than `max_record_bytes` with these headers goes without its value; then, if that is not
    enough, without its own headers, and without its key. Topic, partition and offset point to the record;
    `stream.sha256`, `stream.headers_sha256` and `stream.key_sha256` are what each part must hash to (rule 12).
    """
    letters = [_dead_letter(app, batch, rejection, now_ms, max_record_bytes) for rejection in rejections]
    return output_batch(topic, -1, letters)


def reason_of(headers: Headers) -> dict[str, str]:
    """What the headers of a dead letter say, by names without prefix; empty for any other record."""
    return {
        name.removeprefix(PREFIX): (value or b"").decode()
        for name, value in headers[_begin(headers) :]
        if name in _ADDED
    }


def without_reason(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that the record had before it became a dead letter; other `stream.` headers are the producer's."""
    begin = _begin(headers)
    return [*headers[:begin], *((name, value) for name, value in headers[begin:] if name not in _ADDED)]


def _begin(headers: Headers) -> int:
    """Where the added headers begin: at the last `stream.error`."""
    places = [place for place, (name, _) in enumerate(headers) if name == _FIRST]
    return places[-1] if places else len(headers)


def _dead_letter(
    app: str, batch: RecordBatch, rejection: Rejection, now_ms: int, max_record_bytes: int
) -> EncodedRecord:
    row = rejection.row
    reason = (
        rejection.reason.value,
        rejection.field,
        rejection.expected,
        rejection.got,
        batch.topic,
        str(batch.partition),
        str(int(batch.offsets[row])),
        app,
        str(now_ms),
    )
    added = pack(
        [(PREFIX + name, text[:_REASON_CHARACTERS].encode()) for name, text in zip(_REASON, reason, strict=True)]
    )
    came = pack(without_reason(unpack(_part(batch, batch.headers, row) or b"")))
    key, value = _part(batch, batch.keys, row), _part(batch, batch.values, row)
    largest = max_record_bytes - RECORD_OVERHEAD_BYTES
    if _size(key, value, came, added) > largest:
        added += _checksum("sha256", value or b"")
        value = None
    if _size(key, value, came, added) > largest:
        added += _checksum("headers_sha256", came)
        came = b""
    if _size(key, value, came, added) > largest:
        added += _checksum("key_sha256", key or b"")
        key = None
    return EncodedRecord(key, value, came + added, int(batch.timestamps_ms[row]))


def _size(*parts: bytes | None) -> int:
    return sum(len(part) for part in parts if part is not None)


def _checksum(name: str, part: bytes) -> bytes:
    return pack([(PREFIX + name, hashlib.sha256(part).hexdigest().encode())])


def _part(batch: RecordBatch, places: Ints, row: int) -> bytes | None:
    start, end = int(places[row, 0]), int(places[row, 1])
    return None if start < 0 else batch.data[start:end].tobytes()
