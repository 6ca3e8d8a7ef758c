"""The life of a task, as Kafka Streams draws it."""

from enum import Enum

from stream.errors import StreamError


class TaskState(Enum):
    """Where a task is in its life.

    ::

        CREATED ----> RESTORING ----> RUNNING
           |              |              |
           |              v              |
           +--------> SUSPENDED <--------+     FAILED <---- any of these four
           |              |                      |
           v              v                      |
           +----------> CLOSED <-----------------+

    CREATED: assigned; what Kafka remembers of it is being read. RESTORING: journal ranges are replayed, outputs
    suppressed. RUNNING: takes records. SUSPENDED: takes nothing more; its last cycle is being committed, or was.
    FAILED: takes nothing more, and nothing of it is committed; its partition stays with the worker, whose other tasks
    go on (rule 12). CLOSED: given back or lost; nothing of it may leave any more.
    """

    CREATED = "created"
    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FAILED = "failed"
    CLOSED = "closed"


_LEGAL = {
    TaskState.CREATED: {TaskState.RESTORING, TaskState.SUSPENDED, TaskState.FAILED, TaskState.CLOSED},
    TaskState.RESTORING: {TaskState.RUNNING, TaskState.SUSPENDED, TaskState.FAILED, TaskState.CLOSED},
    TaskState.RUNNING: {TaskState.SUSPENDED, TaskState.FAILED, TaskState.CLOSED},
    TaskState.SUSPENDED: {TaskState.FAILED, TaskState.CLOSED},
    TaskState.FAILED: {TaskState.CLOSED},
    TaskState.CLOSED: set(),
}


def transition(current: TaskState, to: TaskState) -> TaskState:
    """`to`, if a task may go there from `current`; an illegal step is a bug and raises StreamError."""
    if to not in _LEGAL[current]:
        raise StreamError(f"a task cannot go from {current.value} to {to.value}")
    return to
