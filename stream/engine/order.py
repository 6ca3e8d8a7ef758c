"""The last stage puts events back into the order in which the first one read them (rule 34).

Between the two lie several partitions of repartition topics, which answer in any order. What comes too early waits, and
is part of the state: a replay, or a restore from a snapshot, releases the same events at the same records.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stream.engine.envelope import Travellers
from stream.engine.plan import Plan
from stream.errors import TaskCorrupted
from stream.records import Array, Bytes, Floats, Ints, RecordBatch, joined

_SEQUENCE, _OFFSET, _TIMESTAMP, _SPANS = 0, 1, 2, 3  # columns of what is saved of each event that waits
_NUMBERS = 9


class SourceOrder:
    """Events of one partition that wait for earlier ones.

    Args:
        plan: of the last stage.
        partition: of the event topic.
    """

    def __init__(self, plan: Plan) -> None:
        assert plan.arrives is not None
        self._topic = plan.events.topic
        self._layout = plan.arrives.layout
        self._features = plan.arrives.features
        self._next = np.zeros(1, np.int64)  # sequence of the event that is to be released next
        self._waiting = self._none()

    @property
    def waiting(self) -> int:
        """Events that wait."""
        return len(self._waiting)

    def sorted_with(self, arrived: Travellers) -> tuple[Travellers, int]:
        """What waits together with what arrived, in order, and how many of them may go on. Changes nothing.

        Raises:
            TaskCorrupted: an event came twice: this stage and an earlier one are of different journals.
        """
        first = int(self._next[0])
        if not len(self._waiting) and np.array_equal(arrived.sequences, first + np.arange(len(arrived))):
            return arrived, len(arrived)
        every = _joined(self._waiting, arrived)
        order = np.argsort(every.sequences, kind="stable")
        sequences = every.sequences[order]
        if (np.diff(sequences, prepend=first - 1) <= 0).any():
            twice = int(sequences[np.argmax(np.diff(sequences, prepend=first - 1) <= 0)])
            raise TaskCorrupted(
                f"event {twice} of {self._topic} came twice or was handled before (event {first} is next): the stages "
                "before this one began anew without it. Reset all stages together: `stream state reset APP`"
            )
        ready = int(np.count_nonzero(sequences == first + np.arange(len(sequences))))
        return _chosen(every, order), ready

    def keep(self, every: Travellers, released: int) -> None:
        """The first `released` of these went on, the others wait."""
        self._next[0] += released
        self._waiting = _packed(every, released) if released < len(every) else self._none()

    def arrays(self) -> dict[str, Array]:
        """All that must be saved."""
        waiting = self._waiting
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
        self._waiting = self._travellers(numbers, data, features)

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


def _spans(batch: RecordBatch) -> Ints:
    """(n, 6): start and end of key, value and headers."""
    return np.concatenate([batch.keys, batch.values, batch.headers], axis=1)


def _joined(first: Travellers, second: Travellers) -> Travellers:
    return Travellers(
        joined([first.batch, second.batch]),
        np.concatenate([first.partitions, second.partitions]),
        np.concatenate([first.sequences, second.sequences]),
        np.concatenate([first.features, second.features]),
    )


def _chosen(travellers: Travellers, rows: slice | Ints) -> Travellers:
    return Travellers(
        travellers.batch.chosen(rows),
        travellers.partitions[rows],
        travellers.sequences[rows],
        travellers.features[rows],
    )


def _packed(travellers: Travellers, first: int) -> Travellers:
    """Those from `first` on, on a buffer that holds their bytes alone: the same whatever they were fetched with."""
    rest = _chosen(travellers, slice(first, None))
    spans = _spans(rest.batch)
    starts, lengths = spans[:, ::2].reshape(-1), (spans[:, 1::2] - spans[:, ::2]).reshape(-1)
    ends = np.cumsum(lengths)
    places = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1])
    packed = np.where((starts >= 0)[:, None], np.stack([ends - lengths, ends], axis=1), -1).reshape(-1, 3, 2)
    batch = replace(
        rest.batch,
        data=rest.batch.data[places],
        keys=np.ascontiguousarray(packed[:, 0]),
        values=np.ascontiguousarray(packed[:, 1]),
        headers=np.ascontiguousarray(packed[:, 2]),
    )
    return replace(rest, batch=batch)
