"""Waiting for positions to become stable: transactions that are pending, markers that are not written yet."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from stream.errors import RetriableError

_log = structlog.get_logger("stream.kafka")

Answer = TypeVar("Answer")

# A dead owner's open transaction lives for its timeout (10 s) plus the broker's scan (10 s) at most; a minute is
# beyond any settling of markers (rules 21 and 24).
STABLE_WITHIN_S = 60.0
AGAIN_AFTER_S = 0.05


def wait_until_stable(read: Callable[[], Answer], what: str, is_closing: Callable[[], bool]) -> Answer:
    """Call `read` until it answers (rule 17: a timeout means that a transaction is pending).

    Raises:
        RetriableError: no answer within a minute, or the worker is closing.
    """
    give_up_at = time.monotonic() + STABLE_WITHIN_S
    while True:
        try:
            return read()
        except RetriableError as error:
            if time.monotonic() > give_up_at or is_closing():
                raise
            _log.info("waiting for a pending transaction or a broker", what=what, error=str(error))
            time.sleep(AGAIN_AFTER_S)
