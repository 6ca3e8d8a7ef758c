"""The worker's protocol as values: what happens to a worker (events), and what it asks for (instructions).

The worker (stream.engine.worker) is a pure state machine between the two. Whoever performs the instructions
(stream.kafka on a real broker, stream.testing on a simulated one) answers with events, in the order in which things
happened. Rule numbers are those of docs/guarantees.md.

A task is named by its partition of the event topic. Event offsets, label offsets, journal and snapshots of a task all
live in the partition of that number of their topics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from stream.engine.effects import OutputBatch
from stream.engine.journal import Backfill
from stream.engine.snapshot import Checkpoint
from stream.engine.state import LoadedState
from stream.errors import StreamError
from stream.records import RecordBatch, RejectReason, TopicPartition

# --- What happens to a worker ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group gave these partitions of the event topic to this worker. They deliver nothing before `Fetch`."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """The group asks for these partitions back; they stay this worker's until it answers with `Release`."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """These partitions are another worker's already: nothing may be committed for them, and there is no release."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset of one partition with the metadata that was committed beside it."""

    next_offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """What tells a topic from one of the same name that was made later, or from itself with more partitions."""

    topic_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class TaskFound:
    """Answer to `FindTask`: all that Kafka remembers of a task, read at stable positions (rules 17 and 21)."""

    partition: int
    committed: Mapping[TopicPartition, CommittedOffset]  # of its input partitions; those without a commit are absent
    journal: tuple[bytes, ...]  # committed journal records, oldest first; the last is of the committed cycle
    checkpoints: tuple[Checkpoint, ...]  # readable snapshots, newest first; damaged ones are left out
    damaged: tuple[str, ...]  # why snapshots were left out
    beginnings: Mapping[TopicPartition, int]  # first offset still there, of every input partition
    ends: Mapping[TopicPartition, int]  # last stable offset
    # Where an input begins that no cycle touched, if a backfill says from when: the first record of that time, or the
    # end.
    since: Mapping[TopicPartition, int] = field(default_factory=dict)
    topics: Mapping[str, TopicIdentity] = field(default_factory=dict)  # of the inputs, as they are now (rule 20)
    # That this partition's task of another stage was begun with, where this one has no journal (rule 34).
    begun_elsewhere: Backfill | None = None
    loaded: LoadedState | None = None  # of one of the checkpoints, if it was loaded ahead (stream.engine.loading)


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What a task needs to go on is gone: a record behind its position, a part of its journal."""

    partition: int
    reason: str


@dataclass(frozen=True, slots=True)
class Following:
    """These tasks of other workers, and no others, are to be followed (rule 25). Told again and again."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StandbyFound:
    """Answer to `Follow`: what Kafka remembers of the task. `JournalGrew` follows, from before its end on."""

    found: TaskFound


@dataclass(frozen=True, slots=True)
class JournalGrew:
    """Committed journal records of a followed task, in order; some of them may be known already."""

    partition: int
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, in offset order, none skipped, none twice since `Fetch`."""

    batch: RecordBatch


@dataclass(frozen=True, slots=True)
class SchemaFetched:
    """Answer to `FetchSchema`: the writer's schema, as the registry has it."""

    schema_id: int
    schema: str


@dataclass(frozen=True, slots=True)
class SchemaRefused:
    """Answer to `FetchSchema`: the registry answered, and has no usable schema of this id (never: did not answer)."""

    schema_id: int
    reason: RejectReason
    message: str


@dataclass(frozen=True, slots=True)
class RowsFetched:
    """Answer to `FetchRows`: contents of segments by name; None where it is certain that one is not there any more."""

    partition: int
    segments: Mapping[int, bytes | None]


class CommitOutcome(Enum):
    """How a transaction ended."""

    COMMITTED = "committed"
    REFUSED = "refused"  # aborted; membership was stale or a client was over: the same effects are sent again
    UNSENDABLE = "unsendable"  # aborted; a record or an offset was refused, and sending it again may not help (rule 12)
    FENCED = "fenced"  # another worker uses this transactional id: the worker stops


@dataclass(frozen=True, slots=True)
class CommitReturned:
    """Answer to `Commit`, once the outcome is certain (an unknown one is settled first, rule 10)."""

    transaction: int
    outcome: CommitOutcome
    message: str = ""  # why; "" for a stale membership
    note: str = field(default="", compare=False)  # for the log: what there is to say where `message` says nothing


@dataclass(frozen=True, slots=True)
class SnapshotPublished:
    """Answer to `PublishSnapshot`: manifest and chunks are acknowledged; or why not (it is tried again later)."""

    partition: int
    cycle: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class InputsWatched:
    """A look at the inputs of a task (rule 20): why it must take nothing for now; "" where all that a restore needs is
    there. Told again and again while there is a reason."""

    partition: int
    danger: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """SIGTERM or Ctrl-C: drain, commit, snapshot, leave."""


Event = (
    Assigned
    | Revoked
    | Lost
    | TaskFound
    | Corrupted
    | Following
    | StandbyFound
    | JournalGrew
    | Fetched
    | SchemaFetched
    | SchemaRefused
    | RowsFetched
    | CommitReturned
    | SnapshotPublished
    | InputsWatched
    | StopRequested
)

# --- What a worker asks for --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindTask:
    """Read what Kafka remembers of a task and answer with `TaskFound`, or with `Corrupted`."""

    partition: int
    without: Mapping[str, str] = field(default_factory=dict)  # digests of snapshots that are no good, and why
    because: str = ""  # why the task is looked for once more; "" where it was assigned
    warm: tuple[tuple[int, str], ...] = ()  # where these cycles are committed, the worker needs no snapshot (rule 25)


@dataclass(frozen=True, slots=True)
class Follow:
    """Read what Kafka remembers of another worker's task, outside the group; answer with `StandbyFound`, and go on."""

    partition: int


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Read nothing more of a followed task: it was assigned to this worker, or to be followed by others."""

    partition: int
    because: str = ""  # what was wrong with it


@dataclass(frozen=True, slots=True)
class StopTask:
    """Deliver nothing of this task any more; it failed, and its partition stays with the worker (rule 12)."""

    partition: int
    error: StreamError


@dataclass(frozen=True, slots=True)
class Fetch:
    """Deliver records of this partition from this offset on, for the first time or again; ends a `Pause`."""

    source: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Deliver nothing of this partition until `Resume`; what was fetched already may be kept or fetched again."""

    source: TopicPartition


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on behind the last delivered record."""

    source: TopicPartition


@dataclass(frozen=True, slots=True)
class FetchSchema:
    """Ask the registry, again and again while it does not answer (rule 3)."""

    schema_id: int


@dataclass(frozen=True, slots=True)
class FetchRows:
    """Read committed segments of feature rows of a task by name, in ascending order; answer once for all (rule 36)."""

    partition: int
    names: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send at once, outside any transaction, by the idempotent producer (delivery="immediate")."""

    outputs: tuple[OutputBatch, ...]


@dataclass(frozen=True, slots=True)
class Produce:
    """Produce into this transaction, beginning it (with the group metadata of that moment, rule 7) if it is new."""

    transaction: int
    outputs: tuple[OutputBatch, ...]


@dataclass(frozen=True, slots=True)
class OffsetAndMetadata:
    """An offset to commit, with the cycle and digest it stands for."""

    next_offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Flush what was sent and produced, send these offsets to the transaction, commit it, say how it ended."""

    transaction: int
    offsets: Mapping[TopicPartition, OffsetAndMetadata]


@dataclass(frozen=True, slots=True)
class Abort:
    """Abort this transaction; no answer."""

    transaction: int


@dataclass(frozen=True, slots=True)
class PublishSnapshot:
    """Write a snapshot of a committed cycle and answer with `SnapshotPublished`."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Release:
    """Give these partitions back: incremental_unassign, label partitions included. Ends a revocation."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Leave the group and end the process; an error is the reason to tell the operator, None a clean stop."""

    error: Exception | None


Instruction = (
    FindTask
    | Follow
    | Unfollow
    | StopTask
    | Fetch
    | Pause
    | Resume
    | FetchSchema
    | FetchRows
    | Send
    | Produce
    | Commit
    | Abort
    | PublishSnapshot
    | Release
    | Stop
)
