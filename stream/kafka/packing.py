"""Messages of confluent-kafka into record batches: one byte buffer per partition, few Python steps per message."""

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import Any

import numpy as np
from confluent_kafka import Message

from stream.headers import pack
from stream.records import Ints, RecordBatch, TopicPartition


def group_by_partition(messages: Sequence[Any]) -> dict[TopicPartition, list[Any]]:
    """Messages of one consumer by the partition they came from, in offset order as they came."""
    partitions = list(map(Message.partition, messages))
    topics = list(map(Message.topic, messages))
    sources = set(zip(topics, partitions, strict=True))
    if len(sources) == 1:
        return {TopicPartition(*sources.pop()): list(messages)}
    is_one_topic = len(set(topics)) == 1
    groups = {}
    for topic, partition in sorted(sources):
        is_here = map(partition.__eq__, partitions) if is_one_topic else _are_of(topic, partition, topics, partitions)
        groups[TopicPartition(topic, partition)] = list(compress(messages, is_here))
    return groups


def pack_batch(source: TopicPartition, messages: Sequence[Any]) -> RecordBatch:
    """Pack messages of one partition, in their order. None of them may carry an error."""
    keys, key_sizes = _sizes(list(map(Message.key, messages)))
    values, value_sizes = _sizes(list(map(Message.value, messages)))
    headers, header_sizes = _sizes(list(map(_packed_headers, map(Message.headers, messages))))
    count = len(messages)
    key_spans, end = _spans(key_sizes, 0)
    value_spans, end = _spans(value_sizes, end)
    header_spans, _ = _spans(header_sizes, end)
    return RecordBatch(
        topic=source.topic,
        partition=source.partition,
        data=np.frombuffer(b"".join((*keys, *values, *headers)), dtype=np.uint8),
        keys=key_spans,
        values=value_spans,
        offsets=np.fromiter(map(Message.offset, messages), np.int64, count),
        timestamps_ms=np.fromiter((time for _, time in map(Message.timestamp, messages)), np.int64, count),
        headers=header_spans,
    )


def _are_of(topic: str, partition: int, topics: Iterable[str], partitions: Iterable[int]) -> Iterable[bool]:
    return ((topic, partition) == source for source in zip(topics, partitions, strict=True))


def _packed_headers(headers: list[tuple[str, bytes | None]] | None) -> bytes | None:
    return pack(headers) if headers else None


def _sizes(parts: list[bytes | None]) -> tuple[list[bytes], Ints]:
    """The parts that are there, and the size of each, -1 where it is null."""
    count = len(parts)
    if None not in parts:
        return parts, np.fromiter(map(len, parts), np.int64, count)  # type: ignore[arg-type, return-value]
    present = [part for part in parts if part is not None]
    if not present:
        return [], np.fromiter(repeat(-1, count), np.int64, count)
    return present, np.fromiter((-1 if part is None else len(part) for part in parts), np.int64, count)


def _spans(sizes: Ints, begin: int) -> tuple[Ints, int]:
    """Start and end of parts that lie one behind the other from `begin` on, and where the last one ends."""
    spans = np.empty((len(sizes), 2), np.int64)
    lengths = np.maximum(sizes, 0)
    np.cumsum(lengths, out=spans[:, 1])
    spans[:, 1] += begin
    spans[:, 0] = spans[:, 1] - lengths
    end = int(spans[-1, 1]) if len(sizes) else begin
    spans[sizes < 0] = -1
    return spans, end
