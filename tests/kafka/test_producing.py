"""Output batches reach the producer record by record, whatever it says meanwhile."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from stream.engine.encoded import EncodedRecord, output_batch
from stream.headers import pack, unpack
from stream.kafka.producing import produce_batch

parts = st.none() | st.binary(max_size=6)
header_lists = st.lists(st.tuples(st.text(max_size=3), parts), min_size=1, max_size=2)
packed = st.none() | header_lists.map(pack)
records = st.lists(st.builds(EncodedRecord, parts, parts, packed, st.integers(0, 2**40)), max_size=20)


class Producer:
    """Takes what it is given, unless it is full: then every second poll makes room for some more records."""

    def __init__(self, room: int = 1_000, more: int = 1) -> None:
        self.taken: list[tuple[Any, ...]] = []
        self._room, self._more, self._polls = room, more, 0

    def produce(self, *arguments: Any) -> None:
        """As confluent-kafka's, its arguments by position."""
        if len(self.taken) == self._room:
            raise BufferError("Local: Queue full")
        self.taken.append(arguments)

    def poll(self, _: float) -> int:
        """Make room, or not yet."""
        self._polls += 1
        self._room += self._more * (self._polls % 2 == 0)
        return 0


def handed_over(record: EncodedRecord) -> tuple[Any, ...]:
    """What the producer should be given for a record of the batch."""
    headers = None if record.headers is None else unpack(record.headers)
    return ("payments", record.value, record.key, 3, None, None, record.timestamp_ms, headers)


@given(records)
def test_every_record_is_handed_over_as_it_is(given_records: list[EncodedRecord]) -> None:
    """Key, value (nulls and empty ones apart), headers and timestamp of each, in their order."""
    producer = Producer()
    produce_batch(producer, output_batch("payments", 3, given_records))
    assert producer.taken == [handed_over(record) for record in given_records]


@pytest.mark.parametrize("more", [1, 2, 50])
def test_a_full_queue_loses_and_repeats_nothing(more: int) -> None:
    """The producer has room for three records at first, and for some more after every second poll."""
    given_records = [EncodedRecord(b"key", str(number).encode(), None, number) for number in range(10)]
    producer = Producer(room=3, more=more)
    produce_batch(producer, output_batch("payments", 3, given_records))
    assert producer.taken == [handed_over(record) for record in given_records]


def test_a_refused_record_ends_the_batch_with_its_reason() -> None:
    """What was handed over before it stays handed over."""

    class Refusing(Producer):
        def produce(self, *arguments: Any) -> None:
            if arguments[1] == b"2":
                raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
            super().produce(*arguments)

    given_records = [EncodedRecord(None, str(number).encode(), None, number) for number in range(4)]
    producer = Refusing()
    with pytest.raises(KafkaException):
        produce_batch(producer, output_batch("payments", 3, given_records))
    assert [arguments[1] for arguments in producer.taken] == [b"0", b"1"]
