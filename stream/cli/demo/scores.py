"""What a demo knows so far: events sent, predictions received, their latencies, and how good they were."""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from stream.cli.demo.blocks import Block
from stream.cli.demo.writing import NO_EVENT
from stream.evaluate import Binary, Prequential
from stream.evaluate.binary import BinarySummary
from stream.records import Bools, Floats, Ints

_NS_PER_MS: Final = 1e6
# Predictions that the latency shown while the demo runs is taken from.
_RECENT: Final = 20_000
NAN: Final = float("nan")
Place = TypeVar("Place", Floats, Bools)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is reached without a model: the better of no-change (repeat the last truth) and the prior (a constant)."""

    name: str
    roc_auc: float
    pr_auc: float


class Scores:
    """Events by their number, and by their place in the event topic, where poisoned records stand among them.

    A score counts once its truth is known as well: the label was sent, and the prediction, made before it, has come.
    """

    def __init__(self, partitions: int = 1) -> None:
        self._records: list[list[int]] = [[] for _ in range(partitions)]  # by partition and offset: which one it was
        self._event_of: list[int] = []  # by record, in the order in which they were sent
        self._sent_ns: list[int] = []  # likewise
        self._targets: list[Floats] = []
        self._changed_from: int | None = None
        self._expected = 0
        self._scores: Floats = np.full(1024, np.nan)
        self._latency_ms: Floats = np.full(1024, np.nan)
        self._is_known: Bools = np.zeros(1024, np.bool_)
        self._is_counted: Bools = np.zeros(1024, np.bool_)
        self._first_open = 0
        self._metrics = Prequential(Binary())
        self._metrics.update(np.zeros(0), np.zeros(0))  # compiles its kernel now, and not while events come
        self.sent_events = 0
        self.predictions = 0
        self.changed_at: int | None = None

    @property
    def sent_records(self) -> int:
        """Events and poisoned records that were sent."""
        return len(self._event_of)

    def record_at(self, partition: int, offset: int) -> int:
        """How many records were sent before the one at this place: with one partition, its offset."""
        return self._records[partition][offset]

    def expect(self, block: Block) -> None:
        """A block of events is about to be sent."""
        if block.is_after_change is not None and self._changed_from is None and block.is_after_change.any():
            self._changed_from = self._expected + int(np.argmax(block.is_after_change))
        self._targets.append(block.targets)
        self._expected += len(block)
        self._make_room()
        if block.labels is None:
            self._is_known[self._expected - len(block) : self._expected] = True

    def event_sent(self, event: int, sent_ns: int, partition: int = 0) -> None:
        """An event, or a poisoned record (NO_EVENT), went out as the next record of this partition of its topic."""
        if event != NO_EVENT:
            self.sent_events += 1
            if event == self._changed_from:
                self.changed_at = len(self._event_of)
        self._records[partition].append(len(self._event_of))
        self._event_of.append(event)
        self._sent_ns.append(sent_ns)

    def label_sent(self, event: int) -> None:
        """The truth about an event went out."""
        self._is_known[event] = True

    def received(self, partitions: Ints, offsets: Ints, scores: Floats, received_ns: int) -> None:
        """Predictions of the events at these places came."""
        places = zip(partitions.tolist(), offsets.tolist(), strict=True)
        records = [self.record_at(partition, offset) for partition, offset in places]
        events = np.array([self._event_of[record] for record in records], np.int64)
        sent_ns = np.array([self._sent_ns[record] for record in records], np.int64)
        self._scores[events] = scores
        self._latency_ms[events] = (received_ns - sent_ns) / _NS_PER_MS
        self.predictions += len(events)

    def summary(self) -> BinarySummary:
        """How good the predictions were whose truth is known."""
        if self._targets:
            self._targets = [np.concatenate(self._targets)]
            window = slice(self._first_open, self.sent_events)
            scores, targets = self._scores[window], self._targets[0][window]
            is_ready = self._is_known[window] & ~np.isnan(scores) & ~self._is_counted[window]
            self._metrics.update(scores[is_ready], targets[is_ready])
            self._is_counted[window] |= is_ready
            still_open = np.flatnonzero(~self._is_counted[window])
            self._first_open += int(still_open[0]) if len(still_open) else len(scores)
        return self._metrics.summary()

    def latencies_ms(self, shares: tuple[float, ...]) -> list[float]:
        """Percentiles of the time from the producer's send to the receipt, of all but the first event.

        That one is sent before the worker is up, so that its prediction says when the worker is.
        """
        return _percentiles(self._latency_ms[1 : self.sent_events], shares)

    def recent_latencies_ms(self, shares: tuple[float, ...]) -> list[float]:
        """The same of the last 20,000 events."""
        return _percentiles(self._latency_ms[max(1, self.sent_events - _RECENT) : self.sent_events], shares)

    def _make_room(self) -> None:
        while len(self._scores) < self._expected:
            self._scores = _doubled(self._scores, np.nan)
            self._latency_ms = _doubled(self._latency_ms, np.nan)
            self._is_known = _doubled(self._is_known, False)
            self._is_counted = _doubled(self._is_counted, False)


def baseline_of(summary: BinarySummary) -> Baseline:
    """The better of both baselines by ROC-AUC.

    No-change scores 0 or 1: its ROC-AUC is its balanced accuracy, its average precision has one step. The prior ranks
    nothing: 0.5, and the share of positives.
    """
    rate, repeat = summary.base_rate, summary.no_change
    if 0.0 < rate < 1.0 and repeat.balanced_accuracy > 0.5:
        return Baseline(
            "no-change", repeat.balanced_accuracy, repeat.recall * repeat.precision + (1 - repeat.recall) * rate
        )
    return Baseline("prior", 0.5, rate)


def _percentiles(values: Floats, shares: tuple[float, ...]) -> list[float]:
    known = values[~np.isnan(values)]
    return [float(value) for value in np.percentile(known, shares)] if len(known) else [NAN] * len(shares)


def _doubled(array: Place, empty: float | bool) -> Place:
    grown = np.full(2 * len(array), empty, array.dtype)
    grown[: len(array)] = array
    return grown
