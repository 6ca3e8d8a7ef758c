"""A demo from its first event to its last: produce at the rate, consume what comes, show it."""

import time
from typing import Final

import psutil

from stream.cli.demo.figures import Figures
from stream.cli.demo.receiver import Receiver
from stream.cli.demo.scores import Scores, baseline_of
from stream.cli.demo.sender import Sender
from stream.cli.demo.stage import Stage
from stream.cli.demo.views import View
from stream.errors import StreamError

_FIRST_WITHIN_S: Final = 300.0  # a cold cache on a busy machine: twenty times what it usually takes
_LAST_WITHIN_S: Final = 30.0  # for what is on its way when the last event was sent
_TURN_S: Final = 0.005  # events are sent in slices of this length
_SHARES: Final = (50.0, 99.0)


class Performance:
    """The run of one demo on its stage.

    Args:
        stage: with its worker.
        sender: of the events.
        receiver: of what becomes of them.
        scores: which both tell.
        rate: events a second.
        seconds: how long.
    """

    def __init__(
        self, stage: Stage, sender: Sender, receiver: Receiver, scores: Scores, rate: float, seconds: float
    ) -> None:
        self._stage = stage
        self._sender = sender
        self._receiver = receiver
        self._scores = scores
        self._rate = rate
        self._seconds = seconds
        self._began_s = 0.0
        self._lasted_s = 0.0
        self._speed = _Speed()

    def wait_for_first_prediction(self) -> float:
        """Send one event while the worker starts; returns when its prediction came, in s since this process began."""
        self._sender.send(1)
        deadline = time.monotonic() + _FIRST_WITHIN_S
        while self._scores.predictions == 0:
            self._receiver.receive(0.1)
            self._stage.look_after_worker()
            if time.monotonic() > deadline:
                raise StreamError(f"no prediction within {_FIRST_WITHIN_S:.0f} s; {self._stage.folder} has the logs")
        began_s: float = psutil.Process().create_time()
        return time.time() - began_s

    def stream(self, view: View) -> None:
        """Send events at the rate until the time is over or the stream ends, then wait for what is on its way."""
        self._began_s, shown_s = time.monotonic(), 0.0
        sent_before = self._scores.sent_events
        while (elapsed_s := time.monotonic() - self._began_s) < self._seconds and not self._sender.is_done:
            due = sent_before + int(elapsed_s * self._rate) - self._scores.sent_events
            # A slice at most, so that the view and the consumer have their turn when the machine is too slow.
            self._sender.send(min(due, max(1, int(self._rate / 10))))
            self._receiver.receive(_TURN_S)
            shown_s = self._show(view, shown_s)
        self._sender.close()
        self._wait_for_last(view)
        self._lasted_s = time.monotonic() - self._began_s

    def result(self) -> Figures:
        """The figures of the whole run."""
        return self._figures(
            self._lasted_s, self._scores.predictions / self._lasted_s, self._scores.latencies_ms(_SHARES)
        )

    def _wait_for_last(self, view: View) -> None:
        deadline, shown_s = time.monotonic() + _LAST_WITHIN_S, 0.0
        while self._outstanding and time.monotonic() < deadline:
            self._receiver.receive(0.05)
            shown_s = self._show(view, shown_s)

    @property
    def _outstanding(self) -> int:
        scores = self._scores
        return scores.sent_records - scores.predictions - len(self._receiver.dead_letters)

    def _show(self, view: View, shown_s: float) -> float:
        """Show the figures if it is time to; returns when they were shown last."""
        now_s = time.monotonic()
        if now_s - shown_s < view.refresh_s:
            return shown_s
        self._stage.check_worker()
        speed = self._speed.of(now_s, self._scores.predictions)
        view.show(self._figures(now_s - self._began_s, speed, self._scores.recent_latencies_ms(_SHARES)))
        return now_s

    def _figures(self, elapsed_s: float, events_per_s: float, latencies_ms: list[float]) -> Figures:
        scores, summary = self._scores, self._scores.summary()
        return Figures(
            elapsed_s=elapsed_s,
            events=scores.sent_events,
            predictions=scores.predictions,
            events_per_s=events_per_s,
            p50_ms=latencies_ms[0],
            p99_ms=latencies_ms[1],
            judged=summary.count,
            roc_auc=summary.roc_auc.value,
            pr_auc=summary.pr_auc.value,
            baseline=baseline_of(summary),
            dead_letters=tuple(self._receiver.dead_letters),
            alerts=tuple(self._receiver.alerts),
            changed_at=scores.changed_at,
            partitions=self._stage.partitions,
        )


class _Speed:
    """Predictions a second, over the last seconds."""

    _OVER_S: Final = 3.0

    def __init__(self) -> None:
        self._counts: list[tuple[float, int]] = []

    def of(self, now_s: float, predictions: int) -> float:
        """The speed, now that there are so many."""
        self._counts = [item for item in self._counts if now_s - item[0] < self._OVER_S]
        self._counts.append((now_s, predictions))
        then_s, before = self._counts[0]
        return (predictions - before) / (now_s - then_s) if now_s > then_s else float("nan")
