"""Waiting for something to become so, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaException

Answer = TypeVar("Answer")

# For what takes seconds where nothing else runs: a worker's start alone was seen to take 40 s beside many others.
LIMIT_S = 240.0
# Questions are dear (a client, a log that is read whole): at most every 20 ms, and the rarer the longer it takes
# already, so that no wait gets longer by more than a twentieth.
_AGAIN_S, _SELDOM_S, _SHARE = 0.02, 0.2, 0.05


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
    began = time.monotonic()
    while not is_so():
        waited_s = time.monotonic() - began
        assert waited_s < limit_s, f"{what}: not within {limit_s:g} s. {explain()}"
        time.sleep(min(max(_AGAIN_S, _SHARE * waited_s), _SELDOM_S))


def answer(ask: Callable[[], Answer | None], what: str) -> Answer:
    """What a broker answers, however often it must be asked.

    One that comes back from a restart or a hang has no coordinators at first, nor leaders of its partitions: librdkafka
    calls a partition without a leader an unknown one.

    Args:
        ask: asks once.
        what: is asked for.
    """
    found: list[Answer] = []
    refusals = [""]

    def is_answered() -> bool:
        try:
            one = ask()
        except KafkaException as error:
            refusals.append(str(error))
            return False
        if one is not None:
            found.append(one)
        return bool(found)

    wait_until(is_answered, what, lambda: refusals[-1])
    return found[0]
