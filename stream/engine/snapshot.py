"""A checkpoint: the state of a task at the end of a committed cycle, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a task with the cycle and offsets it stands at (rules 22 and 23)."""

    partition: int
    cycle: int
    digest: str  # hex; the chained digest of the cycle's journal record
    plan_digest: str
    next_offsets: Mapping[TopicPartition, int]
    created_ms: int
    arrays: Mapping[str, NDArray[np.generic]]  # numeric arrays by stable name
    facts: Mapping[str, str]  # small texts: versions, writer schemas known, digests of parts
