"""Messages become batches: every byte where the arrays say it lies."""

import numpy as np
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream.headers import unpack
from stream.kafka.packing import group_by_partition, pack_batch
from stream.records import RecordBatch, TopicPartition

SOURCE = TopicPartition("payments", 1)

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None, int]

parts = st.none() | st.binary(max_size=6)
header_lists = st.none() | st.lists(st.tuples(st.text(max_size=3), parts), min_size=1, max_size=2)
records = st.lists(st.tuples(parts, parts, header_lists, st.integers(0, 2**40)), min_size=1, max_size=20)


def message(key: bytes | None, value: bytes | None, headers: object, timestamp_ms: int, offset: int = 0) -> Message:
    """A message as the consumer would hand it over."""
    return Message(
        topic=SOURCE.topic,
        partition=SOURCE.partition,
        offset=offset,
        key=key,
        value=value,
        headers=headers,
        timestamp=(1, timestamp_ms),
    )


def unpacked(batch: RecordBatch) -> list[Record]:
    """The records of a batch, read naively."""
    data = batch.data.tobytes()

    def part(span: list[int]) -> bytes | None:
        return None if span[0] < 0 else data[span[0] : span[1]]

    found: list[Record] = []
    for row in range(len(batch)):
        packed = part(batch.headers[row].tolist())
        found.append(
            (
                part(batch.keys[row].tolist()),
                part(batch.values[row].tolist()),
                None if packed is None else unpack(packed),
                int(batch.timestamps_ms[row]),
            )
        )
    return found


@given(records)
def test_packing_keeps_every_record(given_records: list[Record]) -> None:
    """Keys, values, headers (nulls and empty ones apart) and timestamps come out as they went in."""
    messages = [message(*record, offset=7 * row) for row, record in enumerate(given_records)]
    batch = pack_batch(SOURCE, messages)
    assert unpacked(batch) == given_records
    assert batch.offsets.tolist() == [7 * row for row in range(len(messages))]


def test_records_without_keys_and_headers_cost_no_bytes() -> None:
    """The buffer holds the values alone."""
    batch = pack_batch(SOURCE, [message(None, b"ab", None, 1), message(None, b"c", None, 2)])
    assert batch.data.tobytes() == b"abc"
    assert batch.keys.tolist() == [[-1, -1], [-1, -1]]
    assert batch.headers.tolist() == [[-1, -1], [-1, -1]]
    assert batch.values.tolist() == [[0, 2], [2, 3]]
    assert batch.values.dtype == np.int64


@pytest.mark.parametrize("topics", [["a"], ["a", "b"]])
def test_messages_are_grouped_by_where_they_came_from(topics: list[str]) -> None:
    """Topics and partitions mix in one read; within each the order stays."""
    messages = [
        Message(topic=topic, partition=number, offset=offset, value=b"x")
        for offset in range(3)
        for topic in topics
        for number in (0, 1)
    ]
    groups = group_by_partition(messages)
    assert set(groups) == {TopicPartition(topic, number) for topic in topics for number in (0, 1)}
    assert all([each.offset() for each in group] == [0, 1, 2] for group in groups.values())
    assert all(each.topic() == source.topic for source, group in groups.items() for each in group)
