"""The engine of one partition: batches in, outputs and effects out. It reads no clock and performs nothing."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from stream.engine import journal
from stream.engine.effects import Effects, Observed, OutputBatch, Outputs
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.image import StateImage
from stream.engine.input_topics import facts_of_topics
from stream.engine.journal import Backfill, JournalRecord, LostRows, Range, SchemaAnswer
from stream.engine.label_relay import LabelRelay
from stream.engine.metrics import Standing
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import RowsFetched, SchemaFetched, SchemaRefused, TopicIdentity
from stream.engine.relay import Relay
from stream.engine.restore import HOW_TO_RESET
from stream.engine.row_segments import digest_of
from stream.engine.scoring import Scoring
from stream.engine.snapshot import Checkpoint
from stream.engine.source import accepted_by
from stream.engine.state import LearnedState, LoadedState, load_state
from stream.engine.upgrade import Restored, facts_of
from stream.errors import TaskCorrupted
from stream.records import RecordBatch, TopicPartition

_NOTHING = JournalRecord(0, "", "", 0, (), ())


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
        self._plan = plan
        self._format = format
        self._work = _work_of(plan, partition, format)
        self._sources = self._work.sources
        self._next_offsets = dict.fromkeys(self.sources, 0)
        self._last = _NOTHING
        self._ranges: list[Range] = []
        self._schemas: list[SchemaAnswer] = []
        self._lost_rows: list[LostRows] = []
        self._outputs: list[OutputBatch] = []
        self._needing = plan.input_topic
        self.patience_ms = 10_000  # for how long labels wait for events of other stages when none come any more
        self.begun_ms: int | None = None  # when a backfill was begun that no cycle tells of yet
        self.backfill: Backfill | None = None  # how the task was told to begin; journaled with every cycle
        self.metrics = self._work.end_cycle()

    # --- what a task is ------------------------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[TopicPartition, ...]:
        """Its input partitions, the events' first."""
        return tuple(TopicPartition(topic, self.partition) for topic in self._sources)

    def is_out_of_order(self, topic: str) -> bool:
        """True if it handles what this topic brings in another order than it takes the records (rule 34)."""
        return self.state.stage.order is not None and topic == self._plan.input_topic

    @property
    def handed_on(self) -> frozenset[str]:
        """Those of its topics that stages before it write: nothing in them may be passed over."""
        return frozenset(self._plan.handed_on)

    @property
    def state(self) -> LearnedState:
        """What it has learned."""
        return self._work.state

    @property
    def observed(self) -> Observed | None:
        """What the last batch of events gave."""
        return self._work.observed

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
        return bool(self._ranges or self._lost_rows) or self.begun_ms is not None

    @property
    def cycle_outputs(self) -> tuple[OutputBatch, ...]:
        """Outputs of the open cycle that belong to its transaction."""
        return tuple(self._outputs)

    @property
    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """Where each input partition goes on."""
        return dict(self._next_offsets)

    def standing(self) -> Standing:
        """How it stands, its open cycle included."""
        return self._work.standing()

    # --- a cycle -------------------------------------------------------------------------------------------------

    def process(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """Handle records of one input partition, up to the first whose writer's schema is unknown.

        Args:
            batch: records behind the last ones of that partition.
            now_ms: processing time; it only stamps outputs.
        """
        outputs = self._work.process(batch, now_ms, self.backfill.emit_from_ms if self.backfill else None)
        self._needing = batch.topic
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

    def answer_rows(self, answer: RowsFetched) -> None:
        """Take what the last `process` needed; what is not there any more, or not what was written, is journaled."""
        for name in self._take_rows(answer):
            self.state.labels_kept.lose(name)
            self._lost_rows.append(LostRows(len(self._ranges), name))

    def repeat_rows(self, answer: RowsFetched) -> None:
        """Take what the last `process` needed in a replay; raises TaskCorrupted if it is not there any more."""
        for name in self._take_rows(answer):
            raise TaskCorrupted(
                f"{self._format.topics.features}[{self.partition}]: the features of the events from offset {name} on "
                "are gone, or are not those that were written, and the journal says that labels were learned with "
                f"them. Is the topic's retention.ms shorter than the horizon of labels? Reset the task ({HOW_TO_RESET})"
            )

    def _take_rows(self, answer: RowsFetched) -> Iterator[int]:
        """Take the segments that are what was written; gives the names of the others."""
        for name, content in answer.segments.items():
            wanted = self.state.labels_kept.digest(name)
            if content is not None and digest_of(content) == wanted:
                self._work.rows.put(name, content)
            elif wanted is not None:
                yield name

    def close_cycle(self) -> Effects:
        """End the open cycle: its outputs, offsets and journal record."""
        record = JournalRecord(
            cycle=self._last.cycle + 1,
            previous=self._last.digest,
            plan_digest=self.plan_digest,
            epoch=self.epoch,
            ranges=tuple(self._ranges),
            schemas=tuple(self._schemas),
            lost_rows=tuple(self._lost_rows),
            partitions=self._work.partitions,
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

    def repeat_answers(self, record: JournalRecord, at: int) -> None:
        """Repeat the answers that came before range `at` of a journaled cycle, under its partitions."""
        self._work.partitions = record.partitions
        for answer in record.schemas:
            if answer.at == at:
                self._sources[answer.topic].repeat(answer)
        for lost in record.lost_rows:
            if lost.at == at:
                self.state.labels_kept.lose(lost.name)

    def replay(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """As `process`, of records that were journaled: what left with them is not encoded again."""
        self._work.is_replaying = True
        try:
            return self.process(batch, now_ms)
        finally:
            self._work.is_replaying = False

    def close_replayed(self, record: JournalRecord) -> None:
        """End a cycle whose ranges were all replayed."""
        self._last = record
        self._ranges, self._schemas = [], []
        self._work.rows.end_cycle()

    def end_replay(self) -> None:
        """All that was journaled is replayed: from here on it counts."""
        # The registry's address may have been put right since: what it refused is asked for anew (rule 3).
        self.forget_refusals()
        if events := self.topics.get(self._plan.input_topic):
            self._work.partitions = events.partitions
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
        self._work.load(loaded.state)
        for topic, schema_id, schema in orjson.loads(checkpoint.facts["schemas"]):
            if topic in self._sources:
                self._sources[topic].accept(0, schema_id, schema)
        self.start_at({source: at for source, at in checkpoint.next_offsets.items() if source in self._next_offsets})
        self._last = JournalRecord(checkpoint.cycle, "", checkpoint.plan_digest, self.epoch, (), (), checkpoint.digest)
        return loaded.restored

    # --- the end of a cycle --------------------------------------------------------------------------------------

    def _end_cycle(self, record: JournalRecord) -> None:
        self._last = record
        self.begun_ms = None
        self._ranges, self._schemas, self._lost_rows, self._outputs = [], [], [], []
        self.metrics = self._work.end_cycle()


def _work_of(plan: Plan, partition: int, format: OutputFormat) -> Scoring | Relay | LabelRelay:
    if plan.leaves is None:
        return Scoring(plan, partition, format)
    return (LabelRelay if plan.leaves.is_of_labels else Relay)(plan, partition, format)
