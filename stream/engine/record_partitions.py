"""Whether records lie where their keys belong (rule 19): where producers of one topic place keys differently, the state
of a key is spread over partitions, and each sees only a part of its events."""

# Kernels give Any as far as a type checker can see.
# mypy: disable-error-code="no-any-return"

import numpy as np

from stream.kernels import kernel
from stream.kernels.hashing import murmur2
from stream.records import Bools, Bytes, Ints, RecordBatch

# One record in eight is looked at, chosen by a hash of its offset: every eighth offset could always be the end of a
# transaction, which is no record. Fibonacci hashing (Knuth 6.4): the highest three bits of offset * 2**64 / phi.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SAMPLED_BITS = np.uint64(61)


def sampled_elsewhere(batch: RecordBatch, partitions: int) -> tuple[Ints, Bools]:
    """The records that were looked at.

    Args:
        batch: of one partition.
        partitions: of its topic; nothing is looked at where it is not known (0) or the only one.

    Returns:
        Their rows in the batch, (n,), and whether the key of each belongs into another partition, (n,). Records without
        a key belong anywhere, and are not among them.
    """
    elsewhere = np.zeros(len(batch), np.bool_)
    is_sampled = (batch.offsets.astype(np.uint64) * _GOLDEN >> _SAMPLED_BITS) == 0
    rows = np.flatnonzero(is_sampled & (batch.keys[:, 0] >= 0)) if partitions > 1 else np.zeros(0, np.int64)
    mark_elsewhere(batch.data, batch.keys, rows, batch.partition, partitions, elsewhere)
    return rows, elsewhere[rows]


@kernel
def mark_elsewhere(data: Bytes, keys: Ints, rows: Ints, partition: int, partitions: int, elsewhere: Bools) -> None:
    """Mark the records whose key Kafka's Java client would put into another partition.

    Args:
        data: the records' bytes.
        keys: (records, 2) start and end of their keys.
        rows: (n,) the records to look at, all with a key.
        partition: in which they are.
        partitions: of the topic.
        elsewhere: (records,) receives the marks.
    """
    for place in range(len(rows)):
        row = rows[place]
        hashed = murmur2(data, keys[row, 0], keys[row, 1])
        elsewhere[row] = (hashed & 0x7FFFFFFF) % partitions != partition
