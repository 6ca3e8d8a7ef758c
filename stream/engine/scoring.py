"""What a task does with events and labels: features, predictions, learning, drift. The last stage, or the only one."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np

from stream.engine.admission import admit
from stream.engine.alerts import AlertWriter
from stream.engine.counts import CycleCounts, label_outcomes, losses
from stream.engine.dead_letters import RECORD_OVERHEAD_BYTES, dead_letters
from stream.engine.effects import Observed, OutputBatch, Outputs
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.metrics import CycleMetrics
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.predictions import PredictionEncoder
from stream.engine.record_partitions import sampled_elsewhere
from stream.engine.source import Source
from stream.engine.state import LearnedState
from stream.engine.values import event_ids, targets, unusable
from stream.errors import ConfigError
from stream.models import Scored
from stream.records import Bools, ColumnBatch, Floats, Ints, RecordBatch, Rejection


class Scoring:
    """Scores events, and learns from labels.

    Args:
        plan: what to do.
        partition: of the task.
        format: where outputs go and in which format.

    Raises:
        ConfigError: predictions of this plan may be larger than the topics take.
    """

    def __init__(self, plan: Plan, partition: int, format: OutputFormat) -> None:
        self._plan = plan
        self._format = format
        events, labels = plan.events, plan.labels
        sources = [Source(events.topic, events.schema, events.wanted, events.framing)]
        if labels is not None:
            sources.append(Source(labels.topic, labels.schema, labels.wanted, labels.framing))
        self.sources: Mapping[str, Source] = {source.topic: source for source in sources}
        self.state = LearnedState(plan)
        self.partitions = 0  # of the event topic in the cycle at hand; 0 where not known
        self.observed: Observed | None = None
        self._predictions = PredictionEncoder(plan, format.topics.predictions, format.prediction_header, partition)
        _check_room(self._predictions.largest_bytes, format.max_record_bytes)
        self._alerts = AlertWriter(plan, partition, format.alert_header)
        self._counts = CycleCounts()

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """Handle records of one input partition, up to the first whose writer's schema is unknown."""
        is_event = batch.topic == self._plan.events.topic
        return self._process_events(batch, now_ms) if is_event else self._process_labels(batch, now_ms)

    def load(self, state: LearnedState) -> None:
        """Go on with another state."""
        self.state = state
        self._counts = self._counts_from_here()

    def end_cycle(self) -> CycleMetrics:
        """What the cycle did; the next one begins."""
        metrics = self._metrics()
        self._counts = self._counts_from_here()
        return metrics

    # --- events --------------------------------------------------------------------------------------------------

    def _process_events(self, batch: RecordBatch, now_ms: int) -> Outputs:
        plan, state = self._plan, self.state
        decoded = self.sources[batch.topic].decode(batch)
        taken = batch.part(0, decoded.end)
        admitted = admit(plan.events, taken, decoded.columns)
        columns, times = admitted.columns, admitted.times_ms
        offsets = taken.offsets[columns.rows]
        rejections = sorted((*decoded.rejections, *admitted.rejections), key=lambda rejection: rejection.row)
        labels, registered = np.full(len(columns), np.nan), None
        if plan.events.target is not None:
            labels = targets(plan.events.target, plan.problem, columns)
            self._counts.invalid_labels += unusable(plan.events.target, columns, labels)
        elif state.labels is not None and plan.events.event_id is not None:
            ids, has_id = event_ids(plan.events.event_id, columns)
            labels, registered = state.labels.register(ids, has_id, times)
        computed = state.features.compute(columns, times, labels)
        scored = [model.score_and_learn(computed.batch, labels) for model in state.models]
        scores = np.ascontiguousarray(np.concatenate([model.scores for model in scored], axis=1))
        if state.labels is not None and registered is not None:
            state.labels.keep(registered, computed.batch, computed.label_inputs, scores, offsets, times)
        self.observed = Observed(columns.rows, times, scores, labels)
        state.evaluation.observe(scores, labels)
        self._count(len(columns), rejections, labels)
        self._counts.undecided += int(np.isnan(scored[plan.decision.model].scores).any(axis=1).sum())
        found = state.monitoring.observe_events(computed.batch.dense, scores, labels, offsets, times)
        drifted = [(item.offset, self._alerts.drift(item, now_ms)) for item in found]
        shares = self._share_alerts(taken, rejections, columns.rows[admitted.has_other_key], now_ms)
        # In the order of the records that raised them, so that it does not depend on how the stream was cut.
        alerts = [alert for _, alert in sorted([*drifted, *shares], key=itemgetter(0))]
        predictions = self._encode(taken, columns, times, scored, now_ms)
        return Outputs(predictions, self._told(taken, alerts, rejections, now_ms), decoded.end, decoded.needs)

    def _encode(
        self, batch: RecordBatch, columns: ColumnBatch, times_ms: Ints, scored: Sequence[Scored], now_ms: int
    ) -> tuple[OutputBatch, ...]:
        if not len(columns):
            return ()
        return (self._predictions.encode(batch, columns, times_ms, scored, now_ms),)

    def _share_alerts(
        self, batch: RecordBatch, rejections: Sequence[Rejection], other_keys: Ints, now_ms: int
    ) -> list[tuple[int, EncodedRecord]]:
        """Alerts that too many records were rejected, carry another key than their field, or lie where their key does
        not belong, with their offsets."""
        is_rejected, has_other_key = np.zeros((2, len(batch)), np.bool_)
        is_rejected[[rejection.row for rejection in rejections]] = True
        has_other_key[other_keys] = True
        rejected = self.state.rejections.observe(is_rejected)
        mismatched = self.state.key_mismatches.observe(has_other_key)
        looked_at, is_elsewhere = self._sampled_elsewhere(batch)
        misplaced = self.state.other_partitions.observe(is_elsewhere)
        misplaced = [at._replace(row=int(looked_at[at.row])) for at in misplaced]
        return [
            *((int(batch.offsets[at.row]), self._alerts.rejections(batch, at, now_ms)) for at in rejected),
            *((int(batch.offsets[at.row]), self._alerts.key_mismatches(batch, at, now_ms)) for at in mismatched),
            *((int(batch.offsets[at.row]), self._alerts.other_partitions(batch, at, now_ms)) for at in misplaced),
        ]

    def _sampled_elsewhere(self, batch: RecordBatch) -> tuple[Ints, Bools]:
        """See `sampled_elsewhere`; without a key field nothing depends on where a record lies."""
        return sampled_elsewhere(batch, self.partitions if self._plan.events.key else 0)

    def _told(
        self, batch: RecordBatch, alerts: list[EncodedRecord], rejections: Sequence[Rejection], now_ms: int
    ) -> tuple[OutputBatch, ...]:
        """Alerts and dead letters as outputs."""
        topics, outputs = self._format.topics, []
        self._counts.alerts += len(alerts)
        if alerts:
            outputs.append(output_batch(topics.alerts, -1, alerts))
        if rejections:
            limit = self._format.max_record_bytes
            outputs.append(dead_letters(topics.dead_letters, self._plan.app, batch, rejections, now_ms, limit))
        return tuple(outputs)

    def _count(self, events: int, rejections: Sequence[Rejection], labels: Floats) -> None:
        self._counts.events += events
        self._counts.reject(rejections)
        self._counts.learned += int(np.count_nonzero(~np.isnan(labels)))

    # --- labels --------------------------------------------------------------------------------------------------

    def _process_labels(self, batch: RecordBatch, now_ms: int) -> Outputs:
        plan, state = self._plan, self.state
        assert plan.labels is not None and state.labels is not None
        decoded = self.sources[batch.topic].decode(batch)
        taken = batch.part(0, decoded.end)
        columns = decoded.columns
        values = targets(plan.labels.target, plan.problem, columns)
        ids, has_id = event_ids(plan.labels.event_id, columns)
        usable = np.flatnonzero(has_id & ~np.isnan(values))
        joined = state.labels.join(ids[usable], values[usable])
        state.features.learn_labels(joined.label_inputs, joined.targets)
        for model in state.models:
            model.learn(joined.features, joined.targets)
        state.evaluation.observe(joined.scores, joined.targets)
        self._count(0, decoded.rejections, joined.targets)
        self._counts.invalid_labels += len(columns) - len(usable)
        found = state.monitoring.observe_labels(joined.scores, joined.targets, joined.offsets, joined.times_ms)
        usable_rows = columns.rows[usable]
        learned_rows = usable_rows[joined.rows]
        drifted = [(int(learned_rows[item.detection.row]), self._alerts.drift(item, now_ms)) for item in found]
        lost = self._lost_label_alerts(taken, usable_rows, now_ms)
        alerts = [alert for _, alert in sorted([*drifted, *lost], key=itemgetter(0))]
        return Outputs((), self._told(taken, alerts, decoded.rejections, now_ms), decoded.end, decoded.needs)

    def _lost_label_alerts(self, batch: RecordBatch, usable_rows: Ints, now_ms: int) -> list[tuple[int, EncodedRecord]]:
        """Alerts that too many labels were rejected or say nothing usable, with the rows at which that was so."""
        is_lost = np.ones(len(batch), np.bool_)
        is_lost[usable_rows] = False
        found = self.state.lost_labels.observe(is_lost)
        return [(at.row, self._alerts.lost_labels(batch, at, now_ms)) for at in found]

    # --- counts --------------------------------------------------------------------------------------------------

    def _counts_from_here(self) -> CycleCounts:
        labels = self.state.labels.counts if self.state.labels else None
        return CycleCounts(labels_before=labels, losses_before=losses(self.state.features.metrics, labels))

    def _metrics(self) -> CycleMetrics:
        counts, state, names = self._counts, self.state, [item.name for item in self._plan.models]
        keyed, figures = state.features.metrics, state.evaluation.figures()
        labels = state.labels.counts if state.labels else None
        return CycleMetrics(
            events=counts.events,
            undecided=counts.undecided,
            rejections=dict(counts.rejections),
            labels=label_outcomes(counts.labels_before, labels, counts.invalid_labels),
            learned=dict.fromkeys(names, counts.learned),
            alerts=counts.alerts,
            losses=losses(keyed, labels).since(counts.losses_before),
            models={
                name: {**model.metrics(), **figures.get(name, {})}
                for name, model in zip(names, state.models, strict=True)
            },
            drift=state.monitoring.statistics(),
            state_bytes=state.state_bytes,
            state_keys=keyed.keys,
        )


def _check_room(prediction_bytes: int, max_record_bytes: int) -> None:
    """Rule 12: every event that is admitted has a prediction that its topic takes."""
    needed = prediction_bytes + RECORD_OVERHEAD_BYTES
    if needed > max_record_bytes:
        raise ConfigError(
            f"max_message_bytes: a prediction of this app may take {needed} bytes, which is more than "
            f"{max_record_bytes}. Raise it, and max.message.bytes of the output topics"
        )
