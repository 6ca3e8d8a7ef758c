"""Errors of an app with several stages say of which stage they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from stream.errors import StreamError


def named(error: Exception, stage: str) -> Exception:
    """The same error, whose text begins with the stage's name; "" where there is one stage alone.

    Errors that nobody raises on purpose are left alone: their traceback tells.
    """
    if stage and isinstance(error, StreamError):
        error.args = (f"stage {stage}: {error}",)
    return error


@contextmanager
def errors_named(stage: str) -> Iterator[None]:
    """A context whose StreamErrors are `named`."""
    try:
        yield
    except StreamError as error:
        named(error, stage)
        raise
