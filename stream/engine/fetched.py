"""The queue of what was fetched of one partition and is not handled yet."""

from collections import deque

from stream.records import RecordBatch, joined


def front(queue: deque[RecordBatch], records: int) -> RecordBatch:
    """The first batch of a queue, made of several where they are smaller: a slice costs a millisecond by itself."""
    count = size = 0
    while size < records and count < len(queue):
        size += len(queue[count])
        count += 1
    if count > 1:
        queue.appendleft(joined([queue.popleft() for _ in range(count)]))
    return queue[0]


def drop(queue: deque[RecordBatch], count: int) -> None:
    """Take the first `count` records of the first batch off a queue."""
    batch = queue.popleft()
    if count < len(batch):
        queue.appendleft(batch.part(count, len(batch)))
