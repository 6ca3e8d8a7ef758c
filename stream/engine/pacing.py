"""In which order a task handles what was fetched of its partitions: labels meet events about as they did in time."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from stream.engine.task import Task
from stream.records import RecordBatch, TopicPartition

# Where both events and labels wait, as in a backlog, they take turns of this much record time: fine enough that a label
# is learned about as early as it was live, and still some hundreds of records a turn at a thousand events/s.
_TURN_MS = 100

# While a partition is behind where it ended when the task was found, the others' records wait until some of its own are
# there; so long at most, should its leader be away.
_BEHIND_MS = 1_000
_ANY_TIME_MS = 1 << 62

# Events that come in another order than they go on: those that others wait for may lie far behind the next one of the
# queue, of whose time it is no matter. One by one, a backlog would take ten seconds where it takes one.
_UNORDERED = 64


class Pacing:
    """Of one task; only live records are paced, since a replay follows its journal.

    Args:
        task: of the slot.
        queues: what was fetched and not yet handled, by partition.
    """

    def __init__(self, task: Task, queues: Mapping[TopicPartition, deque[RecordBatch]]) -> None:
        self._task = task
        self._queues = queues
        # Of the partitions that are behind: where they ended, and when records of theirs came last.
        self._behind: dict[TopicPartition, tuple[int, int]] = {}
        self._events_ms = 0  # when events were last at hand, or began to be awaited

    def begin(self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], now_ms: int) -> None:
        """Fetching begins here, where partitions end there."""
        self._behind = {source: (ends[source], now_ms) for source, at in starts.items() if at < ends[source]}
        self._events_ms = now_ms

    def came(self, source: TopicPartition, next_offset: int, now_ms: int) -> None:
        """Records of a partition came, up to this offset."""
        if source == self._task.sources[0]:
            self._events_ms = now_ms
        end, _ = self._behind.pop(source, (0, 0))
        if next_offset < end:
            self._behind[source] = (end, now_ms)

    def must_wait(self, now_ms: int) -> bool:
        """Whether records of a partition are on their way that may be older than those at hand.

        Without it the partition whose first fetch is answered first runs ahead by all that fits into the queue: a
        backlog of events is then scored before the first of its labels is learned.
        """
        if self._queues[self._task.sources[0]]:
            self._events_ms = now_ms
        return not self._ready(now_ms) or any(
            not self._queues[source] and 0 <= now_ms - came_ms < _BEHIND_MS
            for source, (_, came_ms) in self._behind.items()
        )

    def next_source(self, now_ms: int) -> TopicPartition:
        """The partition whose next record is oldest."""
        ready = self._ready(now_ms)
        return min(ready, key=ready.__getitem__)

    def until_others(self, source: TopicPartition, batch: RecordBatch, now_ms: int) -> int:
        """How many records of the batch go before the next one that waits in another partition."""
        heads = [int(queue[0].timestamps_ms[0]) for other, queue in self._queues.items() if queue and other != source]
        later = batch.timestamps_ms > min([*heads, self._events_until(source, now_ms)]) + _TURN_MS
        least = _UNORDERED if self._task.is_out_of_order(source.topic) else 1
        return max(least, int(np.argmax(later))) if later.any() else len(batch)

    def _ready(self, now_ms: int) -> dict[TopicPartition, int]:
        """Partitions with records that may be handled, and the time of the next one of each."""
        heads = {source: int(queue[0].timestamps_ms[0]) for source, queue in self._queues.items() if queue}
        return {source: head for source, head in heads.items() if head <= self._events_until(source, now_ms) + _TURN_MS}

    def _events_until(self, source: TopicPartition, now_ms: int) -> int:
        """Up to when events are scored; later labels wait, for theirs may still be on their way through other stages.

        So long at most as events keep coming, and a while longer: then no stage has any more.
        """
        order = self._task.state.stage.order
        is_over = not 0 <= now_ms - self._events_ms < self._task.patience_ms
        if order is None or source == self._task.sources[0] or is_over:
            return _ANY_TIME_MS
        return order.released_ms
