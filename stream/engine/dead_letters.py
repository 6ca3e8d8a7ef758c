"""Dead letters: rejected records as they came, with headers that say why, so that they can be replayed after a fix."""

import hashlib
from collections.abc import Sequence

from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.headers import pack, unpack
from stream.records import Ints, RecordBatch, Rejection

# Names of the headers that are added; replay takes them off again.
PREFIX = "stream."

# What a record takes beside key, value and headers: a batch's header (61 bytes), its own lengths and attributes, and
# the lengths of some twenty headers.
_RECORD_OVERHEAD_BYTES = 256


def dead_letters(
    topic: str, app: str, batch: RecordBatch, rejections: Sequence[Rejection], now_ms: int, max_record_bytes: int
) -> OutputBatch:
    """The rejected records of a batch: key, value, headers and timestamp as they came, and why they were rejected.

    One that would be larger than `max_record_bytes` with these headers goes without its value; topic, partition and
    offset then point to it, and `stream.sha256` is what it must hash to (rule 12).
    """
    letters = [_dead_letter(app, batch, rejection, now_ms) for rejection in rejections]
    return output_batch(topic, -1, [_within(letter, max_record_bytes) for letter in letters])


def without_reason(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The headers that the record had before it became a dead letter."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def _dead_letter(app: str, batch: RecordBatch, rejection: Rejection, now_ms: int) -> EncodedRecord:
    row = rejection.row
    reason = {
        "error": rejection.reason.value,
        "field": rejection.field,
        "expected": rejection.expected,
        "got": rejection.got,
        "topic": batch.topic,
        "partition": str(batch.partition),
        "offset": str(int(batch.offsets[row])),
        "app": app,
        "time_ms": str(now_ms),
    }
    came = _part(batch, batch.headers, row)
    headers = without_reason(unpack(came)) if came else []
    added = [(PREFIX + name, value.encode()) for name, value in reason.items()]
    return EncodedRecord(
        _part(batch, batch.keys, row),
        _part(batch, batch.values, row),
        pack([*headers, *added]),
        int(batch.timestamps_ms[row]),
    )


def _within(letter: EncodedRecord, max_record_bytes: int) -> EncodedRecord:
    size = sum(len(part) for part in (letter.key, letter.value, letter.headers) if part is not None)
    if size + _RECORD_OVERHEAD_BYTES <= max_record_bytes or letter.value is None:
        return letter
    checksum = hashlib.sha256(letter.value).hexdigest().encode()
    headers = pack([*unpack(letter.headers or b""), (PREFIX + "sha256", checksum)])
    return EncodedRecord(letter.key, None, headers, letter.timestamp_ms)


def _part(batch: RecordBatch, places: Ints, row: int) -> bytes | None:
    start, end = int(places[row, 0]), int(places[row, 1])
    return None if start < 0 else batch.data[start:end].tobytes()
