"""Waiting for something to become so, with a deadline."""

import time
from collections.abc import Callable

# Seconds where nothing else runs; a worker's start alone was seen to take 40 s beside many others on two cores.
LIMIT_S = 90.0
_AGAIN_S = 0.02


def wait_until(
    is_so: Callable[[], object], what: str, explain: Callable[[], str] = lambda: "", limit_s: float = LIMIT_S
) -> None:
    """Ask again and again; fails after LIMIT_S.

    Args:
        is_so: true when it is so; may raise AssertionError when it cannot become so any more.
        what: should happen.
        explain: more for the message of the failure.
        limit_s: how long.
    """
    give_up_at = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < give_up_at, f"{what}: not within {limit_s:g} s. {explain()}"
        time.sleep(_AGAIN_S)
