"""Small batches of a queue become one slice, and nothing of their records changes."""

from collections import deque

import numpy as np

from stream.engine.fetched import drop, front
from stream.records import RecordBatch, joined
from tests.engine.build import batch, payments


def contents(of: RecordBatch) -> list[tuple[bytes | None, bytes | None, int, int]]:
    """Key, value, offset and time of each record."""

    def part(span: list[int]) -> bytes | None:
        return None if span[0] < 0 else bytes(of.data[span[0] : span[1]])

    spans = zip(of.keys.tolist(), of.values.tolist(), strict=True)
    times = zip(of.offsets.tolist(), of.timestamps_ms.tolist(), strict=True)
    return [(part(key), part(value), *time) for (key, value), time in zip(spans, times, strict=True)]


def test_joined_parts_are_the_whole_and_hold_no_bytes_of_others() -> None:
    """Records without a key, tombstones and empty parts among them."""
    whole = batch("payments", [*payments(40), (None, None), (b"", b""), (None, b"x")])
    parts = [whole.part(0, 3), whole.part(3, 3), whole.part(3, 40), whole.part(40, 43)]
    assert contents(joined(parts)) == contents(whole)
    assert len(joined([whole.part(10, 12)]).data) < len(whole.data) / 10


def test_a_slice_takes_several_small_batches_and_leaves_the_rest_in_order() -> None:
    """Given batches of 3, 4 and 5, a slice of 6 finds 7 in front; what it does not take is next."""
    whole = batch("payments", payments(12))
    queue = deque([whole.part(0, 3), whole.part(3, 7), whole.part(7, 12)])
    first = front(queue, 6)
    assert [len(each) for each in queue] == [7, 5]
    drop(queue, 6)
    assert contents(first.part(0, 6)) + contents(front(queue, 100)) == contents(whole)
    drop(queue, 6)
    assert not queue


def test_a_batch_that_is_large_enough_is_not_copied() -> None:
    """Nor is one that is alone."""
    whole = batch("payments", payments(12))
    queue = deque([whole.part(0, 9), whole.part(9, 12)])
    assert np.shares_memory(front(queue, 9).data, whole.data)
