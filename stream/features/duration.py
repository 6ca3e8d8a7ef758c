"""Durations as text: "30s", "15m", "1h", "7d", "2w"."""

import re

from stream.errors import ConfigError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def duration_ms(text: str, what: str) -> int:
    """Read a duration such as "1h" or "1.5d" into whole milliseconds.

    `what` names the option in the error.

    Raises:
        ConfigError: where the text is no positive duration; correct the declaration.
    """
    match = _PATTERN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ConfigError(
            f'{what}: {text!r} is no duration; write a number and ms, s, m, h, d or w, as in "1h" or "7d"'
        )
    duration = round(float(match[1]) * _UNIT_MS[match[2]])
    if duration <= 0:
        raise ConfigError(f"{what}: {text!r} must be longer than zero")
    return duration
