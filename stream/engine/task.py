"""The engine of one partition: batches in, outputs and effects out. It reads no clock and performs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import orjson

from stream.config import TopicNames
from stream.engine import journal
from stream.engine.admission import admit
from stream.engine.alerts import AlertWriter
from stream.engine.counts import CycleCounts, label_outcomes, losses
from stream.engine.dead_letters import RECORD_OVERHEAD_BYTES, dead_letters
from stream.engine.effects import Effects, Observed, OutputBatch, Outputs
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.image import StateImage
from stream.engine.input_topics import facts_of_topics
from stream.engine.journal import Backfill, JournalRecord, Range, SchemaAnswer
from stream.engine.metrics import CycleMetrics
from stream.engine.plan import Plan
from stream.engine.predictions import PredictionEncoder
from stream.engine.protocol import SchemaFetched, SchemaRefused, TopicIdentity
from stream.engine.record_partitions import sampled_elsewhere
from stream.engine.snapshot import Checkpoint
from stream.engine.source import Source, accepted_by
from stream.engine.state import LearnedState, LoadedState, load_state
from stream.engine.upgrade import Restored, facts_of
from stream.engine.values import event_ids, targets, unusable
from stream.errors import ConfigError
from stream.models import Scored
from stream.records import Bools, ColumnBatch, Floats, Ints, RecordBatch, Rejection, TopicPartition

_NOTHING = JournalRecord(0, "", "", 0, (), ())


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Where outputs go, and what stands before each: wire format and schema id; None writes JSON."""

    topics: TopicNames
    prediction_header: bytes | None
    alert_header: bytes | None
    max_record_bytes: int = 1_000_000  # largest record that the output topics take (the broker's default is 1,048,588)


class Task:
    """One partition's engine.

    Args:
        plan: what to do.
        partition: of the event topic, and of the label topic, journal and snapshots.
        epoch: how often this worker has owned the partition.
        format: where outputs go and in which format.

    Raises:
        ConfigError: predictions of this plan may be larger than the topics take.
    """

    def __init__(self, plan: Plan, partition: int, epoch: int, format: OutputFormat) -> None:
        self.partition = partition
        self.epoch = epoch
        self.plan_digest = plan.digest
        self.topics: Mapping[str, TopicIdentity] = {}  # the inputs as they are now, where known (rule 20)
        self._partitions = 0  # of the event topic in the cycle at hand: live as it is now, replayed as it was
        self._plan = plan
        self._format = format
        events, labels = plan.events, plan.labels
        self._sources = {events.topic: Source(events.topic, events.schema, events.wanted, events.framing)}
        if labels is not None:
            self._sources[labels.topic] = Source(labels.topic, labels.schema, labels.wanted, labels.framing)
        self.state = LearnedState(plan)
        self._predictions = PredictionEncoder(plan, format.topics.predictions, format.prediction_header, partition)
        _check_room(self._predictions.largest_bytes, format.max_record_bytes)
        self._alerts = AlertWriter(plan, partition, format.alert_header)
        self._next_offsets = dict.fromkeys(self.sources, 0)
        self._last = _NOTHING
        self._ranges: list[Range] = []
        self._schemas: list[SchemaAnswer] = []
        self._outputs: list[OutputBatch] = []
        self._counts = CycleCounts()
        self._needing = events.topic
        self.begun_ms: int | None = None  # when a backfill was begun that no cycle tells of yet
        self.backfill: Backfill | None = None  # how the task was told to begin; journaled with every cycle
        self.observed: Observed | None = None
        self.metrics = self._metrics()

    # --- what a task is ------------------------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[TopicPartition, ...]:
        """Its input partitions, the events' first."""
        return tuple(TopicPartition(topic, self.partition) for topic in self._sources)

    @property
    def cycle(self) -> int:
        """Number of the last closed cycle; 0 before the first."""
        return self._last.cycle

    @property
    def last_cycle(self) -> tuple[int, str]:
        """Number and digest of the last closed cycle."""
        return self._last.cycle, self._last.digest

    @property
    def has_open_cycle(self) -> bool:
        """True if records were handled since the last cycle was closed, or a backfill was begun."""
        return bool(self._ranges) or self.begun_ms is not None

    @property
    def cycle_outputs(self) -> tuple[OutputBatch, ...]:
        """Outputs of the open cycle that belong to its transaction."""
        return tuple(self._outputs)

    @property
    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """Where each input partition goes on."""
        return dict(self._next_offsets)

    # --- a cycle -------------------------------------------------------------------------------------------------

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """Handle records of one input partition, up to the first whose writer's schema is unknown.

        Args:
            batch: records behind the last ones of that partition.
            now_ms: processing time; it only stamps outputs.
        """
        if batch.topic == self._plan.events.topic:
            outputs = self._process_events(batch, now_ms)
        else:
            outputs = self._process_labels(batch, now_ms)
        if outputs.taken:
            first, last = int(batch.offsets[0]), int(batch.offsets[outputs.taken - 1])
            self._ranges.append(Range(batch.topic, batch.partition, first, last, outputs.taken, now_ms))
            self._next_offsets[TopicPartition(batch.topic, batch.partition)] = last + 1
        return outputs

    def keep_outputs(self, outputs: Sequence[OutputBatch]) -> None:
        """Keep outputs in hand until the cycle's commit is known (rule 9)."""
        self._outputs += outputs

    def answer_schema(self, answer: SchemaFetched | SchemaRefused) -> None:
        """Take the registry's answer to the need of the last `process`; it is journaled (rule 3)."""
        source, at = self._sources[self._needing], len(self._ranges)
        if isinstance(answer, SchemaFetched):
            self._schemas.append(source.accept(at, answer.schema_id, answer.schema))
        else:
            self._schemas.append(source.refuse(at, answer.schema_id, answer.reason, answer.message))

    def close_cycle(self) -> Effects:
        """End the open cycle: its outputs, offsets and journal record."""
        record = JournalRecord(
            cycle=self._last.cycle + 1,
            previous=self._last.digest,
            plan_digest=self.plan_digest,
            epoch=self.epoch,
            ranges=tuple(self._ranges),
            schemas=tuple(self._schemas),
            partitions=self._partitions,
            backfill=self.backfill,
        ).sealed()
        now_ms = self._ranges[-1].now_ms if self._ranges else self.begun_ms or 0
        encoded = EncodedRecord(None, journal.encode(record), None, now_ms)
        effects = Effects(
            partition=self.partition,
            outputs=tuple(self._outputs),
            journal_output=output_batch(self._format.topics.journal, self.partition, [encoded]),
            next_offsets=self.next_offsets,
            journal=record,
            epoch=self.epoch,
        )
        self._end_cycle(record)
        return effects

    # --- restore -------------------------------------------------------------------------------------------------

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on at these offsets."""
        self._next_offsets.update(offsets)

    def replay_schemas(self, record: JournalRecord, at: int) -> None:
        """Repeat the answers about schemas that came before range `at` of a journaled cycle, under its partitions."""
        self._partitions = record.partitions
        for answer in record.schemas:
            if answer.at == at:
                self._sources[answer.topic].repeat(answer)

    def close_replayed(self, record: JournalRecord) -> None:
        """End a cycle whose ranges were all replayed."""
        self._last = record
        self._ranges, self._schemas = [], []

    def end_replay(self) -> None:
        """All that was journaled is replayed: from here on it counts."""
        # The registry's address may have been put right since: what it refused is asked for anew (rule 3).
        self.forget_refusals()
        if events := self.topics.get(self._plan.events.topic):
            self._partitions = events.partitions
        self._end_cycle(self._last)

    def forget_refusals(self) -> None:
        """Ask the registry anew for schemas that it refused; what it answers is journaled (rule 3)."""
        for source in self._sources.values():
            source.forget_refusals()

    def checkpoint(self, created_ms: int, image: StateImage | None = None) -> Checkpoint:
        """A copy of the state at the end of the last cycle; what the image of it lacks is copied at once."""
        facts = facts_of(self._plan) | self.state.pickled() | facts_of_topics(self.topics)
        # Refusals stay out: an id that is any four bytes must not make every snapshot larger. So they end here for
        # this task as well, that what it relies on behind the snapshot stands behind it in the journal.
        self.forget_refusals()
        # Answers of the open cycle stay out: whoever loads this asks again, and journals them.
        journaled = [answer for answer in accepted_by(self._sources) if answer not in self._schemas]
        facts["schemas"] = orjson.dumps([[item.topic, item.schema_id, item.schema] for item in journaled]).decode()
        return Checkpoint(
            partition=self.partition,
            cycle=self._last.cycle,
            digest=self._last.digest,
            plan_digest=self.plan_digest,
            next_offsets=self.next_offsets,
            created_ms=created_ms,
            arrays=(image or StateImage(self.state)).finish(),
            facts=facts,
        )

    def load(self, checkpoint: Checkpoint, loaded: LoadedState | None = None) -> Restored:
        """Take over a checkpoint, loaded ahead or not; returns what starts anew because its definition changed."""
        loaded = loaded if loaded and loaded.checkpoint is checkpoint else load_state(self._plan, checkpoint)
        self.state = loaded.state
        self._counts = self._counts_from_here()
        for topic, schema_id, schema in orjson.loads(checkpoint.facts["schemas"]):
            if topic in self._sources:
                self._sources[topic].accept(0, schema_id, schema)
        self.start_at({source: at for source, at in checkpoint.next_offsets.items() if source in self._next_offsets})
        self._last = JournalRecord(checkpoint.cycle, "", checkpoint.plan_digest, self.epoch, (), (), checkpoint.digest)
        return loaded.restored

    # --- events --------------------------------------------------------------------------------------------------

    def _process_events(self, batch: RecordBatch, now_ms: int) -> Outputs:
        plan, state = self._plan, self.state
        decoded = self._sources[batch.topic].decode(batch)
        self._needing = batch.topic
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
        return sampled_elsewhere(batch, self._partitions if self._plan.events.key else 0)

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
        decoded = self._sources[batch.topic].decode(batch)
        self._needing = batch.topic
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

    # --- the end of a cycle --------------------------------------------------------------------------------------

    def _end_cycle(self, record: JournalRecord) -> None:
        self._last = record
        self.begun_ms = None
        self._ranges, self._schemas, self._outputs = [], [], []
        self.metrics = self._metrics()
        self._counts = self._counts_from_here()

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
