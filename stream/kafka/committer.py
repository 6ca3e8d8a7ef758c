"""The thread that produces and commits while the engine computes the next cycle (rule 11)."""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from stream.engine.effects import OutputBatch
from stream.engine.protocol import CommitOutcome, CommitReturned, CommittedOffset, OffsetAndMetadata
from stream.errors import RetriableError
from stream.kafka.log_context import with_log_context
from stream.kafka.producing import Failure
from stream.kafka.sender import Sender
from stream.kafka.transaction_producer import Fenced, ProducerOver, Refused, TransactionProducer
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

# How often an idle producer's callbacks run.
_IDLE_S = 0.1
# One attempt to bring a new producer up; attempts follow each other until the worker is closed.
_REPLACE_S = 10.0
# How long the second refusal in a row is held back; each next one twice as long, up to the limit.
_REFUSED_AGAIN_S = 0.1
_REFUSED_AGAIN_AT_MOST_S = 5.0

ReadCommitted = Callable[[tuple[TopicPartition, ...]], Mapping[TopicPartition, CommittedOffset]]


@dataclass(frozen=True, slots=True)
class _Produce:
    transaction: int
    outputs: tuple[OutputBatch, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    transaction: int
    offsets: Mapping[TopicPartition, OffsetAndMetadata]
    group_metadata: Any  # of the moment when the transaction began (rule 7)


@dataclass(frozen=True, slots=True)
class _Abort:
    transaction: int


class Committer:
    """Performs Produce, Commit and Abort in the order in which they were asked for, in a thread of its own."""

    def __init__(
        self,
        producer: TransactionProducer,
        sender: Sender,
        read_committed: ReadCommitted,
        post: Callable[[CommitReturned | Exception], None],
    ) -> None:
        """Make it; nothing happens before `start`.

        Args:
            producer: started already: it takes the id over before the worker joins its group (rule 6).
            sender: what left outside the transaction is flushed before a commit.
            read_committed: reads stable offsets of the group, waiting for pending transactions (rule 17).
            post: takes the answers, and an exception that ends the worker; called from this thread.
        """
        self._producer = producer
        self._sender = sender
        self._read_committed = read_committed
        self._post = post
        self._tasks: queue.SimpleQueue[_Produce | _Commit | _Abort | None] = queue.SimpleQueue()
        self._open: int | None = None  # the transaction that was begun
        self._failed: int | None = None  # the transaction that is over already, before its Commit or Abort came
        self._failure = Failure("", is_final=False)
        self._fenced = ""
        self._refusals = 0  # in a row
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=with_log_context(self._run), name="stream-committer", daemon=True)
        self._thread.start()

    def produce(self, transaction: int, outputs: tuple[OutputBatch, ...]) -> None:
        """Queue records of a transaction."""
        self._tasks.put(_Produce(transaction, outputs))

    def commit(
        self, transaction: int, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_metadata: Any
    ) -> None:
        """Queue a commit; its outcome is posted."""
        self._tasks.put(_Commit(transaction, offsets, group_metadata))

    def abort(self, transaction: int) -> None:
        """Queue an abort; there is no answer."""
        self._tasks.put(_Abort(transaction))

    def close(self) -> None:
        """End the thread after what is queued, or at once where it waits for a broker, and close the producer."""
        self._is_closed.set()
        self._tasks.put(None)
        self._thread.join(timeout=_IDLE_S * 10)
        self._producer.is_closing = True
        self._thread.join()
        self._producer.close()

    def _run(self) -> None:
        try:
            while self._do_next():
                pass
        except Exception as error:  # noqa: BLE001 - a helper thread has no one above it: the polling thread raises it
            self._post(error)

    def _do_next(self) -> bool:
        """Do what was asked for next; False at the end."""
        try:
            task = self._tasks.get(timeout=_IDLE_S)
        except queue.Empty:
            self._guarded(self._open or 0, self._producer.serve)
            return True
        if task is not None:
            self._perform(task)
        return task is not None

    def _perform(self, task: _Produce | _Commit | _Abort) -> None:
        match task:
            case _Produce():
                self._guarded(task.transaction, lambda: self._produce(task))
            case _Commit():
                answer = self._commit(task)
                self._open = self._failed = None
                self._hold_back(answer)
                self._post(answer)
            case _Abort():
                if self._open == task.transaction and self._failed != task.transaction:
                    self._guarded(task.transaction, self._producer.abort)
                self._open = self._failed = None

    def _hold_back(self, answer: CommitReturned) -> None:
        """The first refusal is told at once (others joined or left); what is refused again and again, ever later."""
        is_refused = answer.outcome in (CommitOutcome.REFUSED, CommitOutcome.UNSENDABLE)
        self._refusals = self._refusals + 1 if is_refused else 0
        self._is_closed.wait(held_back_s(self._refusals))

    def _produce(self, task: _Produce) -> None:
        if self._failed == task.transaction or self._fenced:
            return
        if self._open != task.transaction:
            self._producer.begin()
            self._open = task.transaction
        for batch in task.outputs:
            self._producer.produce(batch)

    def _guarded(self, transaction: int, action: Callable[[], None]) -> None:
        """Do it; if the transaction turns out to be over, remember that until its Commit or Abort comes."""
        try:
            action()
        except Refused as refused:
            self._failed, self._failure = transaction, refused.failure
        except ProducerOver as over:
            self._failed, self._failure = transaction, Failure(str(over), is_final=False)
            self._replace_producer()
        except Fenced as fenced:
            self._fenced = str(fenced)

    def _commit(self, task: _Commit) -> CommitReturned:
        if self._open != task.transaction and self._failed != task.transaction:
            self._guarded(task.transaction, lambda: self._produce(_Produce(task.transaction, ())))
        if self._fenced:
            return CommitReturned(task.transaction, CommitOutcome.FENCED, self._fenced)
        if self._failed == task.transaction:
            return _refused(task.transaction, self._failure)
        try:
            if not_sent := self._sender.flush():
                self._producer.abort()
                return _refused(task.transaction, not_sent)
            self._producer.commit(task.offsets, task.group_metadata)
        except Refused as refused:
            return _refused(task.transaction, refused.failure)
        except Fenced as fenced:
            self._fenced = str(fenced)
            return CommitReturned(task.transaction, CommitOutcome.FENCED, self._fenced)
        except ProducerOver as over:
            return self._settle(task, str(over))
        return CommitReturned(task.transaction, CommitOutcome.COMMITTED)

    def _settle(self, task: _Commit, why: str) -> CommitReturned:
        """Find out how a transaction ended whose last answer is missing (rule 10).

        A new producer with the same id makes the broker finish or abort it; after that the committed offsets tell.
        Their metadata names cycle and digest, so that equal means committed.
        """
        _log.warning("outcome of a commit unknown; settling it", transaction=task.transaction, why=why)
        self._replace_producer()
        committed = self._read_committed(tuple(task.offsets))
        is_committed = all(
            (found := committed.get(source)) is not None
            and (found.next_offset, found.metadata) == (wanted.next_offset, wanted.metadata)
            for source, wanted in task.offsets.items()
        )
        outcome = CommitOutcome.COMMITTED if is_committed else CommitOutcome.REFUSED
        _log.info("outcome of the commit settled", transaction=task.transaction, outcome=outcome.value)
        note = "" if is_committed else f"{why}. It was not committed: a new producer has ended it (rule 10)"
        return CommitReturned(task.transaction, outcome, note=note)

    def _replace_producer(self) -> None:
        self._producer.close()
        while True:
            try:
                self._producer.start(_REPLACE_S)
            except RetriableError as error:
                if self._producer.is_closing:
                    raise
                _log.warning("no new producer yet", error=str(error))
            else:
                return


def _refused(transaction: int, failure: Failure) -> CommitReturned:
    outcome = CommitOutcome.UNSENDABLE if failure.is_final else CommitOutcome.REFUSED
    return CommitReturned(transaction, outcome, failure.reason, failure.note)


def held_back_s(refusals: int) -> float:
    """For how long the last of so many refusals in a row is not told."""
    return min(_REFUSED_AGAIN_S * 2 ** (refusals - 2), _REFUSED_AGAIN_AT_MOST_S) if refusals > 1 else 0.0
