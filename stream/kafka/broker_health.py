"""What librdkafka says by itself: its log, held back where it repeats, and whether any broker answers."""

import logging
import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaError

# While a broker is down librdkafka logs every attempt of every client to connect: several lines a second.
_SAME_LINE_INTERVAL_S = 10.0
# A broker that answers like this goes on to be asked, and every request then ends with "transport failure".
_NOT_LET_IN = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL)

_log = structlog.get_logger("stream.kafka")


class _RepeatFilter(logging.Filter):
    """Lets one line of a kind through every ten seconds, and says how many were held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about one line; librdkafka's lines begin with their kind (FAIL, REQTMOUT, ...)."""
        kind = record.getMessage().split(" ", 1)[0]
        now = self._clock()
        if now - self._last.get(kind, -_SAME_LINE_INTERVAL_S) < _SAME_LINE_INTERVAL_S:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return False
        self._last[kind] = now
        held_back = self._held_back.pop(kind, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} ({held_back} more like it held back)", ()
        return True


class LibrdkafkaLog:
    """What every client gets as its `logger`.

    After a fatal error (this producer was fenced) confluent-kafka goes on to call `log` with the error pending, which
    Python code must not run with: a method that is inherited, as in structlog's loggers, is then not found, and the
    AttributeError stands in for the error. So `log` is this class's own, and takes the pending error up first.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("stream.kafka.librdkafka")
        if not any(isinstance(each, _RepeatFilter) for each in self._logger.filters):
            self._logger.addFilter(_RepeatFilter())

    def log(self, level: int, text: str, *arguments: object) -> None:
        """Log one line; a pending error is raised again behind it, for the call into the client to raise."""
        try:
            object()  # CPython looks for a pending error behind every call of a type's tp_new
        except SystemError as found:
            self._logger.log(level, text, *arguments)
            raise (found.__cause__ or found) from None
        self._logger.log(level, text, *arguments)


class BrokerHealth:
    """Whether the cluster answers, as far as the clients noticed. Their work goes on by itself when it does again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._down_since: float | None = None
        self.last_error = ""
        self.refusal = ""  # why a broker did not let a client in, "" if none did so

    @property
    def down_for_s(self) -> float:
        """For how long no broker has answered; 0 when one does."""
        return 0.0 if self._down_since is None else self._clock() - self._down_since

    def on_error(self, error: Any) -> None:
        """The clients' error_cb."""
        self.last_error = error.str()
        if error.code() in _NOT_LET_IN:
            self.refusal = error.str()
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._down_since is None:
            self._down_since = self._clock()
            _log.warning("no broker answers; trying on", error=error.str())

    def on_answer(self) -> None:
        """Something came from a broker."""
        if self._down_since is not None:
            _log.info("brokers answer again", after_s=round(self.down_for_s, 1))
            self._down_since = None
