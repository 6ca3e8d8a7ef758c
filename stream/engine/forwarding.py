"""What all stages before the last one have in common: they send on what they take, and count it."""

from collections.abc import Mapping, Sequence

from stream.engine.accepted import Accepted, FromUpstream
from stream.engine.alerts import AlertWriter
from stream.engine.counts import CycleCounts, losses
from stream.engine.dead_letters import dead_letters
from stream.engine.effects import Observed, OutputBatch
from stream.engine.encoded import output_batch
from stream.engine.metrics import CycleMetrics, Standing
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.rows_at_hand import RowsAtHand
from stream.engine.source import Source
from stream.engine.state import LearnedState
from stream.records import RecordBatch, Rejection


class Forwarding:
    """A stage that sends on.

    Args:
        plan: of the stage.
        partition: of the task.
        format: where outputs go and in which format.
    """

    def __init__(self, plan: Plan, partition: int, format: OutputFormat) -> None:
        self._plan = plan
        self._format = format
        events = plan.events
        self._source = Source(plan.input_topic, events.schema, events.wanted, events.framing)
        self.sources: Mapping[str, Source] = {plan.input_topic: self._source}
        self.state = LearnedState(plan)
        self.observed: Observed | None = None
        self.is_replaying = False  # then events, which were sent on before, are not encoded
        self._upstream = FromUpstream(plan, self._source, AlertWriter(plan, partition, format.alert_header))
        self.rows = RowsAtHand(())  # none wait here
        self._counts = self._counts_from_here()

    @property
    def partitions(self) -> int:
        """Of the event topic in the cycle at hand; 0 where not known."""
        return self._upstream.partitions

    @partitions.setter
    def partitions(self, count: int) -> None:
        self._upstream.partitions = count

    def load(self, state: LearnedState) -> None:
        """Go on with another state."""
        self.state = state
        self._counts = self._counts_from_here()

    def end_cycle(self) -> CycleMetrics:
        """What the cycle did; the next one begins."""
        counts = self._counts
        metrics = CycleMetrics(
            events=counts.events,
            undecided=0,
            rejections=dict(counts.rejections),
            labels={},
            learned={},
            alerts=counts.alerts,
            losses=losses(self.state.features.metrics, None).since(counts.losses_before),
        )
        self._counts = self._counts_from_here()
        return metrics

    def standing(self) -> Standing:
        """How it stands now: it has no models and no detectors."""
        return Standing({}, (), self.state.state_bytes, self.state.features.metrics.keys)

    def _counts_from_here(self) -> CycleCounts:
        return CycleCounts(losses_before=losses(self.state.features.metrics, None))

    def _told(self, accepted: Accepted, now_ms: int) -> list[OutputBatch]:
        """Alerts and dead letters."""
        told: list[OutputBatch] = []
        if accepted.alerts:
            alerts = [alert for _, alert in sorted(accepted.alerts, key=lambda item: item[0])]
            told.append(output_batch(self._format.topics.alerts, -1, alerts))
            self._counts.alerts += len(alerts)
        return told + [self._letters(each.batch, each.rejections, now_ms) for each in accepted.rejected]

    def _letters(self, batch: RecordBatch, rejections: Sequence[Rejection], now_ms: int) -> OutputBatch:
        self._counts.reject(rejections)
        topics, limit = self._format.topics, self._format.max_record_bytes
        return dead_letters(topics.dead_letters, self._plan.app, batch, rejections, now_ms, limit)
