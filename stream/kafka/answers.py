"""Waiting for the answer to a request of the admin client."""

from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

Answer = TypeVar("Answer")

# The client itself gives a request up, with its reason; who waits for the answer must not be the one to lose patience.
_LATER_S = 5.0


def answer_to(request: "Future[Answer]", timeout_s: float) -> Answer:
    """What the brokers say to a request that the client was given `timeout_s` for.

    Raises:
        KafkaException: a refusal, or that no answer came (`_TIMED_OUT`), be it the client that did not say so.
    """
    try:
        return request.result(timeout_s + _LATER_S)
    except TimeoutError:
        reason = f"no answer in {timeout_s + _LATER_S:.0f} s"
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, reason)) from None
