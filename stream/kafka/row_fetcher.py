"""Reads segments of feature rows back for labels (rule 36).

They lie in the task's partition of the app's topic of features, each a record keyed by its name: the offset of the
event of its first row. So names grow with offsets, and a segment whose place is not known is searched for.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from stream.config import KafkaSettings
from stream.engine.protocol import FetchRows, RowsFetched
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka import client_config
from stream.kafka.admin import Admin
from stream.kafka.mailbox import Mailbox
from stream.kafka.reader import Reader
from stream.records import TopicPartition

_log = structlog.get_logger("stream.kafka")

# A poll brings what came in one fetch; labels come about in the order of their events, and want the next ones too.
_RECORDS = 64
_POLL_S = 0.05
_SILENCE_S = 30.0
_AGAIN_S = 0.05
_LONGEST_WAIT_S = 5.0


@dataclass(slots=True)
class _Places:
    """Where segments of one partition lie, as far as it is known: names and offsets, both ascending."""

    names: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, name: int, offset: int) -> None:
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            self.names.insert(at, name)
            self.offsets.insert(at, offset)

    def guess(self, name: int) -> int:
        """About where a segment lies, between the places of those before and behind it; 0 where none is known."""
        if not self.names:
            return 0
        at = bisect_left(self.names, name)
        below, above = max(0, at - 1), min(at, len(self.names) - 1)
        names, offsets = self.names[above] - self.names[below], self.offsets[above] - self.offsets[below]
        return self.offsets[below] + (name - self.names[below]) * offsets // max(1, names) - 1


class RowFetcher:
    """Answers FetchRows, one after the other, in a thread of its own.

    Args:
        settings: see KafkaSettings.
        topic: of the app's feature rows.
        mailbox: takes the answers.
    """

    def __init__(self, settings: KafkaSettings, topic: str, mailbox: Mailbox) -> None:
        self._settings = settings
        self._topic = topic
        self._mailbox = mailbox
        self._reader: Reader | None = None
        self._places: dict[int, _Places] = {}
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stream-rows")

    def fetch(self, wanted: FetchRows) -> None:
        """Ask for segments; the answer is posted."""
        self._mailbox.run(self._thread, lambda: self._fetch(wanted))

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()

    def read(self, wanted: FetchRows) -> RowsFetched | None:
        """Read segments in the caller's thread; None once it is closing."""
        return self._fetch(wanted)

    def _fetch(self, wanted: FetchRows) -> RowsFetched | None:
        """Look again and again for what may still become visible.

        The task asks for segments whose commit has returned: they lie before the end that the log has by now. Once all
        transactions before that end are over, what is not there is gone; until then their markers may be on their way,
        or a dead worker's transaction hides what lies behind its records.
        """
        source = TopicPartition(self._topic, wanted.partition)
        found: dict[int, bytes | None] = {}
        end, wait_s = None, _AGAIN_S
        while not self._closing.is_set():
            try:
                stable = self._look(source, [name for name in wanted.names if name not in found], found)
                if len(found) < len(wanted.names) and end is None:
                    end = Admin(self._settings).end(source)
                    continue
                if end is not None and stable >= end:
                    found = dict.fromkeys(wanted.names) | found
            except (RetriableError, TaskCorrupted) as error:  # TaskCorrupted: a record expired while it was looked for
                _log.warning("feature rows not read yet", partition=wanted.partition, error=str(error))
            if len(found) == len(wanted.names):
                self._tell_lost(source, found)
                return RowsFetched(wanted.partition, found)
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        return None

    def _look(self, source: TopicPartition, names: list[int], found: dict[int, bytes | None]) -> int:
        """Search for segments; what is certainly not there any more becomes None, what may still come is left out.

        Returns:
            Up to which offset all transactions were over before the search.
        """
        if self._reader is None:
            self._reader = Reader(self._settings, _RECORDS, client_config.row_reader(self._settings))
        low, high = self._reader.watermarks(source)
        places = self._places.setdefault(source.partition, _Places())
        if places.offsets and places.offsets[-1] >= high:  # the topic was made anew
            places = self._places[source.partition] = _Places()
        try:
            for name in names:
                if name not in found:
                    self._search(source, name, low, high, found, set(names))
        finally:
            self._reader.stop()
        return high

    def _search(
        self,
        source: TopicPartition,
        name: int,
        low: int,
        high: int,
        found: dict[int, bytes | None],
        wanted: set[int],
    ) -> None:
        """Between the places that are known, first directly behind the one before; then in turn where it lies if events
        wait evenly, and in the middle of what is left."""
        places = self._places[source.partition]
        at = bisect_left(places.names, name)
        begin = max(low, places.offsets[at - 1] + 1) if at else low
        is_known = at < len(places.names)  # of a later one, or of this
        end = min(high, places.offsets[at] + 1) if is_known else high
        probe = max(low, places.offsets[at]) if is_known and places.names[at] == name else begin
        is_even = True
        while begin < end:
            first = None
            for first_name, offset, content in self._records(source, probe, end):
                places.add(first_name, offset)
                if first_name in wanted:
                    found[first_name] = content
                first = (first_name, offset) if first is None else first
                last = (first_name, offset)
            if name in found:
                return
            if first is None or first[0] > name:
                is_known, end = is_known or first is not None, probe
            else:
                begin = last[1] + 1
            probe = min(max(begin, places.guess(name)), end - 1) if is_even else (begin + end) // 2
            is_even = not is_even
        if is_known:  # a later segment is there, this one is not
            found[name] = None

    def _records(self, source: TopicPartition, offset: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Name, offset and content of the first records from an offset on: those of one poll, before `end`."""
        assert self._reader is not None
        self._reader.start({source: offset})
        give_up_at = time.monotonic() + _SILENCE_S
        while not (batches := self._reader.poll(_POLL_S)) and not self._reader.is_at_end:
            if self._closing.is_set() or time.monotonic() > give_up_at:
                raise RetriableError(f"{source.topic}[{source.partition}]: nothing came for {_SILENCE_S:.0f} s")
        for batch in batches:
            data = batch.data.tobytes()
            for at, (key, key_end), (value, value_end) in zip(
                batch.offsets.tolist(), batch.keys.tolist(), batch.values.tolist(), strict=True
            ):
                if at < end and data[key:key_end].isdigit():  # another record is nobody's of ours
                    yield int(data[key:key_end]), at, data[value:value_end]

    def _tell_lost(self, source: TopicPartition, found: dict[int, bytes | None]) -> None:
        if lost := sum(content is None for content in found.values()):
            _log.error(
                "feature rows are gone before their labels came: is the topic's retention.ms too short?",
                topic=source.topic,
                partition=source.partition,
                segments=lost,
            )
