"""A task's place in a worker: its state, what was fetched for it, and its replay."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from stream.engine.effects import OutputBatch, Outputs
from stream.engine.fetched import drop, front
from stream.engine.following import found_backfill, newest_cycle, next_cycles, past_or_not, standing_at, stands_in
from stream.engine.image import StateImage
from stream.engine.journal import Backfill
from stream.engine.lifecycle import TaskState, transition
from stream.engine.pacing import Pacing
from stream.engine.protocol import (
    FetchRows,
    FindTask,
    Instruction,
    Pause,
    Resume,
    RowsFetched,
    SchemaFetched,
    SchemaRefused,
    SnapshotPublished,
    TaskFound,
)
from stream.engine.restore import HOW_TO_RESET, Beginning, Replay, find_beginning
from stream.engine.snapshot import Checkpoint
from stream.engine.task import Task
from stream.engine.upgrade import Restored
from stream.errors import TaskCorrupted
from stream.records import RecordBatch, TopicPartition

# Records fetched and not yet handled, per partition, at which fetching pauses; it goes on at half of it. Two slices of
# 50 ms at a million events/s.
_QUEUED_RECORDS = 100_000


class Slot:
    """One task of a worker.

    Args:
        task: the engine of the partition, empty.
        ready_after: number of the transaction that must be over before this task's outputs may be produced (rule 7).
    """

    def __init__(self, task: Task, ready_after: int) -> None:
        self.task = task
        self.ready_after = ready_after
        self.state = TaskState.CREATED
        self.served = 0
        self.snapshot_ms = 0
        self.handled: RecordBatch | None = None  # live records of the last `handle`, but for a backfill's past
        self.taken = 0  # records that the last `handle` took, live or replayed
        self.restored = Restored((), 0)  # what starts anew, and is worth telling
        self._queues: dict[TopicPartition, deque[RecordBatch]] = {source: deque() for source in task.sources}
        self._next_offsets: dict[TopicPartition, int] = {}  # behind what was fetched
        self._paused: set[TopicPartition] = set()
        self._pacing = Pacing(task, self._queues)
        self._awaited_schema: int | None = None
        self._awaited_rows: frozenset[int] = frozenset()  # names of segments
        self._replay = Replay(())
        self._snapshot_cycle = 0
        self._image: StateImage | None = None  # of the state, for the next checkpoint
        self._has_run = False
        self._newest = (0, "")  # of a followed task: cycle and digest of the last one that is known
        self._warm: tuple[int, str] | None = None  # of one that was claimed: the last cycle that was replayed whole
        self.held_back = ""  # why nothing live is taken for now (rule 20)
        self._published: deque[int] = deque(maxlen=2)  # cycles of the snapshots that are stored
        self.unusable_snapshot = ""  # digest of the one that was being loaded when the task turned out corrupt

    def begin(
        self, found: TaskFound, offset_reset: str, now_ms: int, backfill: Backfill | None = None
    ) -> Mapping[TopicPartition, int]:
        """Load the state that Kafka remembers; returns where fetching begins.

        Raises:
            TaskCorrupted: it cannot be rebuilt; if `unusable_snapshot` is set, perhaps from another snapshot.
        """
        if self.is_warm:
            return self._take_over(found, now_ms)
        beginning = self._beginning(found, offset_reset, backfill)
        self._load(beginning, found, now_ms)
        self._move(TaskState.RESTORING)
        self._finish_replayed()
        if beginning.backfill is not None and not found.journal:
            self.task.begun_ms = now_ms  # its first cycle says how, even without records: from then on it holds
        return beginning.starts

    def _beginning(self, found: TaskFound, offset_reset: str = "", backfill: Backfill | None = None) -> Beginning:
        """As these say, or, of a task that was begun by another worker, as its journal does."""
        task = self.task
        backfill = backfill if offset_reset else found_backfill(found)
        offset_reset = offset_reset or "earliest"
        return find_beginning(found, task.sources, task.plan_digest, offset_reset, backfill, task.handed_on)

    def _load(self, beginning: Beginning, found: TaskFound, now_ms: int) -> None:
        self.task.backfill = beginning.backfill
        if beginning.checkpoint is not None:
            self.unusable_snapshot = beginning.checkpoint.digest
            self.restored = self.task.load(beginning.checkpoint, found.loaded)
            self.unusable_snapshot = ""
            self._snapshot_cycle = beginning.checkpoint.cycle
        new = beginning.starts.keys() - (beginning.checkpoint.next_offsets.keys() if beginning.checkpoint else set())
        self.task.start_at({source: beginning.starts[source] for source in new})
        self.task.topics = found.topics
        self.snapshot_ms = now_ms
        self._next_offsets = dict(beginning.starts)
        self._pacing.begin(beginning.starts, found.ends, now_ms)
        self._replay = Replay(beginning.replay)

    def follow(self, found: TaskFound, now_ms: int) -> Mapping[TopicPartition, int]:
        """Load the state of another worker's task, as `begin` does; raises StreamError if it cannot be followed now."""
        beginning = self._beginning(found)
        self._load(beginning, found, now_ms)
        self._newest = newest_cycle(found)
        self._move(TaskState.STANDBY)
        self._finish_replayed()
        return beginning.starts

    def extend_replay(self, records: Sequence[bytes]) -> None:
        """The owner of a followed task has committed these cycles, some of which may be known.

        Raises TaskCorrupted where they do not follow those, or are another plan's.
        """
        new = next_cycles(records, self._newest, self.task.plan_digest, self.task.partition)
        self._replay.extend(new)
        if new:
            self._newest = (new[-1].cycle, new[-1].digest)
        self._finish_replayed()

    def claim(self, epoch: int, ready_after: int) -> FindTask:
        """The followed task was assigned to this worker. What is fetched comes from elsewhere now."""
        self.task.epoch, self.ready_after = epoch, ready_after
        self._clear()
        self._paused.clear()
        self._awaited_rows = frozenset()  # they are asked for once more
        self._move(TaskState.CREATED)
        self._warm = self.task.last_cycle
        return FindTask(self.task.partition, warm=(self._warm, self._newest))

    @property
    def is_warm(self) -> bool:
        """True between `claim` and `begin`, which takes the state over."""
        return self._warm is not None and not self.has_begun

    @property
    def has_begun(self) -> bool:
        """True once it is known what Kafka remembers of the task."""
        return self.state is not TaskState.CREATED

    def enqueue(self, batch: RecordBatch, now_ms: int) -> list[Instruction]:
        """Take fetched records; pauses their partition when enough wait."""
        source = TopicPartition(batch.topic, batch.partition)
        if self.state not in (TaskState.STANDBY, TaskState.RESTORING, TaskState.RUNNING) or not len(batch):
            return []
        self._check_goes_on(source, batch)
        self._queues[source].append(batch)
        self._pacing.came(source, self._next_offsets[source], now_ms)
        if source in self._paused or self.queued(source) < _QUEUED_RECORDS:
            return []
        self._paused.add(source)
        return [Pause(source)]

    def _check_goes_on(self, source: TopicPartition, batch: RecordBatch) -> None:
        """What was handed over before must not be learned from again, whoever hands it over."""
        goes_on = np.diff(batch.offsets, prepend=self._next_offsets[source] - 1) > 0
        if not goes_on.all():
            came, wanted = batch.offsets[np.argmin(goes_on)], self._next_offsets[source]
            raise TaskCorrupted(
                f"{source.topic}[{source.partition}]: offset {came} was handed over where {wanted} was wanted; nothing "
                "of it was handled. This is a defect: report it"
            )
        self._next_offsets[source] = int(batch.offsets[-1]) + 1

    def queued(self, source: TopicPartition) -> int:
        """Records of this partition that were fetched and not yet handled."""
        return sum(len(batch) for batch in self._queues[source])

    def answer_schema(self, answer: SchemaFetched | SchemaRefused) -> None:
        """Go on if this answer was awaited."""
        if self._awaited_schema == answer.schema_id:
            self.task.answer_schema(answer)
            self._awaited_schema = None

    def answer_rows(self, answer: RowsFetched) -> list[Instruction]:
        """Go on if rows were awaited; raises TaskCorrupted if they are gone and the journal says what they taught."""
        if self._awaited_rows and self._awaited_rows == answer.segments.keys():  # or it answers a slot of before
            self._awaited_rows = frozenset()
            (self.task.answer_rows if self.state is TaskState.RUNNING else self.task.repeat_rows)(answer)
        return []

    def has_work(self, now_ms: int) -> bool:
        """True if `handle` would handle records."""
        if self._awaited_schema is not None or self._awaited_rows:
            return False
        if self.state in (TaskState.STANDBY, TaskState.RESTORING):
            item = self._replay.range
            return item is not None and bool(self._queues[item.source])
        if self.state is not TaskState.RUNNING or self.held_back:
            return False
        return any(self._queues.values()) and not self._pacing.must_wait(now_ms)

    @property
    def waiting_for_order(self) -> int | None:
        """Events that wait for earlier ones (rule 34); None where none can."""
        order = self.task.state.stage.order
        return None if order is None else order.waiting

    @property
    def restored_share(self) -> float:
        """Share of the journal that is replayed, 0 to 1; 0 until it is known what there is to replay."""
        if self.state is TaskState.CREATED:
            return 0.0
        return self._replay.done / self._replay.total if self._replay.total else 1.0

    @property
    def records_behind(self) -> int:
        """Records of committed cycles that are still to be replayed, as far as they are known."""
        return self._replay.total - self._replay.done

    def handle(self, now_ms: int, records: int) -> tuple[Outputs | None, list[Instruction]]:
        """Handle at most `records` records: live ones give outputs, replayed ones none."""
        if self.state in (TaskState.STANDBY, TaskState.RESTORING):
            return None, self._handle_replay(records)
        source = self._pacing.next_source(now_ms)
        batch = front(self._queues[source], records)
        batch = batch.part(0, min(records, self._pacing.until_others(source, batch, now_ms)))
        is_among_others = self.task.is_out_of_order(batch.topic)
        batch, is_past = past_or_not(batch, None if is_among_others else self.task.backfill)
        outputs = self.task.process(batch, now_ms)
        if is_past:
            outputs = replace(outputs, predictions=(), transactional=())
        self.taken = outputs.taken
        self.handled = None if is_past else outputs.measured or batch.part(0, outputs.taken)
        drop(self._queues[source], outputs.taken)
        self._awaited_schema = outputs.needs_schema
        return outputs, [*self._resume_if_low(source), *self._fetch_rows(outputs)]

    @property
    def slice_records(self) -> int | None:
        """Most records that `handle` may take while an image of the state is being made; None otherwise."""
        return self._image.slice_records if self._image else None

    def copy_ahead(self, most_bytes: int) -> int:
        """Go on with the image that the next checkpoint is made of, if it was begun; returns the bytes copied."""
        return self._image.copy(most_bytes) if self._image else 0

    def checkpoint_if_near(self, now_ms: int, most_bytes: int) -> Checkpoint | None:
        """The task's state at the end of its last cycle; None, and `copy_ahead` begins, where more is to be copied."""
        self._image = self._image or StateImage(self.task.state)
        return self.checkpoint(now_ms) if self._image.remaining_bytes <= most_bytes else None

    def checkpoint(self, now_ms: int) -> Checkpoint:
        """The task's state at the end of its last cycle."""
        self.snapshot_ms, self._snapshot_cycle = now_ms, self.task.cycle
        image, self._image = self._image, None
        return self.task.checkpoint(now_ms, image)

    def published(self, answer: SnapshotPublished) -> None:
        """A snapshot is stored, or was not."""
        if not answer.error:
            self._published.append(answer.cycle)
        elif answer.cycle == self._snapshot_cycle:
            self._snapshot_cycle = 0  # there is none of this cycle

    @property
    def wants_snapshots(self) -> bool:
        """True if the task is held back, and not both of its snapshots are of its last cycle: no other could help."""
        is_held_back = bool(self.held_back) and self.state is TaskState.RUNNING
        return is_held_back and list(self._published) != [self.task.cycle] * 2

    @property
    def has_open_cycle(self) -> bool:
        """True if there is something to commit: what is being replayed was committed before."""
        return self._has_run and self.task.has_open_cycle

    @property
    def is_ahead_of_snapshot(self) -> bool:
        """True if cycles were committed since the last snapshot, and none is open."""
        return self._has_run and not self.task.has_open_cycle and self.task.cycle > self._snapshot_cycle

    @property
    def open_outputs(self) -> tuple[OutputBatch, ...]:
        """What the open cycle has put into its transaction."""
        return self.task.cycle_outputs if self.has_open_cycle else ()

    def suspend(self) -> None:
        """Take nothing more; the open cycle may still be committed."""
        if self.state not in (TaskState.SUSPENDED, TaskState.FAILED):
            self._move(TaskState.SUSPENDED)
        self._clear()

    def fail(self) -> None:
        """Take nothing more, and commit nothing either."""
        self._move(TaskState.FAILED)
        self._has_run, self._image = False, None
        self._clear()

    def close(self) -> None:
        """Nothing of the task may leave any more."""
        self._move(TaskState.CLOSED)

    def _take_over(self, found: TaskFound, now_ms: int) -> Mapping[TopicPartition, int]:
        """Go on with the followed state, in the midst of a cycle where it is there."""
        assert self._warm is not None
        if not stands_in(found, (self._warm, self._newest)):
            raise TaskCorrupted(f"cycle {self._newest[0]}, which was followed, is not one of those that are committed")
        standing = standing_at(self._warm, self.task)
        whole = replace(found, checkpoints=(standing,))
        beginning = self._beginning(whole)
        self.task.backfill = beginning.backfill
        self._replay = self._replay.resumed(beginning.replay)
        self._snapshot_cycle, self.snapshot_ms = 0, now_ms  # its owner's last ones are older, or unknown
        starts = {source: max(at, self.task.next_offsets[source]) for source, at in beginning.starts.items()}
        self._next_offsets = dict(starts)
        self._pacing.begin(starts, found.ends, now_ms)
        self._move(TaskState.RESTORING)
        self._finish_replayed()
        return starts

    def _clear(self) -> None:
        for queue in self._queues.values():
            queue.clear()

    def _move(self, to: TaskState) -> None:
        self.state = transition(self.state, to)

    def _handle_replay(self, records: int) -> list[Instruction]:
        replay = self._replay
        item = replay.range
        assert item is not None and replay.record is not None
        if replay.at_range_start is not None:
            self.task.repeat_answers(replay.record, replay.at_range_start)
        batch = self._queues[item.source][0]
        batch = batch.part(0, replay.wanted(min(records, len(batch))))
        outputs = self.task.replay(batch, item.now_ms)
        if outputs.needs_schema is not None:
            raise TaskCorrupted(
                f"{item.topic}[{item.partition}]: record {int(batch.offsets[outputs.taken])} is of the schema "
                f"{outputs.needs_schema}, and neither snapshot nor journal says what that is. Reset the task "
                f"({HOW_TO_RESET})"
            )
        self.taken = outputs.taken
        for record in replay.take(batch.offsets[: outputs.taken]) if outputs.taken else ():
            self.task.close_replayed(record)
        drop(self._queues[item.source], outputs.taken)
        self._finish_replayed()
        return [*self._resume_if_low(item.source), *self._fetch_rows(outputs)]

    def _fetch_rows(self, outputs: Outputs) -> list[Instruction]:
        """Ask for the rows that labels want; until they are here the task waits (rule 36)."""
        self._awaited_rows = frozenset(outputs.needs_rows)
        return [FetchRows(self.task.partition, outputs.needs_rows)] if outputs.needs_rows else []

    def _finish_replayed(self) -> None:
        """Close cycles whose ranges are replayed; run when there is none left, unless the task is another's."""
        while self._replay.record is not None and self._replay.range is None:
            self.task.repeat_answers(self._replay.record, len(self._replay.record.ranges))
            self.task.close_replayed(self._replay.finish_cycle())
        if self._replay.record is None and self.state is TaskState.RESTORING:
            self.task.end_replay()
            self._move(TaskState.RUNNING)
            self._has_run = True

    def _resume_if_low(self, source: TopicPartition) -> list[Instruction]:
        if source not in self._paused or self.queued(source) > _QUEUED_RECORDS // 2:
            return []
        self._paused.discard(source)
        return [Resume(source)]
