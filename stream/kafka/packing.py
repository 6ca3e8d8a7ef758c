"""Messages of confluent-kafka into record batches: one byte buffer per partition, few Python steps per message."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from confluent_kafka import Message

from stream.headers import pack
from stream.records import Ints, RecordBatch, TopicPartition

_SECOND = itemgetter(1)


def group_by_partition(messages: Sequence[Any]) -> dict[TopicPartition, list[Any]]:
    """Messages of one consumer by the partition they came from, in offset order as they came."""
    topics = set(map(Message.topic, messages))
    groups: dict[TopicPartition, list[Any]] = {}
    # A fetch answers partition after partition, so that the runs are long: one call per message finds them.
    for topic in topics:
        of_topic = messages if len(topics) == 1 else [message for message in messages if message.topic() == topic]
        for partition, run in groupby(of_topic, Message.partition):
            groups.setdefault(TopicPartition(topic, partition), []).extend(run)
    return groups


def pack_batch(source: TopicPartition, messages: Sequence[Any]) -> RecordBatch:
    """Pack messages of one partition, in their order. None of them may carry an error."""
    keys, key_sizes = _sizes(list(map(Message.key, messages)))
    values, value_sizes = _sizes(list(map(Message.value, messages)))
    headers, header_sizes = _packed_headers(list(map(Message.headers, messages)))
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
        timestamps_ms=np.fromiter(map(_SECOND, map(Message.timestamp, messages)), np.int64, count),
        headers=header_spans,
    )


def _packed_headers(headers: list[list[tuple[str, bytes | None]] | None]) -> tuple[list[bytes], Ints]:
    """As `_sizes`, of the packed headers; most streams have none, which costs no look at each."""
    if not any(headers):
        return [], np.full(len(headers), -1, np.int64)
    return _sizes([pack(each) if each else None for each in headers])


def _sizes(parts: list[bytes | None]) -> tuple[list[bytes], Ints]:
    """The parts that are there, and the size of each, -1 where it is null."""
    count = len(parts)
    if all(parts) or None not in parts:
        return parts, np.fromiter(map(len, parts), np.int64, count)  # type: ignore[arg-type, return-value]
    present = [part for part in parts if part is not None]
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
