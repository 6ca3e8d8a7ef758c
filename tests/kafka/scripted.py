"""A scripted worker: notes what happens and answers with what a test says."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.config import InputTopics, KafkaSettings
from stream.engine import journal
from stream.engine.effects import OutputBatch
from stream.engine.journal import JournalRecord
from stream.engine.protocol import Commit, CommitReturned, Event, Instruction, OffsetAndMetadata, Produce
from stream.engine.restore import metadata_of
from stream.headers import pack
from stream.kafka.reader import Reader
from stream.kafka.transport import Transport
from stream.records import TopicPartition

WITHIN_S = 40.0

Answer = Callable[[Event], Sequence[Instruction]]


@dataclass
class Scripted:
    """A transport with its events so far, and what it answers to a revocation."""

    transport: Transport
    events: list[Event] = field(default_factory=list)
    answer: Answer = lambda _: ()

    def handle(self, event: Event) -> Sequence[Instruction]:
        """What the transport calls inside a revocation."""
        self.events.append(event)
        return self.answer(event)

    def step(self) -> None:
        """One poll."""
        for event in self.transport.poll(0.02):
            self.events.append(event)
            for instruction in self.answer(event):
                self.transport.perform(instruction)

    def perform(self, *instructions: Instruction) -> None:
        """Have the transport do these."""
        for instruction in instructions:
            self.transport.perform(instruction)

    def of(self, *kinds: type) -> list[Event]:
        """Events of these kinds so far."""
        return [event for event in self.events if isinstance(event, kinds)]

    def commit(self, transaction: int, outputs: tuple[OutputBatch, ...], **positions: int) -> CommitReturned:
        """Produce and commit, and wait for the answer; positions are given as topic=offset, of partition 0."""
        offsets = {
            TopicPartition(topic, 0): OffsetAndMetadata(offset, f"{transaction}:digest")
            for topic, offset in positions.items()
        }
        self.perform(Produce(transaction, outputs), Commit(transaction, offsets))
        wait_for(lambda: self.returned(transaction), self)
        return self.returned(transaction)[-1]

    def returned(self, transaction: int) -> list[CommitReturned]:
        """Answers to the commit of a transaction."""
        return [
            event for event in self.events if isinstance(event, CommitReturned) and event.transaction == transaction
        ]


def scripted(settings: KafkaSettings, topics: InputTopics, answer: Answer = lambda _: ()) -> Scripted:
    """A started transport with a scripted worker."""
    holder: list[Scripted] = []
    transport = Transport(settings, topics, handle=lambda event: holder[0].handle(event))
    holder.append(Scripted(transport, answer=answer))
    transport.start()
    return holder[0]


def wait_for(condition: Callable[[], object], *workers: Scripted) -> None:
    """Poll the workers until the condition holds; fails after 40 s."""
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        for worker in workers:
            worker.step()
        if time.monotonic() > give_up_at:
            raise AssertionError(f"did not happen in {WITHIN_S} s; events: {[worker.events for worker in workers]}")


def output(
    topic: str,
    values: Iterable[bytes | None],
    keys: Iterable[bytes | None] | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    partition: int = -1,
) -> OutputBatch:
    """An output batch of these records; the timestamp of record i is 1_700_000_000_000 + i."""
    values = list(values)
    keys = list(keys) if keys is not None else [None] * len(values)
    packed = [pack(headers) if headers else None] * len(values)
    data, spans = b"", []
    for column in (keys, values, packed):
        rows = []
        for part in column:
            rows.append((-1, -1) if part is None else (len(data), len(data) + len(part)))
            data += part or b""
        spans.append(np.array(rows, np.int64).reshape(len(rows), 2))
    times = 1_700_000_000_000 + np.arange(len(values), dtype=np.int64)
    return OutputBatch(topic, partition, np.frombuffer(data, np.uint8), spans[0], spans[1], spans[2], times)


def journal_record(topic: str, cycle: int, partition: int = 0) -> tuple[OutputBatch, OffsetAndMetadata]:
    """A cycle's journal record, and what is committed with it: offset 10 * cycle."""
    record = JournalRecord(cycle, "", "plan", 1, (), ()).sealed()
    batch = output(topic, [journal.encode(record)], partition=partition)
    return batch, OffsetAndMetadata(10 * cycle, metadata_of(cycle, record.digest))


def committed_values(settings: KafkaSettings, topic: str, partition: int = 0) -> list[bytes | None]:
    """What a read_committed reader sees of a partition."""
    source = TopicPartition(topic, partition)
    with Reader(settings) as reader:
        low, _ = reader.watermarks(source)
        return [
            None if start < 0 else batch.data.tobytes()[start:end]
            for batch in reader.read_to_end(source, low)
            for start, end in batch.values.tolist()
        ]


def expect_committed(settings: KafkaSettings, topic: str, *expected: bytes | None) -> None:
    """These values, and no others, are what a read_committed reader sees of partition 0.

    The marker of a transaction may become visible a moment after its commit was answered (rule 21).
    """
    give_up_at = time.monotonic() + WITHIN_S
    while len(seen := committed_values(settings, topic)) < len(expected) and time.monotonic() < give_up_at:
        pass
    assert seen == [*expected]
