"""Structured logs: JSON lines when a program reads them, coloured key=value lines on a terminal; one place for all.

What Faust, librdkafka (given `logging.getLogger("librdkafka")` as its `logger`) and other libraries log through the
standard library takes the same way, with repeated lines held back.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

import structlog
from structlog.typing import Processor

from stream.errors import ConfigError

# A broker that is down makes librdkafka and aiokafka say so several times a second and broker.
REPEAT_INTERVAL_S = 30.0
# Texts remembered; beyond it the oldest is forgotten (and may come once more), so that memory stays bounded.
REPEATS_REMEMBERED = 512

# Libraries that tell of each request or of each of their fifty services: only who debugs wants to read it.
TALKATIVE = ("httpx2", "httpx", "httpcore", "faust", "mode", "aiokafka")

LEVELS = ("debug", "info", "warning", "error", "critical")
_JSON_LINES, _CONSOLE = "json-lines", "console"  # names of the handler


def configure_logs(level: str = "info", stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Set up logging for this process; call it once, before anything logs.

    `stream` defaults to standard error (standard output belongs to results); `as_json=None` means: unless `stream` is
    a terminal. Raises ConfigError for an unknown level.
    """
    if level.lower() not in LEVELS:
        raise ConfigError(f"log level {level!r} is unknown: use one of {', '.join(LEVELS)}")
    target = sys.stderr if stream is None else stream
    json_lines = not target.isatty() if as_json is None else as_json
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(json_lines)],
        )
    )
    handler.set_name(_JSON_LINES if json_lines else _CONSOLE)
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(number if level.lower() == "debug" else max(number, logging.WARNING))
    logging.captureWarnings(True)


def are_json() -> bool:
    """Whether this process writes its log as JSON lines: then nothing else should stand between them."""
    return any(handler.name == _JSON_LINES for handler in logging.getLogger().handlers)


class RepeatFilter(logging.Filter):
    """Lets a line of a library through once per interval, then says how many of it were held back.

    Lines are the same if logger, level and unformatted text are: offsets and addresses in the arguments do not make
    them different. The project's own loggers (`stream`, `stream.*`) are never held back.
    """

    def __init__(self, interval_s: float = REPEAT_INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}  # when it last passed, how many were held back

    def filter(self, record: logging.LogRecord) -> bool:
        """False if `record` repeats a line that passed less than an interval ago."""
        if record.name.partition(".")[0] == "stream":
            return True
        key = (record.name, record.levelno, str(record.msg))
        now = self._clock()
        passed_at, held = self._seen.pop(key, (-self._interval_s, 0))
        if now - passed_at < self._interval_s:
            self._remember(key, passed_at, held + 1)
            return False
        self._remember(key, now, 0)
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} more like it)", ()
        return True

    def _remember(self, key: tuple[str, int, str], passed_at: float, held: int) -> None:
        if len(self._seen) >= REPEATS_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (passed_at, held)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(json_lines: bool) -> Sequence[Processor]:
    if json_lines:
        # Without local variables, here and below: among them are passwords and tokens.
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
