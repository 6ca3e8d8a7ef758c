"""Dead letters as values: what was rejected, why, and whether it was sent back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream.engine.dead_letters import PREFIX, reason_of, without_reason
from stream.errors import ConfigError

# A record of this header in a partition of the dead-letter topic names offsets of that partition that were sent back.
# It is written in the transaction that sends them, so it stands there exactly if they were, and as long as they do.
REPLAYED_HEADER = PREFIX + "replayed"
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter."""

    partition: int  # of the dead-letter topic
    offset: int
    key: bytes | None  # as the record had it; so value, headers and timestamp
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    error: str
    field: str
    expected: str
    got: str
    source_topic: str
    source_partition: int
    source_offset: int
    app: str
    time_ms: int  # when it was rejected
    checksum: str = ""  # SHA-256 of the value, where the record was too large to be kept: the source still has it
    is_replayed: bool = False

    @property
    def id(self) -> str:
        """partition/offset in the dead-letter topic."""
        return f"{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; all that is not empty must hold."""

    error: str = ""
    field: str = ""
    partition: int | None = None  # of the source topic
    offsets: tuple[int, int] | None = None  # of the source topic: first and last
    ids: frozenset[str] = frozenset()

    def takes(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        first, last = self.offsets or (0, letter.source_offset)
        return (
            self.error in ("", letter.error)
            and self.field in ("", letter.field)
            and self.partition in (None, letter.source_partition)
            and first <= letter.source_offset <= last
            and (not self.ids or letter.id in self.ids)
        )


def letters_of(messages: Iterable[Any]) -> tuple[Letter, ...]:
    """The dead letters among the records of a dead-letter topic, each marked if it was sent back.

    Args:
        messages: of confluent-kafka, whole partitions. Records that are no dead letters are left out.
    """
    letters: list[tuple[Any, dict[str, str]]] = []
    replayed: dict[int, set[int]] = {}
    for message in messages:
        headers = message.headers() or []
        reason = reason_of(headers)
        if {"error", "topic", "partition", "offset"} <= reason.keys():
            letters.append((message, reason))
        elif packed := dict(headers).get(REPLAYED_HEADER):
            replayed.setdefault(message.partition(), set()).update(unpack_offsets(packed.decode()))
    return tuple(_letter(message, reason, replayed.get(message.partition(), _NONE)) for message, reason in letters)


def parse_offsets(text: str) -> tuple[int, int] | None:
    """`120` or `100-200`, both included; None where empty. Raises ConfigError for anything else."""
    if not text:
        return None
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ConfigError(f"--offsets {text}: an offset or FIRST-LAST was expected, e.g. 100-200")
    if dash and int(last) < int(first):
        raise ConfigError(f"--offsets {text}: the first comes after the last; did you mean {last}-{first}?")
    return int(first), int(last if dash else first)


def pack_offsets(offsets: Sequence[int]) -> str:
    """Ascending offsets in few characters: `3-7,9`."""
    runs: list[list[int]] = []
    for offset in sorted(offsets):
        if runs and offset == runs[-1][1] + 1:
            runs[-1][1] = offset
        else:
            runs.append([offset, offset])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unpack_offsets(text: str) -> set[int]:
    """What `pack_offsets` packed."""
    runs = [part.partition("-") for part in text.split(",") if part]
    return {offset for first, dash, last in runs for offset in range(int(first), int(last if dash else first) + 1)}


def as_object(letter: Letter) -> dict[str, Any]:
    """For programs; key, value and headers are left to `show`."""
    names = ("id", "error", "field", "expected", "got", "source_topic", "source_partition", "source_offset")
    return {
        **{name: getattr(letter, name) for name in names},
        "time_ms": letter.time_ms,
        "replayed": letter.is_replayed,
    }


def to_json(value: Any) -> str:
    """JSON in one line."""
    return orjson.dumps(value, default=str).decode()


def _letter(message: Any, reason: dict[str, str], replayed: Iterable[int]) -> Letter:
    return Letter(
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        headers=tuple(without_reason(message.headers())),
        timestamp_ms=message.timestamp()[1],
        error=reason["error"],
        field=reason.get("field", ""),
        expected=reason.get("expected", ""),
        got=reason.get("got", ""),
        source_topic=reason["topic"],
        source_partition=int(reason["partition"]),
        source_offset=int(reason["offset"]),
        app=reason.get("app", ""),
        time_ms=int(reason.get("time_ms", "-1")),
        checksum=reason.get("sha256", ""),
        is_replayed=message.offset() in replayed,
    )
