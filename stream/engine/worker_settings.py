"""What a worker is told about commits, snapshots and delivery."""

from dataclasses import dataclass

from stream.engine.journal import Backfill


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How often a worker commits and snapshots, and how it delivers."""

    is_immediate: bool = False  # predictions leave at once, outside the transaction
    commit_interval_ms: int = 100
    snapshot_interval_ms: int = 60_000
    offset_reset: str = "earliest"  # for a task without a journal
    backfill: Backfill | None = None  # in place of it: how such a task begins, and from when on its outputs leave
    held_bytes: int = 64 << 20  # outputs of the cycle ahead of a commit, at most
    copied_bytes: int = 16 << 20  # of all states at a cycle's end, for snapshots: some 10 ms; the rest ahead of it
