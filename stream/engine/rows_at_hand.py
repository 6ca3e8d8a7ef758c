"""Segments of feature rows that labels may meet now: read back for them, or sealed a moment ago."""

from collections.abc import Iterable, Mapping, Sequence

from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.row_segments import Sealed, Segment, decode_segment

# Segments that are asked for at a time: 4 MB.
WANTED_AT_ONCE = 64
# Labels come about in the order of their events, so that the next ones want the same segments; 8 MB of them.
_READ_KEPT = 2 * WANTED_AT_ONCE
# Nobody can read a segment before its cycle is committed, and while one cycle is committed the next one is computed.
_CYCLES_KEPT = 2


class RowsAtHand:
    """No part of the state: what is here is a copy of what lies in the topic, or of what is on its way there.

    Args:
        scores: digest of the model of each score.
    """

    def __init__(self, scores: Sequence[str]) -> None:
        self._scores = tuple(scores)
        self._read: dict[int, Segment] = {}
        self._sealed: dict[int, tuple[int, Segment]] = {}  # by name, the cycle in which it was sealed
        self._cycle = 0

    @property
    def segments(self) -> Mapping[int, Segment]:
        """By name."""
        return self._read | {name: segment for name, (_, segment) in self._sealed.items()}

    def seal(self, sealed: Iterable[Sealed]) -> None:
        """These are written with the cycle at hand, and to be read once it is committed."""
        for each in sealed:
            self._sealed[each.name] = (self._cycle, decode_segment(each.content, self._scores))

    def put(self, name: int, content: bytes) -> None:
        """What was read back; its digest is known to be right."""
        self._read.pop(name, None)
        self._read[name] = decode_segment(content, self._scores)
        while len(self._read) > _READ_KEPT:
            del self._read[next(iter(self._read))]

    def end_cycle(self) -> None:
        """The cycle at hand is over: the one before it is committed."""
        self._cycle += 1
        oldest = self._cycle - _CYCLES_KEPT + 1
        self._sealed = {name: each for name, each in self._sealed.items() if each[0] >= oldest}


def rows_output(topic: str, partition: int, sealed: Sequence[Sealed], now_ms: int) -> tuple[OutputBatch, ...]:
    """Segments as records, keyed by their names: the offset of the event of their first row."""
    if not sealed:
        return ()
    records = [EncodedRecord(b"%d" % each.name, each.content, None, now_ms) for each in sealed]
    return (output_batch(topic, partition, records),)
