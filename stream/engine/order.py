"""The last stage puts events back into the order in which the first one read them (rule 34).

Between the two lie several partitions of repartition topics, which answer in any order. What comes too early waits, and
is part of the state: a replay, or a restore from a snapshot, releases the same events at the same records. It waits in
the pieces in which it came; what goes on is gathered from them, so that a slice costs no copy of all that waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.engine.envelope import Travellers
from stream.engine.plan import Plan
from stream.errors import TaskCorrupted
from stream.kernels import kernel
from stream.records import Array, Bytes, Floats, Ints, RecordBatch

_SEQUENCE, _OFFSET, _TIMESTAMP, _SPANS = 0, 1, 2, 3  # columns of what is saved of each event that waits
_NUMBERS = 9


@dataclass(frozen=True, slots=True)
class _Index:
    """Events in the order of their sequences, and where each lies."""

    sequences: Ints  # (n,)
    pieces: Ints  # (n,): number of the piece
    rows: Ints  # (n,): in the piece

    def part(self, chosen: slice) -> "_Index":
        """Some of them."""
        return _Index(self.sequences[chosen], self.pieces[chosen], self.rows[chosen])


@dataclass(frozen=True, slots=True)
class Released:
    """Events that may go on, in order, and what waits once they have: see `SourceOrder.keep`."""

    travellers: Travellers
    rest: _Index
    arrived: Travellers


class SourceOrder:
    """Events of one partition that wait for earlier ones.

    Args:
        plan: of the last stage.
    """

    def __init__(self, plan: Plan) -> None:
        assert plan.arrives is not None
        self._topic = plan.events.topic
        self._layout = plan.arrives.layout
        self._features = plan.arrives.features
        self._next = np.zeros(1, np.int64)  # sequence of the event that is to be released next
        self._index = _nothing()
        self._pieces: dict[int, Travellers] = {}
        self._newest_piece = 0
        self.released_ms = 0  # largest timestamp among the records that went on; not part of the state

    @property
    def waiting(self) -> int:
        """Events that wait."""
        return len(self._index.sequences)

    @property
    def state_bytes(self) -> int:
        """Of what waits."""
        return sum(
            piece.batch.data.nbytes + len(piece) * 8 * (_NUMBERS + self._features) for piece in self._pieces.values()
        )

    def released_with(self, arrived: Travellers) -> Released:
        """What may go on once these have arrived; changes nothing.

        Raises:
            TaskCorrupted: an event came twice: this stage and an earlier one are of different journals.
        """
        first = int(self._next[0])
        if not self.waiting and np.array_equal(arrived.sequences, first + np.arange(len(arrived))):
            return Released(arrived, _nothing(), arrived)
        every = self._with(arrived)
        steps = np.diff(every.sequences, prepend=first - 1)
        if (steps <= 0).any():
            twice = int(every.sequences[np.argmax(steps <= 0)])
            raise TaskCorrupted(
                f"event {twice} of {self._topic} came twice or was handled before (event {first} is next): the stages "
                "before this one began anew without it. Reset all stages together: `stream state reset APP`"
            )
        gaps = np.flatnonzero(steps != 1)
        ready = int(gaps[0]) if len(gaps) else len(every.sequences)
        released = self._gathered(every.part(slice(0, ready)), arrived)
        return Released(released, every.part(slice(ready, None)), arrived)

    def keep(self, released: Released) -> None:
        """These went on, the others wait."""
        self._next[0] += len(released.travellers)
        if len(released.travellers):
            self.released_ms = max(self.released_ms, int(released.travellers.batch.timestamps_ms.max()))
        rest, new = released.rest, self._newest_piece + 1
        own = np.sort(rest.rows[rest.pieces == new])
        if len(own):  # on a buffer of their own: that of the fetch is larger
            self._newest_piece = new
            self._pieces[new] = _packed(_chosen(released.arrived, own))
            rows = np.where(rest.pieces == new, np.searchsorted(own, rest.rows), rest.rows)
            rest = _Index(rest.sequences, rest.pieces, rows)
        self._index = rest
        left = set(np.unique(rest.pieces).tolist())
        self._pieces = {number: piece for number, piece in self._pieces.items() if number in left}

    def arrays(self) -> dict[str, Array]:
        """All that must be saved."""
        waiting = self._gathered(self._index, self._none())
        numbers = np.empty((len(waiting), _NUMBERS), np.int64)
        numbers[:, _SEQUENCE], numbers[:, _OFFSET] = waiting.sequences, waiting.batch.offsets
        numbers[:, _TIMESTAMP] = waiting.batch.timestamps_ms
        numbers[:, _SPANS:] = _spans(waiting.batch)
        return {
            "next": self._next,
            "layout": np.array([self._layout], np.int64),
            "numbers": numbers,
            "features": waiting.features,
            "data": waiting.batch.data,
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Go on with saved arrays; features of another layout, as behind an upgrade, are missing.

        Raises:
            TaskCorrupted: they do not fit together.
        """
        numbers = np.array(arrays["numbers"], np.int64).reshape(-1, _NUMBERS)
        data = np.array(arrays["data"], np.uint8)
        if len(numbers) and numbers[:, _SPANS:].max() > len(data):
            raise TaskCorrupted("the snapshot's waiting events do not fit their bytes; restore an older one")
        features = np.full((len(numbers), self._features), np.nan)
        if int(arrays["layout"][0]) == self._layout:
            features = np.array(arrays["features"], np.float64).reshape(len(numbers), self._features)
        self._next[:] = arrays["next"]
        self._pieces = {0: self._travellers(numbers, data, features)}
        count = len(numbers)
        self._index = _Index(numbers[:, _SEQUENCE].copy(), np.zeros(count, np.int64), np.arange(count))

    def _with(self, arrived: Travellers) -> _Index:
        """All that waits and what arrived, in order."""
        order = np.argsort(arrived.sequences, kind="stable")
        sequences, index = arrived.sequences[order], self._index
        places = np.searchsorted(index.sequences, sequences)
        return _Index(
            np.insert(index.sequences, places, sequences),
            np.insert(index.pieces, places, self._newest_piece + 1),
            np.insert(index.rows, places, order),
        )

    def _gathered(self, index: _Index, arrived: Travellers) -> Travellers:
        """These events, in their order, on one buffer that holds their bytes alone."""
        count = len(index.sequences)
        numbers, features = np.empty((count, _NUMBERS), np.int64), np.empty((count, self._features))
        parts = [(number, np.flatnonzero(index.pieces == number)) for number in np.unique(index.pieces).tolist()]
        spans = np.empty((count, 6), np.int64)
        for number, places in parts:
            piece, rows = self._pieces.get(number, arrived), index.rows[places]
            spans[places] = _spans(piece.batch)[rows] if len(rows) == len(piece) else _spans(piece.batch.chosen(rows))
            numbers[places, _OFFSET] = piece.batch.offsets[rows]
            numbers[places, _TIMESTAMP] = piece.batch.timestamps_ms[rows]
            features[places] = piece.features[rows]
        numbers[:, _SEQUENCE] = index.sequences
        packed = _packed_spans(spans)
        data = np.empty(int(packed.max()) if count else 0, np.uint8)
        for number, places in parts:
            copy_spans(self._pieces.get(number, arrived).batch.data, spans[places], packed[places], data)
        numbers[:, _SPANS:] = packed
        return self._travellers(numbers, data, features)

    def _none(self) -> Travellers:
        nothing = np.zeros((0, _NUMBERS), np.int64)
        return self._travellers(nothing, np.zeros(0, np.uint8), np.zeros((0, self._features)))

    def _travellers(self, numbers: Ints, data: Bytes, features: Floats) -> Travellers:
        spans = [np.ascontiguousarray(numbers[:, _SPANS + 2 * place : _SPANS + 2 * place + 2]) for place in range(3)]
        batch = RecordBatch(
            topic=self._topic,
            partition=-1,
            data=data,
            keys=spans[0],
            values=spans[1],
            offsets=np.ascontiguousarray(numbers[:, _OFFSET]),
            timestamps_ms=np.ascontiguousarray(numbers[:, _TIMESTAMP]),
            headers=spans[2],
        )
        return Travellers(batch, np.full(len(numbers), -1), np.ascontiguousarray(numbers[:, _SEQUENCE]), features)


def first_of(travellers: Travellers, count: int) -> Travellers:
    """The first so many."""
    return _chosen(travellers, slice(0, count))


@kernel
def copy_spans(data: Bytes, spans: Ints, packed: Ints, out: Bytes) -> None:
    """Copy stretches of bytes.

    Args:
        data: where they are.
        spans: (n, 6) start and end of three stretches; -1, -1 where there is none.
        packed: (n, 6) where they go.
        out: receives them.
    """
    for row in range(len(spans)):
        for column in range(0, 6, 2):
            start, to = spans[row, column], packed[row, column]
            for place in range(spans[row, column + 1] - start):
                out[to + place] = data[start + place]


def _nothing() -> _Index:
    return _Index(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def _spans(batch: RecordBatch) -> Ints:
    """(n, 6): start and end of key, value and headers."""
    return np.concatenate([batch.keys, batch.values, batch.headers], axis=1)


def _packed_spans(spans: Ints) -> Ints:
    """The same stretches one behind the other, row by row."""
    lengths = (spans[:, 1::2] - spans[:, ::2]).reshape(-1)
    ends = np.cumsum(lengths)
    packed = np.stack([ends - lengths, ends], axis=1).reshape(-1, 6)
    return np.where(spans >= 0, packed, -1)


def _chosen(travellers: Travellers, rows: slice | Ints) -> Travellers:
    return Travellers(
        travellers.batch.chosen(rows),
        travellers.partitions[rows],
        travellers.sequences[rows],
        travellers.features[rows],
    )


def _packed(travellers: Travellers) -> Travellers:
    """The same on a buffer that holds their bytes alone."""
    batch = travellers.batch
    spans = _spans(batch)
    packed = _packed_spans(spans)
    data = np.empty(max(int(packed.max()), 0) if len(packed) else 0, np.uint8)
    copy_spans(batch.data, spans, packed, data)
    own = RecordBatch(
        batch.topic,
        batch.partition,
        data,
        np.ascontiguousarray(packed[:, 0:2]),
        np.ascontiguousarray(packed[:, 2:4]),
        batch.offsets,
        batch.timestamps_ms,
        np.ascontiguousarray(packed[:, 4:6]),
    )
    return Travellers(own, travellers.partitions, travellers.sequences, travellers.features)
