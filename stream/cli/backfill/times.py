"""Whether a topic takes and keeps records of the times that a file's rows have. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from stream.errors import ConfigError


def check_times(topic: str, config: Mapping[str, str], earliest_ms: int, latest_ms: int, now_ms: int) -> None:
    """Refuse rows whose times the topic would replace, delete or reject.

    Args:
        topic: its name.
        config: its settings; empty where they may not be read, and nothing is refused then.
        earliest_ms: the smallest timestamp of the rows.
        latest_ms: the largest.
        now_ms: the time.

    Raises:
        ConfigError: what is wrong, and the setting that ends it.
    """
    if config.get("message.timestamp.type") == "LogAppendTime":
        raise ConfigError(
            f"topic {topic} has message.timestamp.type=LogAppendTime: rows would get the time of their arrival, by "
            "which a backfill goes. Set it to CreateTime"
        )
    kept_ms = _limit(config, "retention.ms")
    if kept_ms is not None and earliest_ms < now_ms - kept_ms:
        raise ConfigError(
            f"topic {topic} keeps records for {kept_ms:,} ms (retention.ms), and a row of the file is of "
            f"{iso(earliest_ms)}: it would be deleted, perhaps before it is learned from. Set retention.ms=-1, or "
            "more than the age of the file's oldest row"
        )
    behind_ms = _limit(config, "message.timestamp.before.max.ms")
    if behind_ms is not None and earliest_ms < now_ms - behind_ms:
        raise ConfigError(
            f"topic {topic} refuses a row of the file, of {iso(earliest_ms)}: it takes records that are "
            f"{behind_ms:,} ms old at most. Raise message.timestamp.before.max.ms"
        )
    ahead_ms = _limit(config, "message.timestamp.after.max.ms")
    if ahead_ms is not None and latest_ms > now_ms + ahead_ms:
        raise ConfigError(
            f"topic {topic} refuses a row of the file, of {iso(latest_ms)}: it takes records that are "
            f"{ahead_ms:,} ms ahead at most. Are the times of the file right? Otherwise raise "
            "message.timestamp.after.max.ms"
        )


def iso(time_ms: int) -> str:
    """A time in ms since 1970 as ISO 8601, which settings take."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).replace(microsecond=time_ms % 1000 * 1000).isoformat()


def _limit(config: Mapping[str, str], name: str) -> int | None:
    """A setting in ms; None where it is not set, or is no limit."""
    value = int(config.get(name) or -1)
    return value if value >= 0 else None
