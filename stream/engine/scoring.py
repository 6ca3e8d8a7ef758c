"""What a task does with events and labels: features, predictions, learning, drift. The last stage, or the only one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from stream.engine.accepted import Accepted, FromStage, FromUpstream, Rejected
from stream.engine.alerts import AlertWriter
from stream.engine.counts import CycleCounts, label_outcomes, losses
from stream.engine.dead_letters import RECORD_OVERHEAD_BYTES, dead_letters
from stream.engine.effects import Observed, OutputBatch, Outputs
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.learned_labels import LabelsBack
from stream.engine.metrics import CycleMetrics, Standing
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.predictions import PredictionEncoder
from stream.engine.row_segments import Sealed
from stream.engine.rows_at_hand import WANTED_AT_ONCE, RowsAtHand, rows_output
from stream.engine.source import Source
from stream.engine.state import LearnedState
from stream.engine.upgrade import score_digests
from stream.engine.values import event_ids, targets, unusable
from stream.errors import ConfigError
from stream.models import Scored
from stream.records import ColumnBatch, Floats, Ints, RecordBatch


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
        sources = [Source(plan.input_topic, events.schema, events.wanted, events.framing)]
        if labels is not None:
            sources.append(Source(labels.topic, labels.schema, labels.wanted, labels.framing))
        self.sources: Mapping[str, Source] = {source.topic: source for source in sources}
        self.state = LearnedState(plan)
        self.observed: Observed | None = None
        self.is_replaying = False  # then predictions, which nobody would get, are not encoded
        self._predictions = PredictionEncoder(plan, format.topics.predictions, format.prediction_header, partition)
        _check_room(self._predictions.largest_bytes, format.max_record_bytes)
        self._alerts = AlertWriter(plan, partition, format.alert_header)
        self._way_in = (
            FromUpstream(plan, sources[0], self._alerts)
            if plan.arrives is None
            else FromStage(plan, sources[0], partition)
        )
        self._counts = CycleCounts()
        self._features_output = (format.topics.features, partition)
        self.rows = RowsAtHand(score_digests(plan))
        self._back = LabelsBack(plan.sent_back, partition)

    @property
    def partitions(self) -> int:
        """Of the event topic in the cycle at hand; 0 where not known."""
        return self._way_in.partitions

    @partitions.setter
    def partitions(self, count: int) -> None:
        self._way_in.partitions = count

    def process(self, batch: RecordBatch, now_ms: int, emit_from_ms: int | None) -> Outputs:
        """Handle records of one input partition, up to the first whose writer's schema is unknown.

        Events of another stage leave their order on the way, and those from before a backfill's outputs begin lie
        among others: outputs of records from before `emit_from_ms` are then left out here.
        """
        if batch.topic != self._plan.input_topic:
            return self._process_labels(batch, now_ms)
        is_among_others = self._plan.arrives is not None and emit_from_ms is not None
        accepted = self._way_in.take(batch, self.state, now_ms)
        return self._process_events(accepted, now_ms, emit_from_ms if is_among_others else None)

    def load(self, state: LearnedState) -> None:
        """Go on with another state."""
        self.state = state
        self._counts = self._counts_from_here()

    def end_cycle(self) -> CycleMetrics:
        """What the cycle did; the next one begins."""
        metrics = self._metrics()
        self._counts = self._counts_from_here()
        self.rows.end_cycle()
        return metrics

    def standing(self) -> Standing:
        """How it stands now."""
        state, figures = self.state, self.state.evaluation.figures()
        return Standing(
            models={
                item.name: {**model.metrics(), **figures.get(item.name, {})}
                for item, model in zip(self._plan.models, state.models, strict=True)
            },
            drift=state.monitoring.statistics(),
            state_bytes=state.state_bytes,
            state_keys=state.features.metrics.keys,
        )

    # --- events --------------------------------------------------------------------------------------------------

    def _process_events(self, accepted: Accepted, now_ms: int, emit_from_ms: int | None) -> Outputs:
        plan, state = self._plan, self.state
        columns, times = accepted.columns, accepted.times_ms
        offsets = accepted.batch.offsets[columns.rows]
        labels, registered = np.full(len(columns), np.nan), None
        sealed: tuple[Sealed, ...] = ()
        if plan.events.target is not None:
            labels = targets(plan.events.target, plan.problem, columns)
            self._counts.invalid_labels += unusable(plan.events.target, columns, labels)
        elif state.labels is not None and plan.events.event_id is not None:
            ids, has_id = event_ids(plan.events.event_id, columns)
            labels, registered = state.labels.register(ids, has_id, times)
        computed = state.features.compute(columns, times, labels)
        scored = [model.score_and_learn(computed.batch, labels) for model in state.models]
        scores = np.ascontiguousarray(np.concatenate([model.scores for model in scored], axis=1))
        keys = self._back.keys(columns)
        if state.labels is not None and registered is not None:
            inputs = np.concatenate([computed.label_inputs, keys], axis=1)
            sealed = state.labels.keep(registered, computed.batch, inputs, scores, offsets, times)
            self.rows.seal(sealed)
        self.observed = Observed(offsets, times, computed.batch, scores, labels)
        state.evaluation.observe(scores, labels)
        self._count(len(columns), labels)
        self._counts.undecided += int(np.isnan(scored[plan.decision.model].scores).any(axis=1).sum())
        found = state.monitoring.observe_events(computed.batch.dense, scores, labels, offsets, times)
        drifted = [(item.offset, self._alerts.drift(item, now_ms)) for item in found]
        found_at, rejected = [*drifted, *accepted.alerts], accepted.rejected
        predictions, measured = self._encode(accepted.batch, columns, times, scored, now_ms), accepted.batch
        if emit_from_ms is not None:
            is_new = measured.timestamps_ms >= emit_from_ms
            predictions = tuple(each.chosen(is_new[columns.rows]) for each in predictions)
            measured = measured.chosen(np.flatnonzero(is_new))
            found_at = [item for item in found_at if item[0] in measured.offsets]
            new = [each.since(emit_from_ms) for each in rejected]
            rejected = tuple(each for each in new if each.rejections)
        # In the order of the records that raised them, so that it does not depend on how the stream was cut.
        alerts = [alert for _, alert in sorted(found_at, key=itemgetter(0))]
        told = self._told(alerts, rejected, now_ms)
        rows = rows_output(*self._features_output, sealed, now_ms)
        back = self._sent_back(keys, labels, offsets, accepted.batch.timestamps_ms[columns.rows])
        return Outputs(predictions, told, accepted.taken, accepted.needs, back, measured, rows)

    def _encode(
        self, batch: RecordBatch, columns: ColumnBatch, times_ms: Ints, scored: Sequence[Scored], now_ms: int
    ) -> tuple[OutputBatch, ...]:
        if self.is_replaying or not len(columns):
            return ()
        return (self._predictions.encode(batch, columns, times_ms, scored, now_ms),)

    def _told(self, alerts: list[EncodedRecord], rejected: Sequence[Rejected], now_ms: int) -> tuple[OutputBatch, ...]:
        """Alerts and dead letters as outputs."""
        topics, limit, outputs = self._format.topics, self._format.max_record_bytes, []
        self._counts.alerts += len(alerts)
        if alerts:
            outputs.append(output_batch(topics.alerts, -1, alerts))
        for each in rejected:
            self._counts.reject(each.rejections)
            outputs.append(
                dead_letters(topics.dead_letters, self._plan.app, each.batch, each.rejections, now_ms, limit)
            )
        return tuple(outputs)

    def _count(self, events: int, labels: Floats) -> None:
        self._counts.events += events
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
        segments = self.rows.segments
        ready, missing = state.labels.missing(ids[usable], segments, WANTED_AT_ONCE)
        if missing:
            before = self._process_labels(batch.part(0, int(columns.rows[usable[ready]])), now_ms)
            return replace(before, needs_rows=missing)
        joined = state.labels.join(ids[usable], values[usable], segments)
        inputs, keys = np.split(joined.label_inputs, [plan.features.label_inputs], axis=1)
        state.features.learn_labels(np.ascontiguousarray(inputs), joined.targets)
        for model in state.models:
            model.learn(joined.features, joined.targets)
        state.evaluation.observe(joined.scores, joined.targets)
        self._count(0, joined.targets)
        self._counts.invalid_labels += len(columns) - len(usable)
        found = state.monitoring.observe_labels(joined.scores, joined.targets, joined.offsets, joined.times_ms)
        usable_rows = columns.rows[usable]
        learned_rows = usable_rows[joined.rows]
        drifted = [(int(learned_rows[item.detection.row]), self._alerts.drift(item, now_ms)) for item in found]
        lost = self._lost_label_alerts(taken, usable_rows, now_ms)
        alerts = [alert for _, alert in sorted([*drifted, *lost], key=itemgetter(0))]
        rejected = (Rejected(taken, decoded.rejections),) if decoded.rejections else ()
        back = self._sent_back(keys, joined.targets, joined.offsets, taken.timestamps_ms[learned_rows])
        return Outputs((), self._told(alerts, rejected, now_ms), decoded.end, decoded.needs, back)

    def _sent_back(self, keys: Ints, targets: Floats, offsets: Ints, timestamps_ms: Ints) -> tuple[OutputBatch, ...]:
        """What was learned (NaN: nothing) for the stages that count labels."""
        if self.is_replaying or not self._plan.sent_back:
            return ()
        known = np.flatnonzero(~np.isnan(targets))
        return self._back.seal(keys[known], targets[known], offsets[known], timestamps_ms[known])

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
        counts, labels = self._counts, self.state.labels.counts if self.state.labels else None
        return CycleMetrics(
            events=counts.events,
            undecided=counts.undecided,
            rejections=dict(counts.rejections),
            labels=label_outcomes(counts.labels_before, labels, counts.invalid_labels),
            learned={item.name: counts.learned for item in self._plan.models},
            alerts=counts.alerts,
            losses=losses(self.state.features.metrics, labels).since(counts.losses_before),
        )


def _check_room(prediction_bytes: int, max_record_bytes: int) -> None:
    """Rule 12: every event that is admitted has a prediction that its topic takes."""
    needed = prediction_bytes + RECORD_OVERHEAD_BYTES
    if needed > max_record_bytes:
        raise ConfigError(
            f"max_message_bytes: a prediction of this app may take {needed} bytes, which is more than "
            f"{max_record_bytes}. Raise it, and max.message.bytes of the output topics"
        )
