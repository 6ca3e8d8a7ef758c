"""The one transactional producer of a worker: begins, sends, commits, aborts, and is replaced when it is over."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as CommitPosition

from stream.config import KafkaSettings
from stream.engine.effects import OutputBatch
from stream.engine.protocol import OffsetAndMetadata
from stream.errors import ConfigError, RetriableError
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.consumer_errors import raise_if_refused
from stream.kafka.producing import DeliveryFailures, Failure, produce_batch
from stream.kafka.transaction_errors import Verdict, is_final, judge, reason_to_tell, stale_member
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

# One wait inside a call; the call is repeated while its answer is "not yet", so this bounds only how late a thread
# notices that the worker is closing.
_STEP_S = 1.0
# An answer to offsets takes some ms, and a coordinator that moves is found again within a second or two.
_OFFSETS_WITHIN_S = 3.0


class Refused(Exception):
    """The transaction was aborted; the producer is usable.

    Args:
        reason: "" where membership was stale.
        is_final: whether sending the same again may not help (rule 12).
        note: for the log, where there is no reason to tell.
    """

    def __init__(self, reason: str, *, is_final: bool = False, note: str = "") -> None:
        super().__init__(reason)
        self.failure = Failure(reason, is_final, note)


class ProducerOver(Exception):
    """The producer cannot be used any more; whether its transaction was committed is not known."""


class Fenced(Exception):
    """Another worker began to use the same transactional id."""


class TransactionProducer:
    """Wraps confluent-kafka's producer; every method blocks, and belongs to the committer's thread."""

    def __init__(self, settings: KafkaSettings, health: BrokerHealth, clock: Callable[[], float] = time.monotonic):
        self._settings = settings
        self._health = health
        self._clock = clock
        self._failures = DeliveryFailures()
        self._producer: Any = None
        self._began_at = 0.0
        self.is_closing = False

    def start(self, deadline_s: float) -> None:
        """Make the producer and take the id over: a predecessor's open transaction is aborted (rule 6).

        Raises:
            ConfigError: the id may not be used, or the broker does not allow the transaction timeout.
            RetriableError: no broker answered within `deadline_s`.
        """
        self._failures = DeliveryFailures()
        config = client_config.transactional_producer(self._settings)
        callbacks = {"on_delivery": self._failures.on_delivery, "error_cb": self._health.on_error}
        self._producer = make_client(Producer, {**config, **callbacks})
        self._connect()
        give_up_at = self._clock() + deadline_s
        while not self._init_transactions():
            if self._clock() > give_up_at or self.is_closing:
                raise RetriableError(
                    f"no answer to init_transactions({self._settings.transactional_id}) within {deadline_s:.0f} s from "
                    f"{self._settings.bootstrap_servers}. Is the broker running? ({self._health.last_error})"
                )
        self._began_at = self._clock()

    def begin(self) -> None:
        """Begin a transaction."""
        self._call(lambda _: self._producer.begin_transaction())
        self._began_at = self._clock()

    def produce(self, batch: OutputBatch) -> None:
        """Hand records over; they leave at once and count with the commit. Failures show up there at the latest."""
        try:
            produce_batch(self._producer, batch, lambda: self.is_closing)
        except KafkaException as error:
            self._failures.note(batch.topic, self._explain(error.args[0]), is_final=is_final(error.args[0]))
        self.serve()

    def serve(self) -> None:
        """Run the callbacks that are due."""
        self._served(lambda: self._producer.poll(0))

    def flush(self) -> None:
        """Wait until all that was produced has arrived; raises as `commit` does."""
        while self._served(lambda: self._producer.flush(_STEP_S)):
            if self.is_closing:
                raise ProducerOver("closing")
        if failed := self._failures.take():
            self.abort()
            raise Refused(failed.reason, is_final=failed.is_final)

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_metadata: Any) -> None:
        """Send the offsets in one request (rule 8) while the last records arrive, wait for both, commit.

        Raises:
            Refused: it was aborted instead.
            ProducerOver: the outcome is unknown.
            Fenced: another worker uses the id.
        """
        positions = [CommitPosition(*source, at.next_offset, at.metadata) for source, at in offsets.items()]
        self._call(lambda wait_s: self._send_offsets(positions, group_metadata, wait_s))
        self.flush()
        self._call(lambda wait_s: self._producer.commit_transaction(wait_s))

    def abort(self) -> None:
        """Abort the open transaction; what is still queued is dropped.

        Raises:
            ProducerOver: among others where the broker has not taken a partition into the transaction yet, as right
                behind a commit (CONCURRENT_TRANSACTIONS): the client (librdkafka 2.16) counts the request, tells the
                broker to end what it does not know, and INVALID_TXN_STATE is fatal to it.
        """
        self._call(lambda wait_s: self._producer.abort_transaction(wait_s))
        self.serve()
        self._failures.take()

    def close(self) -> None:
        """Let go of the connections; an open transaction is left to its timeout or the successor.

        Not by the client's `close`: it aborts the transaction first, which a producer that is over cannot do, and a
        successor's `init_transactions` does anyway.
        """
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _connect(self) -> None:
        """Wait for a connection, by asking for what every new client asks for anyway.

        Where librdkafka (2.16) has none when `init_transactions` is called, it looks again half a second later: 13 of
        20 starts took 0.5 s, and none with this.
        """
        with suppress(KafkaException):  # what is wrong is told by `init_transactions`
            self._producer.list_topics(timeout=_STEP_S)

    def _init_transactions(self) -> bool:
        """Whether it is done; False if no answer came in this step."""
        try:
            self._producer.init_transactions(_STEP_S)
        except KafkaException as raised:
            error = raised.args[0]
            if error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT:
                raise ConfigError(
                    f"transaction_timeout_ms = {self._settings.transaction_timeout_ms} is more than the broker's "
                    "transaction.max.timeout.ms allows: lower one or raise the other"
                ) from raised
            if judge(error) is Verdict.CALL_AGAIN:
                return False
            raise_if_refused(error, f"transactional id {self._settings.transactional_id}")
            raise RetriableError(f"init_transactions: {error.str()}") from raised
        return True

    def _send_offsets(self, positions: list[CommitPosition], group_metadata: Any, wait_s: float) -> None:
        """Call the client in a thread of its own, which is given up when the call does not return.

        The client (librdkafka 2.16) waits for ever, whatever the timeout, where the group's coordinator was missing in
        a metadata response, as it is while that broker restarts (its issues 5456 and 5511). The producer is over then;
        the thread and the client's handle stay behind until the process ends.
        """
        answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        send = self._producer.send_offsets_to_transaction

        def call() -> None:
            try:
                send(positions, group_metadata, wait_s)
            except Exception as raised:  # noqa: BLE001 - raised by the thread that waits
                answers.put(raised)
            else:
                answers.put(None)

        threading.Thread(target=call, name="stream-offsets", daemon=True).start()
        # Meanwhile what was produced last need not linger. It is the offsets that the coordinator hears of first: the
        # client waits a millisecond before it has a partition taken into the transaction.
        self._served(lambda: self._producer.flush(wait_s))
        try:
            raised = answers.get(timeout=_OFFSETS_WITHIN_S)
        except queue.Empty:
            raise ProducerOver(
                f"the client did not return from sending offsets within {_OFFSETS_WITHIN_S:g} s"
            ) from None
        if raised is not None:
            raise raised

    def _served(self, call: Callable[[], int]) -> int:
        """Perform a call that runs callbacks: a fatal error of the client is raised out of it."""
        try:
            return call()
        except (KafkaException, SystemError) as raised:
            self._raise_unless_to_be_called_again(_client_error(raised))
            return 1

    def _call(self, step: Callable[[float], None]) -> None:
        """Perform one transactional call to its end."""
        while True:
            try:
                step(_STEP_S)
            except KafkaException as raised:
                self._raise_unless_to_be_called_again(raised.args[0])
            else:
                self._health.on_answer()
                return

    def _raise_unless_to_be_called_again(self, error: Any) -> None:
        verdict = judge(error)
        if verdict is Verdict.CALL_AGAIN and not self.is_closing:
            return
        if verdict is Verdict.ABORT:
            failed = self._failures.first
            self.abort()
            if failed is not None and failed.is_final:  # the abort is asked for because of it
                raise Refused(failed.reason, is_final=True)
            reason = reason_to_tell(error)
            raise Refused(reason, is_final=is_final(error), note="" if reason else stale_member(error))
        if verdict is Verdict.FENCED and self._was_fenced_by_another():
            raise Fenced(
                f"another worker uses the transactional id {self._settings.transactional_id}: two workers must not "
                "share a slot (rule 6). Stop the other one, or give it a slot that no worker has: `--slot NAME`, or "
                "the setting `slot`"
            )
        raise ProducerOver(error.str())

    def _was_fenced_by_another(self) -> bool:
        """Whether the broker cannot have fenced us itself: it does so only to transactions older than the timeout."""
        return (self._clock() - self._began_at) * 1000 < self._settings.transaction_timeout_ms

    def _explain(self, error: Any) -> str:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            limit = self._settings.max_message_bytes
            return f"a record is larger than max_message_bytes = {limit} (rule 12)"
        text: str = error.str()
        return text


def _client_error(raised: BaseException) -> Any:
    """The KafkaError behind an exception.

    confluent-kafka sets the exception of a fatal error and goes on to call other callbacks; those then fail with
    SystemError, whose cause is the exception that was meant.
    """
    at: BaseException | None = raised
    while at is not None:
        if isinstance(at, KafkaException):
            return at.args[0]
        at = at.__cause__ or at.__context__
    raise raised
