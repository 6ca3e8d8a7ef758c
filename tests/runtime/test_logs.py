"""Logs: one line per event, for people or for programs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from stream.errors import ConfigError
from stream.runtime.logs import TALKATIVE, RepeatFilter, are_json, configure_logs


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """The process's logging as it was before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    yield
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_without_a_terminal_each_line_is_a_json_object() -> None:
    """Event, level, logger, time and the bound values are keys."""
    out = io.StringIO()
    configure_logs("info", out)

    structlog.get_logger("stream.runtime").info("commit", cycle=7)

    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["logger"], line["cycle"]) == ("commit", "info", "stream.runtime", 7)
    assert line["timestamp"].endswith("Z")


def test_on_a_terminal_lines_are_key_value() -> None:
    """People read the event first and then what belongs to it."""
    out = io.StringIO()
    configure_logs("info", out, as_json=False)

    structlog.get_logger("stream.runtime").info("commit", cycle=7)

    assert "commit" in out.getvalue()
    assert "cycle" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_libraries_log_the_same_way() -> None:
    """A line of the standard library is a JSON object like the others, with its traceback as a value."""
    out = io.StringIO()
    configure_logs("warning", out)

    logging.getLogger("librdkafka").info("too quiet")
    try:
        raise OSError("disk full")
    except OSError:
        logging.getLogger("librdkafka").exception("broker %s is down", "127.0.0.1:9092")

    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("broker 127.0.0.1:9092 is down", "error", "librdkafka")
    assert line["exception"][0]["exc_value"] == "disk full"


@pytest.mark.parametrize(
    ("level", "said"),
    [("debug", ["request", "problem"]), ("info", ["problem"]), ("error", [])],
)
def test_libraries_that_tell_of_every_request_are_heard_when_somebody_debugs(level: str, said: list[str]) -> None:
    """The registry's HTTP client logs each request at `info`; its warnings are seen as all others are."""
    out = io.StringIO()
    configure_logs(level, out)

    logging.getLogger("httpx2").info("request")
    logging.getLogger("httpx2").warning("problem")

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == said


@pytest.mark.parametrize("as_json", [True, False])
def test_it_is_known_whether_the_log_is_for_programs(as_json: bool) -> None:
    """Whoever else would write to stderr asks first."""
    configure_logs("info", io.StringIO(), as_json)

    assert are_json() is as_json


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_no_local_variables(as_json: bool) -> None:
    """Locals hold passwords and tokens; logs are read by more people than those."""
    out = io.StringIO()
    configure_logs("warning", out, as_json=as_json)

    def connect(password: str) -> None:
        assert password
        raise OSError("refused")

    try:
        connect("hunter" + "2")
    except OSError:
        logging.getLogger("faust").exception("no connection")

    assert "refused" in out.getvalue()
    assert "hunter2" not in out.getvalue()


def test_a_repeated_line_of_a_library_is_held_back_and_counted() -> None:
    """Within the interval one line passes; the next one after it says how many were held back."""
    clock = [0.0]
    repeats = RepeatFilter(interval_s=30, clock=lambda: clock[0])

    def passes(name: str, text: str, *args: object) -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, args, None)
        return record.getMessage() if repeats.filter(record) else None

    assert passes("librdkafka", "connect to %s failed", "a") == "connect to a failed"
    assert passes("librdkafka", "connect to %s failed", "b") is None
    assert passes("librdkafka", "connect to %s failed", "b") is None
    assert passes("librdkafka", "another") == "another"
    assert passes("stream.runtime", "connect to %s failed", "b") == "connect to b failed"
    clock[0] = 30.0
    assert passes("librdkafka", "connect to %s failed", "a") == "connect to a failed (and 2 more like it)"


def test_the_repeat_filter_forgets_the_oldest_of_many_texts() -> None:
    """Memory stays bounded however many different lines there are."""
    repeats = RepeatFilter(interval_s=30, clock=lambda: 0.0)
    for number in range(2_000):
        repeats.filter(logging.LogRecord("faust", logging.ERROR, "", 0, f"line {number}", (), None))

    assert len(repeats._seen) == 512


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    """A misspelt level is an error of configuration."""
    with pytest.raises(ConfigError, match="log level 'loud' is unknown: use one of debug, info"):
        configure_logs("loud")
