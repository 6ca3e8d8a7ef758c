"""The life of a task, as Kafka Streams draws it."""

from enum import Enum

from stream.errors import StreamError


class TaskState(Enum):
    """Where a task is in its life.

    ::

        STANDBY <-+
           |      |
           v      |
        CREATED --+-> RESTORING ----> RUNNING
           |              |              |
           |              v              |
           +--------> SUSPENDED <--------+     FAILED <---- any of these four
           |              |                      |
           v              v                      |
           +----------> CLOSED <-----------------+

    CREATED: assigned; what Kafka remembers of it is being read. STANDBY: another worker's; what that one commits is
    replayed, until the task is assigned to this worker, or given up (rule 25). RESTORING: journal ranges are replayed,
    outputs suppressed. RUNNING: takes records. SUSPENDED: takes nothing more; its last cycle is being committed.
    FAILED: takes nothing more, and nothing of it is committed; its partition stays with the worker, whose other tasks
    go on (rule 12). CLOSED: given back or lost; nothing of it may leave any more.
    """

    CREATED = "created"
    STANDBY = "standby"
    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FAILED = "failed"
    CLOSED = "closed"


_LEGAL = {
    TaskState.CREATED: {
        TaskState.STANDBY,
        TaskState.RESTORING,
        TaskState.SUSPENDED,
        TaskState.FAILED,
        TaskState.CLOSED,
    },
    TaskState.STANDBY: {TaskState.CREATED, TaskState.CLOSED},
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
