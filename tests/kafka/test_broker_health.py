"""What librdkafka logs arrives, also right behind a fatal error, and never hides that."""

import ctypes
import logging
from collections.abc import Callable
from typing import Any

import numba
import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.stdlib import LoggerFactory

from stream.kafka.broker_health import LibrdkafkaLog

NAME = "stream.kafka.librdkafka"
LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
FENCED = KafkaException(KafkaError(KafkaError._FENCED, "fenced", True))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> LibrdkafkaLog:
    """Over a logger as a worker has it: of structlog's class, which inherits `log`."""
    monkeypatch.setattr(logging, "_loggerClass", logging.Logger)
    monkeypatch.delitem(logging.Logger.manager.loggerDict, NAME, raising=False)
    LoggerFactory()
    logging.getLogger(NAME).setLevel(logging.DEBUG)
    return LibrdkafkaLog()


@pytest.fixture(scope="module")
def log_behind_an_error() -> Callable[[object, int, str], None]:
    """Calls `log` like confluent-kafka does behind a fatal error: from C, with the exception set already."""
    pointer = ctypes.c_void_p
    set_error = _of_python("PyErr_SetObject", None, pointer, pointer)
    attribute_of = _of_python("PyObject_GetAttr", pointer, pointer, pointer)
    call = _of_python("PyObject_Call", pointer, pointer, pointer, pointer)

    @numba.njit
    def log_with_error(kind: int, error: int, logger: int, name: int, arguments: int) -> None:
        set_error(kind, error)
        method = attribute_of(logger, name)
        if method:
            call(method, arguments, 0)

    def log(logger: object, level: int, line: str) -> None:
        name, arguments = "log", (level, "%s [%s] %s", line, "rdkafka#producer-1", "text")
        log_with_error(id(KafkaException), id(FENCED), id(logger), id(name), id(arguments))

    return log


def _of_python(name: str, *types: Any) -> Any:
    """A function of CPython that numba can call, and behind which nobody looks for an exception."""
    return ctypes.CFUNCTYPE(*types)((name, ctypes.pythonapi))


@pytest.mark.parametrize("level", LEVELS)
def test_a_line_of_every_level_is_logged(log: LibrdkafkaLog, caplog: pytest.LogCaptureFixture, level: int) -> None:
    """With the arguments that confluent-kafka gives."""
    log.log(level, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "text")

    assert caplog.record_tuples == [(NAME, level, "FAIL [rdkafka#producer-1] text")]


@pytest.mark.parametrize("level", LEVELS)
def test_a_line_behind_a_fatal_error_is_logged_and_the_error_stays(
    log: LibrdkafkaLog, caplog: pytest.LogCaptureFixture, log_behind_an_error: Any, level: int
) -> None:
    """Also when calls were made before, for which CPython has shorter ways then."""
    for number in range(100):
        log.log(level, "%s", f"EARLIER{number}")
    caplog.clear()

    with pytest.raises(SystemError) as caught:
        log_behind_an_error(log, level, "FATAL")

    assert caught.value.__cause__ is FENCED
    assert caplog.record_tuples == [(NAME, level, "FATAL [rdkafka#producer-1] text")]
