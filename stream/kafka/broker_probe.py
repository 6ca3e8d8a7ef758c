"""Asks the brokers whether they are there."""

import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from stream.config import KafkaSettings
from stream.kafka import client_config
from stream.kafka.clients import make_client

_ANSWER_WITHIN_S = 2.0
_ASK_EVERY_S = 0.5
# Any other error is a broker's answer.
_NO_ANSWER = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)


class BrokerProbe:
    """For whoever will not wait for ever: a connection to a broker that hangs stays up, and its clients wait a minute
    and more before they say so. Never blocks.

    Args:
        settings: which brokers, and how they are talked to.
        clock: gives now, in seconds.
    """

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._client: Any = make_client(AdminClient, client_config.admin_client(settings))
        self._clock = clock
        self._answered_at = clock()
        self._asked_at = clock()
        self._question: Any = self._ask()

    @property
    def silent_for_s(self) -> float:
        """For how long no broker has answered; counts from when this was made. To look is to ask again."""
        if self._question is not None and self._question.done():
            error = self._question.exception()
            if error is None or error.args[0].code() not in _NO_ANSWER:
                self._answered_at = self._clock()
            self._question = None
        if self._question is None and self._clock() - self._asked_at >= _ASK_EVERY_S:
            self._question = self._ask()
        return self._clock() - self._answered_at

    def close(self) -> None:
        """Wait for the answer that is on its way, and end the client's threads.

        They would give it to an interpreter that is no more, where the process ends just then: SIGSEGV (seen).
        """
        if self._question is not None:
            wait([self._question], timeout=2 * _ANSWER_WITHIN_S)
        self._client = None

    def _ask(self) -> Any:
        self._asked_at = self._clock()
        return self._client.describe_cluster(request_timeout=_ANSWER_WITHIN_S)
