"""Which partitions of a consumer deliver, and from where: the bookkeeping behind Fetch, Pause and Resume."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Assignment

from stream.errors import TaskCorrupted
from stream.kafka.consumer_errors import check_message_error, raise_if_refused
from stream.kafka.packing import group_by_partition, pack_batch
from stream.records import RecordBatch, TopicPartition

_log = structlog.get_logger("stream.kafka")


@dataclass(slots=True)
class _Flow:
    """One partition of this consumer."""

    is_assigned: bool = False  # to the client, which is done by the first Fetch
    next_offset: int = -1  # behind the last delivered record; -1 before the first Fetch
    is_flowing: bool = False
    must_seek: bool = False  # the consumer stands elsewhere than next_offset


class Flows:
    """The partitions of one consumer. None delivers before its first `fetch`, which assigns it to the client.

    Not before, since the position is not known before, and is not the client's to find out (rule 4). A placeholder
    such as the beginning of the log is looked up by librdkafka, and its lookup outlives a pause or a seek that comes
    before its answer: the outdated answer is not dropped, it has the lookup repeated half a second later, and the
    answer to that moves the partition, which flows by then, to the beginning (2.16; seen at each start).
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._flows: dict[TopicPartition, _Flow] = {}
        self._gone: dict[TopicPartition, str] = {}

    def __contains__(self, source: TopicPartition) -> bool:
        return source in self._flows

    def add(self, sources: Iterable[TopicPartition]) -> None:
        """Make partitions this consumer's; none is read before `fetch`."""
        for source in sources:
            self._flows.setdefault(source, _Flow())

    def remove(self, sources: Iterable[TopicPartition]) -> None:
        """Give partitions back; those that are not this consumer's are left alone."""
        gone = {source: flow for source in sources if (flow := self._flows.pop(source, None)) is not None}
        assigned = [Assignment(*source) for source, flow in gone.items() if flow.is_assigned]
        if assigned:
            self._consumer.incremental_unassign(assigned)

    def fetch(self, source: TopicPartition, offset: int) -> None:
        """Deliver from `offset` on."""
        flow = self._flows[source]
        flow.next_offset, flow.is_flowing = offset, True
        if flow.is_assigned:
            flow.must_seek = True
            self._set_going(source, flow)
        else:
            # The client remembers a pause beyond the assignment: what was given back paused would never deliver again.
            self._consumer.resume([Assignment(*source)])
            self._consumer.incremental_assign([Assignment(*source, offset)])
            flow.is_assigned = True

    def pause(self, source: TopicPartition) -> None:
        """Deliver nothing until `resume` or `fetch`."""
        flow = self._flows[source]
        flow.is_flowing = False
        if flow.is_assigned:
            self._consumer.pause([Assignment(*source)])

    def resume(self, source: TopicPartition) -> None:
        """Go on behind the last delivered record."""
        flow = self._flows[source]
        flow.is_flowing = flow.must_seek = True
        self._set_going(source, flow)

    def consume(self, timeout_s: float, records: int) -> list[RecordBatch]:
        """Wait for the first record, then take what is there, up to `records`; callbacks run meanwhile.

        `Consumer.consume` with a timeout waits for all of them, which would add that timeout to the latency of
        every record of a slow stream.
        """
        self._seek_where_needed()
        messages = self._read(timeout_s, records)
        if any(map(Message.error, messages)):
            messages = self._without_errors(messages)
        return [batch for batch in self._accepted(messages) if batch is not None]

    def take_gone(self) -> dict[TopicPartition, str]:
        """Partitions whose next record is not in the log any more, and what to do about it; each is told once."""
        gone, self._gone = self._gone, {}
        return gone

    def lags(self) -> Iterator[tuple[TopicPartition, int]]:
        """Records, at most, between the last delivered one and the end that the last fetch saw, by partition."""
        for source, flow in self._flows.items():
            _, end = self._consumer.get_watermark_offsets(Assignment(*source), cached=True)
            if flow.next_offset >= 0 and end >= 0:
                yield source, max(0, end - flow.next_offset)

    def _read(self, timeout_s: float, records: int) -> list[Any]:
        try:
            first = self._consumer.poll(timeout_s)
            return [] if first is None else [first, *self._consumer.consume(records - 1, 0)]
        except KafkaException as raised:  # a fatal error of the client, or a callback's
            raise_if_refused(raised.args[0], "the consumer")
            raise

    def _accepted(self, messages: list[Any]) -> Iterator[RecordBatch | None]:
        if not messages:
            return
        for source, group in group_by_partition(messages).items():
            yield self._accept(source, group)

    def _accept(self, source: TopicPartition, messages: list[Any]) -> RecordBatch | None:
        """Pack what belongs behind the last delivered record; a callback may have paused or taken the partition.

        A guard: should the client move a partition of itself, records from before the wanted offset may begin anywhere
        among the messages. Nothing is known to do so (see the class); skipped records could not be noticed here.
        """
        flow = self._flows.get(source)
        if flow is None:
            return None
        if not flow.is_flowing or flow.must_seek:
            flow.must_seek = True
            return None
        batch = pack_batch(source, messages)
        goes_on = np.diff(batch.offsets, prepend=flow.next_offset - 1) > 0
        count = len(batch) if goes_on.all() else int(np.argmin(goes_on))
        if count < len(batch):
            _log.warning(
                "the consumer went back; it is set right",
                topic=source.topic,
                partition=source.partition,
                wanted=int(batch.offsets[count - 1]) + 1 if count else flow.next_offset,
                came=int(batch.offsets[count]),
            )
            flow.must_seek = True
        if count:
            flow.next_offset = int(batch.offsets[count - 1]) + 1
        return batch.part(0, count) if count else None

    def _without_errors(self, messages: list[Any]) -> list[Any]:
        """The records among the messages; what is gone concerns its partition alone, other errors are raised."""
        for message in messages:
            if message.error() is not None:
                source = TopicPartition(message.topic(), message.partition())
                try:
                    check_message_error(message)
                except TaskCorrupted as error:
                    if (flow := self._flows.get(source)) is not None and flow.is_flowing:
                        flow.is_flowing = False
                        self._gone[source] = str(error)
        return [message for message in messages if message.error() is None]

    def _set_going(self, source: TopicPartition, flow: _Flow) -> None:
        """Resume, then seek, in this order and even where the position is right.

        Measured on librdkafka 2.16: resumed alone, or after the seek, a partition waits up to a second for its next
        fetch; this way round it delivers in 7 ms at most (758 rounds). What the resumed partition fetches before the
        seek is outdated by it.
        """
        self._consumer.resume([Assignment(*source)])
        try:
            self._consumer.seek(Assignment(*source, flow.next_offset))
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError._STATE, KafkaError._PREV_IN_PROGRESS):
                raise
            _log.debug("partition not ready for a seek yet", topic=source.topic, partition=source.partition)
        else:
            flow.must_seek = False

    def _seek_where_needed(self) -> None:
        for source, flow in self._flows.items():
            if flow.must_seek and flow.is_flowing:
                self._set_going(source, flow)
