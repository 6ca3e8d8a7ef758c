"""How a worker's process is asked to stop, and how it ends where nobody answers it."""

import os
import signal
import threading
from collections.abc import Callable

import structlog

from stream.errors import RetriableError
from stream.kafka.broker_probe import BrokerProbe

_log = structlog.get_logger("stream.worker")

# Service managers wait 10 to 30 s before kill -9: a stop that no broker answers ends by itself before that.
_WITHOUT_BROKER_S = 8.0
# Clients that are being closed may wait for such a broker for a minute.
_CLOSE_WITHIN_S = 4.0


class StopSignals:
    """SIGTERM and SIGINT ask for a clean stop; a second one ends the process at once.

    Args:
        request: called at the first signal.
    """

    def __init__(self, request: Callable[[], None]) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._request()


class StopLimit:
    """A stop under way, which waits for brokers as long as any of them answers.

    Args:
        probe: made when the stop was asked for.
        end: ends the process with a status, whatever its threads do.
    """

    def __init__(self, probe: BrokerProbe, end: Callable[[int], object] = os._exit) -> None:
        self._probe = probe
        self._end = end
        self._last_resort: threading.Timer | None = None

    def check(self) -> None:
        """Give up where no broker has answered for too long; `over` then has to follow within seconds.

        Raises:
            RetriableError: end without the last commit.
        """
        silent_s = self._probe.silent_for_s
        if silent_s < _WITHOUT_BROKER_S or self._last_resort is not None:
            return
        text = (
            f"stopped without a last commit: no broker has answered for {silent_s:.0f} s. Nothing is lost: the next "
            "start handles again what was not committed"
        )
        self._last_resort = threading.Timer(_CLOSE_WITHIN_S, self._end_process, (text,))
        self._last_resort.daemon = True
        self._last_resort.start()
        raise RetriableError(text)

    def over(self) -> None:
        """All is closed."""
        self._probe.close()
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _end_process(self, text: str) -> None:
        """As kill -9 would, which costs nothing that is committed."""
        _log.error(text)
        self._end(1)
