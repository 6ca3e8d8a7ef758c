"""Loading a task's state ahead of the worker: while a gigabyte is loaded, callbacks must be served (rule 15)."""

from contextlib import suppress
from dataclasses import replace

from stream.engine.plan import Plan
from stream.engine.protocol import TaskFound
from stream.engine.state import load_state
from stream.errors import StreamError


def load_ahead(found: TaskFound, plan: Plan) -> TaskFound:
    """What was found of a task, with the state of its newest snapshot loaded; may be called by any thread.

    Args:
        found: what Kafka remembers of the task.
        plan: that the task is to run.

    Returns:
        The same, where there is nothing to load, or where it fails: the worker then meets that error, and knows what to
        do about it.
    """
    for checkpoint in found.checkpoints[:1]:
        with suppress(StreamError):
            return replace(found, loaded=load_state(plan, checkpoint))
    return found
