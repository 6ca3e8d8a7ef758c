"""A worker's clients on a simulated broker: performs instructions one small step at a time, as its threads would."""

import random
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from stream.engine.effects import OutputBatch
from stream.engine.protocol import (
    Abort,
    Commit,
    CommitOutcome,
    CommitReturned,
    Event,
    Fetch,
    Fetched,
    FetchRows,
    FetchSchema,
    FindTask,
    Follow,
    Following,
    Instruction,
    JournalGrew,
    Lost,
    Pause,
    Produce,
    PublishSnapshot,
    Release,
    Resume,
    Revoked,
    SchemaRefused,
    Send,
    SnapshotPublished,
    StandbyFound,
    Stop,
    StopTask,
    TaskFound,
    Unfollow,
)
from stream.engine.snapshot import Checkpoint
from stream.records import RejectReason, TopicPartition
from stream.testing.broker import TransactionOver
from stream.testing.partition_log import Transaction, stored_records
from stream.testing.stage import SimulatedStage

# The journal's end when a snapshot is published lies before the next one's cycle; two snapshots are kept.
_ENDS_KEPT = 3

_Answer = TypeVar("_Answer")
# What a thread does: it yields where it may be interrupted for any length of time, and returns its answer.
Job = Generator[None, None, _Answer]


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things go wrong at a worker's clients, each from 0 to 1."""

    lost_answer: float = 0.0  # a commit whose answer never comes
    lost_send: float = 0.0  # a batch outside a transaction that does not arrive
    failed_snapshot: float = 0.0
    wrong_refusal: float = 0.0  # a registry that says it has no such schema, as a replica that lags behind does
    other_standbys: float = 0.0  # a description of the group, by which other tasks are to be followed


class Connection:
    """See the module's text. Dropping it is a crash: what was not performed never is.

    Args:
        stage: what outlives it: broker, group, and what is remembered of tasks.
        transactional_id: of this worker's slot (rule 6).
        draw: decides what happens next and what goes wrong.
        chances: of what goes wrong.
        clock: gives now, in ms.
        unsendable: keys of records that the broker refuses, as it does those that are too large.
    """

    def __init__(
        self,
        stage: SimulatedStage,
        transactional_id: str,
        draw: random.Random,
        chances: Chances,
        clock: Callable[[], int],
        unsendable: Collection[bytes] = (),
    ) -> None:
        self.stage, self.broker, self._group = stage, stage.broker, stage.group
        self.draw, self._clock = draw, clock
        self.chances = chances
        self.transactional_id = transactional_id
        self._unsendable = unsendable
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._committing: deque[Job[Event | None]] = deque()
        self._sending: deque[tuple[OutputBatch, ...]] = deque()
        self._asking: list[Job[Event | None]] = []  # looking for tasks and schemas, publishing: in no order
        self._requests: dict[int, object] = {}  # FindTask and Follow asked for and not answered, by partition
        self._journals: dict[int, int] = {}  # of followed tasks: where reading goes on
        self._open: tuple[int, Transaction] | None = None
        self._begun: tuple[int, int] = (0, 0)  # the newest transaction and the generation it began in
        self._has_lost_send = False
        self._was_refused = False  # a record of the open transaction
        self._was_send_refused = False  # a record that left outside it: the next commit tells, an abort does not
        self._ends: dict[int, deque[tuple[str, int]]] = {}  # digest of each snapshot, and the journal's end before
        self._revoking: frozenset[int] = frozenset()
        self.stopped: Stop | None = None
        self.broker.init_transactions(transactional_id, self)
        self._group.join(self, clock())

    # --- what happens --------------------------------------------------------------------------------------------

    @property
    def is_revoking(self) -> bool:
        """True inside a revocation: the worker neither polls nor works until it has released (rule 16)."""
        return bool(self._revoking)

    @property
    def is_busy(self) -> bool:
        """True while something asked for is not done."""
        return bool(self._committing or self._sending or self._asking)

    def poll(self, records: int) -> Iterator[Event]:
        """What the group wants, then new records of flowing partitions, at most `records` of each."""
        for event in self._group.poll(self, self._clock()):
            match event:
                case Revoked(partitions):
                    self._revoking = frozenset(partitions)
                case Lost(partitions):
                    self._forget(partitions)
            yield event
        yield from self._poll_standbys()
        for source in sorted(self._positions.keys() - self._paused):
            if source not in self._positions:
                continue
            most = self.draw.randint(0, records)
            if self._positions[source] >= self.broker.logs[source].end:
                continue  # as it is most of the time
            batch = self.broker.read(source, self._positions[source], most)
            if len(batch):
                self._positions[source] = int(batch.offsets[-1]) + 1
                yield Fetched(batch)

    def _poll_standbys(self) -> Iterator[Event]:
        """Whom to follow, which a description of the group tells now and then, and what their owners have committed."""
        if self.draw.random() < self.chances.other_standbys:
            others = sorted(set(range(self.broker.partitions)) - self._group.owned(self))
            yield Following(tuple(self.draw.sample(others, self.draw.randint(0, len(others)))))
        for partition, begin in sorted(self._journals.items()):
            log = self.broker.logs[TopicPartition(self.stage.journal, partition)]
            new = list(log.committed(begin))[: self.draw.randint(0, 3)]
            if new:
                self._journals[partition] = new[-1][0] + 1
                yield JournalGrew(partition, tuple(record.value for _, record in new if record.value is not None))

    def advance(self) -> Event | None:
        """Let one of the threads do one step; its answer, if that was the last."""
        choices = [*self._asking, *([self._committing[0]] if self._committing else [])]
        if self._sending and self.draw.random() < 1 / (1 + len(choices)):
            self._send_one()
            return None
        if not choices:
            return None
        job = self.draw.choice(choices)
        try:
            next(job)
        except StopIteration as done:
            if job in self._asking:
                self._asking.remove(job)
            else:
                self._committing.popleft()
            answer: Event | None = done.value
            return answer
        return None

    def heartbeat(self) -> None:
        """Tell the group that this worker is alive, as a client's own thread does beside all else."""
        self._group.heartbeat(self, self._clock())

    def close(self) -> None:
        """Leave the group."""
        self._group.leave(self)

    # --- what is asked for ---------------------------------------------------------------------------------------

    def perform(self, instruction: Instruction) -> None:
        """Begin to do what a worker asks for."""
        match instruction:
            case FindTask(partition):
                request = self._requests[partition] = object()
                self._asking.append(self._find(instruction, request))
            case Follow(partition):
                request = self._requests[partition] = object()
                self._asking.append(self._follow(partition, request))
            case Unfollow(partition):
                self._forget((partition,))
                self._journals.pop(partition, None)
            case StopTask(partition):
                self._paused |= set(self.stage.sources(partition))
            case Fetch(source, offset):
                if source.partition in self._group.owned(self) | self._journals.keys():
                    self._positions[source] = offset
                    self._paused.discard(source)
            case Pause(source):
                self._paused.add(source)
            case Resume(source):
                self._paused.discard(source)
            case FetchSchema(schema_id):
                self._asking.append(self._ask_schema(schema_id))
            case FetchRows(partition, names):
                self._asking.append(self._fetch_rows(partition, names))
            case Send(outputs):
                self._sending.append(outputs)
            case Produce(transaction, outputs):
                self._generation(transaction)
                self._committing.append(self._produce(transaction, outputs))
            case Commit():
                self._committing.append(self._commit(instruction, self._generation(instruction.transaction)))
            case Abort(transaction):
                self._committing.append(self._abort(transaction))
            case PublishSnapshot():
                self._asking.append(self.publish(instruction))
            case Release(partitions):
                self._forget(partitions)
                self._group.release(self, partitions)
                self._revoking -= set(partitions)
            case Stop():
                self.stopped = instruction

    def _forget(self, partitions: tuple[int, ...]) -> None:
        for source in [source for source in self._positions if source.partition in partitions]:
            del self._positions[source]
            self._paused.discard(source)
        for partition in partitions:
            self._requests.pop(partition, None)

    def _generation(self, transaction: int) -> int:
        """The group's generation as of the transaction's beginning (rule 7)."""
        if self._begun[0] != transaction:
            self._begun = (transaction, self._group.generation(self))
        return self._begun[1]

    # --- threads -------------------------------------------------------------------------------------------------

    def _find(self, wanted: FindTask, request: object) -> Job[TaskFound | None]:
        yield
        while (found := self.stage.find(wanted.partition, wanted.without)) is None:
            yield
        return found if self._requests.get(wanted.partition) is request else None

    def _follow(self, partition: int, request: object) -> Job[StandbyFound | None]:
        found = yield from self._find(FindTask(partition), request)
        if found is None:
            return None
        self._journals[partition] = self.stage.journal_begin(partition)
        return StandbyFound(found)

    def _ask_schema(self, schema_id: int) -> Job[Event]:
        yield
        if self.draw.random() < self.chances.wrong_refusal:
            return SchemaRefused(schema_id, RejectReason.UNKNOWN_SCHEMA, "a replica of the registry lags behind")
        return self.broker.schema(schema_id)

    def _fetch_rows(self, partition: int, names: tuple[int, ...]) -> Job[Event]:
        yield
        while (answer := self.stage.rows(partition, names)) is None:
            yield
        return answer

    def publish(self, instruction: PublishSnapshot) -> Job[Event]:
        """Write a snapshot."""
        yield
        checkpoint = instruction.checkpoint
        if self.draw.random() < self.chances.failed_snapshot:
            return SnapshotPublished(checkpoint.partition, checkpoint.cycle, "the broker does not answer")
        journal_end = self.stage.journal_end(checkpoint.partition)
        yield
        seen = tuple(self.stage.checkpoints[checkpoint.partition])
        yield  # its chunks are written
        if not self.is_alone(checkpoint.partition, seen):
            return SnapshotPublished(checkpoint.partition, checkpoint.cycle, "another worker writes")
        self.stage.publish(checkpoint, seen)
        mine = tuple(self.stage.checkpoints[checkpoint.partition])
        yield
        if not self.is_alone(checkpoint.partition, mine):
            return SnapshotPublished(checkpoint.partition, checkpoint.cycle, "another worker has written")
        self._trim_journal(checkpoint, journal_end)
        return SnapshotPublished(checkpoint.partition, checkpoint.cycle)

    def is_alone(self, partition: int, seen: tuple[Checkpoint, ...]) -> bool:
        """Whether the snapshots of a task are those that this worker has seen."""
        return tuple(map(id, self.stage.checkpoints[partition])) == tuple(map(id, seen))

    def _trim_journal(self, newest: Checkpoint, end: int) -> None:
        """Rule 23: the journal goes up to what the older of the two snapshots needs."""
        ends = self._ends.setdefault(newest.partition, deque(maxlen=_ENDS_KEPT))
        if ends and ends[-1][0] == newest.digest:
            return  # one more of a cycle lets nothing go
        ends.append((newest.digest, end))
        kept = {each.digest for each in self.stage.checkpoints[newest.partition]}
        if len(ends) == _ENDS_KEPT and {digest for digest, _ in list(ends)[1:]} == kept:
            self.stage.trim_journal(newest.partition, ends[0][1])

    def _send_one(self) -> None:
        outputs = self._sending.popleft()
        if self.draw.random() < self.chances.lost_send:
            self._has_lost_send = True
        else:
            taken = [batch for batch in outputs if self._is_taken(batch)]
            self._was_send_refused |= len(taken) < len(outputs)
            self.broker.store(taken)

    def _is_taken(self, batch: OutputBatch) -> bool:
        """Whether the broker takes all records of a batch."""
        return not self._unsendable or all(each.key not in self._unsendable for each in stored_records(batch))

    def _produce(self, number: int, outputs: tuple[OutputBatch, ...]) -> Job[None]:
        while not self.broker.has_ended(self.transactional_id):
            yield
        if self.broker.is_fenced(self.transactional_id, self):
            return None  # its commit will say so
        if self._open is None or self._open[0] != number:
            self._open = (number, self.broker.begin_transaction(self.transactional_id, self._clock()))
        for batch in outputs:
            yield
            if not self._is_taken(batch):
                self._was_refused = True  # its commit is told
                continue
            try:
                self.broker.store([batch], self._open[1])
            except TransactionOver:
                break  # its commit will say so
        return None

    def _abort(self, number: int) -> Job[None]:
        yield
        if self._open is not None and self._open[0] == number:
            self._was_refused = False
            self._abort_open()
        return None

    def _commit(self, commit: Commit, generation: int) -> Job[CommitReturned]:
        while self._sending:
            self._send_one()
            yield
        if self.broker.is_fenced(self.transactional_id, self):
            return CommitReturned(commit.transaction, CommitOutcome.FENCED, f"{self.transactional_id} was taken over")
        assert self._open is not None
        lost, self._has_lost_send = self._has_lost_send, False
        refused = self._was_refused or self._was_send_refused
        self._was_refused = self._was_send_refused = False
        if refused:
            self._abort_open()
            return CommitReturned(commit.transaction, CommitOutcome.UNSENDABLE, "a record is too large")
        if lost or not self._group.is_current(self, generation):
            self._abort_open()
            return CommitReturned(commit.transaction, CommitOutcome.REFUSED, "a batch did not arrive" if lost else "")
        return (yield from self.finish(commit))

    def finish(self, commit: Commit) -> Job[CommitReturned]:
        """Send the offsets, and commit."""
        assert self._open is not None
        try:
            self.broker.send_offsets(self._open[1], commit.offsets)
            yield
            if self.draw.random() < self.chances.lost_answer:
                return (yield from self._settle(commit))
            self.broker.end_transaction(self._open[1], is_committed=True)
        except TransactionOver:
            return (yield from self._settle(commit))
        self._open = None
        yield
        return CommitReturned(commit.transaction, CommitOutcome.COMMITTED)

    def _settle(self, commit: Commit) -> Job[CommitReturned]:
        """Rule 10: the answer is missing; take the id over, then read what is committed."""
        assert self._open is not None
        if self.broker.is_fenced(self.transactional_id, self):
            return CommitReturned(commit.transaction, CommitOutcome.FENCED, f"{self.transactional_id} was taken over")
        if self._open[1].is_committed is None and self.draw.random() < 0.5:
            self.broker.end_transaction(self._open[1], is_committed=True)  # the request arrived all the same
        yield
        self.broker.init_transactions(self.transactional_id, self)
        self._open = None
        while (committed := self.broker.committed(commit.offsets)) is None:
            yield
        is_committed = all(
            (at := committed.get(source)) is not None
            and (at.next_offset, at.metadata) == (wanted.next_offset, wanted.metadata)
            for source, wanted in commit.offsets.items()
        )
        outcome = CommitOutcome.COMMITTED if is_committed else CommitOutcome.REFUSED
        return CommitReturned(commit.transaction, outcome)

    def _abort_open(self) -> None:
        assert self._open is not None
        transaction, self._open = self._open[1], None
        if transaction.is_committed is None:
            self.broker.end_transaction(transaction, is_committed=False)
