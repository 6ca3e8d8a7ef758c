"""Helper threads log with what is bound to the log lines of the thread that wants their work: the stage's name."""

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TypeVar

Answer = TypeVar("Answer")


def with_log_context(work: Callable[[], Answer]) -> Callable[[], Answer]:
    """`work`, to be done once in another thread, with this thread's context as it is now."""
    return partial(copy_context().run, work)
