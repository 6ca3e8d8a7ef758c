"""What one task holds: state by part, snapshots, journal, and how far it is behind its inputs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stream import features
from stream.cli.state.naming import stage_field
from stream.engine.labels_awaited import labels_awaited
from stream.engine.plan import Plan
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.engine.upgrade import carry, check_stages
from stream.errors import ConfigError
from stream.records import Array, TopicPartition
from stream.runtime.remembered import journal_of


@dataclass(frozen=True, slots=True)
class SnapshotHeld:
    """A snapshot that was read whole, and whose checksums fit."""

    cycle: int
    age_s: float
    bytes: int  # of its arrays
    is_of_this_app: bool  # False: of another version of the app or its libraries


@dataclass(frozen=True, slots=True)
class JournalHeld:
    """The committed cycles that are still in the journal."""

    first: int
    last: int
    is_of_this_app: bool  # of the last cycle


@dataclass(frozen=True, slots=True)
class Position:
    """Where a task stands in one of its input partitions."""

    topic: str
    committed: int | None  # None: the group remembers none; the journal does, if there is one
    end: int
    lag: int  # records at most: offsets have holes


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a task holds. State is that of its newest snapshot: what came behind it lies in the worker's memory."""

    partition: int
    worker: str  # member of the group that has the partition now; "" where none has
    keys: int
    labels_waiting: int  # events that wait for their label
    bytes: Mapping[str, int]  # by part: features, model/NAME, labels, ...
    snapshots: tuple[SnapshotHeld, ...]  # newest first, two at most
    damaged: tuple[str, ...]  # what is wrong with snapshots that cannot be used
    journal: JournalHeld | None  # None: the task has not begun
    positions: tuple[Position, ...]  # the events' first
    anew: tuple[str, ...]  # parts whose definition is not the newest snapshot's: they would begin empty (rule 5)
    stage: str = ""  # "" where the app has one alone
    refused: str = ""  # why a worker of the app as it is now would not go on with the newest snapshot

    @property
    def bytes_in_all(self) -> int:
        """Of all parts."""
        return sum(self.bytes.values())


def holdings_of(found: TaskFound, plan: Plan, worker: str, now_ms: int, stage: str = "") -> Holdings:
    """Say what a task holds.

    Args:
        found: what is remembered of it.
        plan: of the app, or of its stage, as it is now.
        worker: see Holdings.
        now_ms: the time that ages are told from.
        stage: see Holdings.
    """
    arrays = found.checkpoints[0].arrays if found.checkpoints else {}
    below_features, below_labels = (
        {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
        for part in ("features/", "labels/")
    )
    return Holdings(
        partition=found.partition,
        worker=worker,
        keys=features.keys_in(below_features),
        labels_waiting=labels_awaited(below_labels) if below_labels else 0,
        bytes=bytes_by_part(arrays),
        snapshots=tuple(_snapshot(each, plan.digest, now_ms) for each in found.checkpoints),
        damaged=found.damaged,
        journal=_journal(found, plan.digest),
        positions=_positions(found),
        anew=carry(plan, found.checkpoints[0].facts).anew if found.checkpoints else (),
        stage=stage,
        refused=_refusal(plan, found.checkpoints[0].facts) if found.checkpoints else "",
    )


def _refusal(plan: Plan, facts: Mapping[str, str]) -> str:
    try:
        check_stages(plan, facts)
    except ConfigError as error:
        return str(error)
    return ""


def bytes_by_part(arrays: Mapping[str, Array]) -> dict[str, int]:
    """Bytes of the arrays of each stateful part, which are named as in docs/ARCHITECTURE.md, "State"."""
    sizes: Counter[str] = Counter()
    for name, array in arrays.items():
        first, _, rest = name.partition("/")
        part = f"{first}/{rest.partition('/')[0]}" if first in ("model", "monitor") else first
        sizes[part] += array.nbytes
    return dict(sorted(sizes.items()))


def members_by_partition(members: Mapping[str, Iterable[tuple[str, int]]], topic: str) -> dict[int, str]:
    """The member that has each partition of the event topic (`GroupState.members`)."""
    return {number: name for name, owned in members.items() for owned_topic, number in owned if owned_topic == topic}


def as_object(held: Holdings) -> dict[str, Any]:
    """For programs."""
    return {
        **stage_field(held.stage),
        "partition": held.partition,
        "worker": held.worker,
        "keys": held.keys,
        "labels_waiting": held.labels_waiting,
        "bytes": held.bytes_in_all,
        "bytes_by_part": dict(held.bytes),
        "snapshots": [
            {
                "cycle": each.cycle,
                "age_s": round(each.age_s, 3),
                "bytes": each.bytes,
                "of_this_app": each.is_of_this_app,
            }
            for each in held.snapshots
        ],
        "damaged_snapshots": list(held.damaged),
        "start_anew": list(held.anew),
        "refused": held.refused,
        "journal": held.journal
        and {"first": held.journal.first, "last": held.journal.last, "of_this_app": held.journal.is_of_this_app},
        "inputs": [
            {"topic": each.topic, "committed": each.committed, "end": each.end, "lag": each.lag}
            for each in held.positions
        ],
    }


def _snapshot(checkpoint: Checkpoint, plan_digest: str, now_ms: int) -> SnapshotHeld:
    size = sum(array.nbytes for array in checkpoint.arrays.values())
    age_s = max(0, now_ms - checkpoint.created_ms) / 1000
    return SnapshotHeld(checkpoint.cycle, age_s, size, checkpoint.plan_digest == plan_digest)


def _journal(found: TaskFound, plan_digest: str) -> JournalHeld | None:
    records = journal_of(found)
    if not records:
        return None
    return JournalHeld(records[0].cycle, records[-1].cycle, records[-1].plan_digest == plan_digest)


def _positions(found: TaskFound) -> tuple[Position, ...]:
    handled = {item.source: item.last + 1 for record in journal_of(found) for item in record.ranges}
    return tuple(_position(source, end, found, handled) for source, end in found.ends.items())


def _position(source: TopicPartition, end: int, found: TaskFound, handled: Mapping[TopicPartition, int]) -> Position:
    committed = found.committed.get(source)
    remembered = handled.get(source, found.beginnings[source])
    at = committed.next_offset if committed is not None else remembered
    return Position(source.topic, committed.next_offset if committed else None, end, max(0, end - at))
