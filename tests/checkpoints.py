"""Checkpoints for the tests of both snapshot stores."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream.engine.snapshot import Checkpoint
from stream.records import TopicPartition


def checkpoint(cycle: int = 1, arrays: Mapping[str, NDArray[np.generic]] | None = None) -> Checkpoint:
    """A checkpoint of partition 0 whose digest is `digest<cycle>`; its arrays depend on the cycle."""
    return Checkpoint(
        partition=0,
        cycle=cycle,
        digest=f"digest{cycle}",
        plan_digest="plan",
        next_offsets={TopicPartition("events", 0): 10 * cycle, TopicPartition("labels", 0): cycle},
        created_ms=1_700_000_000_000 + cycle,
        arrays={"weights": np.arange(5, dtype=np.float64) * cycle} if arrays is None else arrays,
        facts={"river": "0.26"},
    )


def assert_same(one: Checkpoint | None, other: Checkpoint) -> None:
    """Equal in every field, arrays bit for bit with dtype and shape."""
    assert one is not None
    for name in ("partition", "cycle", "digest", "plan_digest", "next_offsets", "created_ms", "facts"):
        assert getattr(one, name) == getattr(other, name), name
    assert sorted(one.arrays) == sorted(other.arrays)
    for name, array in other.arrays.items():
        found = one.arrays[name]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes()), name
