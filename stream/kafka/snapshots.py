"""Snapshots in a compacted topic: Kafka is then the only dependency (rule 23).

A task's snapshots lie in its partition. Chunks are keyed by the digest of their content, so that what did not change
is not written again; the manifest (key `manifest-a` or `manifest-b`, in turn) comes last, when every chunk is
acknowledged, and says at which offset each lies. A chunk to which no manifest refers (any more, or ever: its writer was
killed before the manifest) gets a tombstone.

Nothing fences a worker that was paused in the middle and goes on when its successor has published. So whoever writes
looks at the log's end directly before the manifest, and again before the tombstones: where it is not where he left it,
somebody else writes, and he gives up. He writes his own slot alone, never the other one. What his look came too early
for is told by the log: a chunk with another record of its key behind it counts as not there, and the next snapshot
writes it anew, before an hour is over (`min.compaction.lag.ms`), in which compaction leaves it where it is.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from confluent_kafka import KafkaException, Producer

from stream.config import KafkaSettings
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import (
    CHUNK_BYTES,
    Assembly,
    Chunk,
    Manifest,
    Piece,
    cut,
    decode_manifest,
    describe,
    encode_manifest,
    ignore,
)
from stream.engine.snapshot_store import StoredSnapshots, StoreMemory, slot_to_write
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.reader import Reader
from stream.records import Bytes, RecordBatch, TopicPartition

_log = structlog.get_logger("stream.kafka")

_SLOTS = (b"manifest-a", b"manifest-b")
# A record's key, headers and framing, next to its value.
_OVERHEAD_BYTES = 1024
_ACKNOWLEDGED_S = 60.0
_FLUSH_STEP_S = 0.5
_LEFT_S = 5.0
_FULL_QUEUE_WAIT_S = 0.05
_QUEUED_KB = 64 << 10  # beside the snapshot itself, of which there would be a second one in the client's queue
# The manifests are the last records, but where a writer was killed: looked for in windows from the end, each twice the
# one before.
_FIRST_WINDOW = 8
# Holes between wanted chunks up to this many offsets are read over: cheaper than another fetch session.
_READ_OVER = 64
# Records are some chunks at a time, 16 MB, that there is not a second snapshot in memory.
_READ_RECORDS = 64


@dataclass(frozen=True, slots=True)
class _Tail:
    """What is known of a partition up to an offset."""

    manifests: dict[bytes, Manifest]  # readable ones by slot, the older one first
    places: Mapping[str, int]  # of chunks that manifests name and no other record of their key stands behind
    loose: frozenset[bytes]  # keys of chunks that no manifest names: whoever writes them may not be done yet
    end: int


class TopicSnapshotStore:
    """A SnapshotStore in a compacted topic. Each method may be called from another thread than the last, never two
    at once.

    Args:
        settings: see KafkaSettings.
        topic: the compacted one.
        is_closing: whether nobody waits for it any more: what is not acknowledged then is given up.
        memory: what stores of one worker share.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        is_closing: Callable[[], bool] = lambda: False,
        memory: StoreMemory | None = None,
    ) -> None:
        self._memory = memory or StoreMemory()
        self._settings = settings
        self._is_closing = is_closing
        self._topic = topic
        self._reader = Reader(settings, records=_READ_RECORDS)
        self._chunk_bytes = min(CHUNK_BYTES, settings.max_message_bytes - _OVERHEAD_BYTES)
        self._producer: Any = None
        self._known: dict[int, _Tail] = {}  # what is there when a snapshot was published, by partition

    def publish(self, checkpoint: Checkpoint) -> frozenset[str]:
        """Write the chunks that are not there yet, then the manifest, then tombstones for what nothing refers to.

        What was written since the last time is read: another worker may have written, and its chunks must stay.
        """
        source = TopicPartition(self._topic, checkpoint.partition)
        known = self._known.get(checkpoint.partition)
        tail = self._read_tail(source, []) if known is None else self._read_on(source, known)
        self._known.setdefault(checkpoint.partition, tail)  # if this one fails, the next one reads on from there
        chunks, new = self._write_chunks(source, cut(checkpoint, self._chunk_bytes), tail.places)
        manifest, journaled = describe(checkpoint, chunks), self._memory.journaled.get(checkpoint.partition, ())
        slot = slot_to_write(_SLOTS, tail.manifests, journaled, checkpoint)
        encoded = encode_manifest(manifest)
        end = tail.end + new
        self._check_alone(source, end)
        self._write(source, [(slot, encoded)])
        self._check_alone(source, end + 1)
        after = _with_manifest(tail, slot, manifest, end + 1)
        named = {chunk.key.encode() for each in after.manifests.values() for chunk in each.chunks}
        replaced = {chunk.key.encode() for chunk in tail.manifests[slot].chunks} if slot in tail.manifests else set()
        forgotten = known.loose - tail.loose if known else frozenset()
        self._write(source, [(key, None) for key in sorted((replaced | forgotten) - named)])
        self._known[checkpoint.partition] = after
        digests = frozenset(each.digest for each in after.manifests.values() if _is_whole(each, after.places))
        self._memory.published(checkpoint, digests)
        return digests

    def load(
        self, partition: int, wanted: Collection[tuple[int, str]], on_progress: Callable[[float], None] = ignore
    ) -> StoredSnapshots:
        """See SnapshotStore.load."""
        source = TopicPartition(self._topic, partition)
        damaged: list[str] = []
        newest_first = reversed(self._read_tail(source, damaged).manifests.values())
        found = [manifest for manifest in newest_first if (manifest.cycle, manifest.digest) in wanted]
        self._memory.found(partition, [manifest.digest for manifest in found])
        for manifest in found:
            try:
                return StoredSnapshots(self._read_checkpoint(source, manifest, on_progress), tuple(damaged))
            except TaskCorrupted as error:
                _leave_out(source, str(error), damaged)
        return StoredSnapshots(None, tuple(damaged))

    def forget(self, partition: int) -> None:
        """See SnapshotStore.forget: a tombstone for every key, the manifests' first."""
        source = TopicPartition(self._topic, partition)
        tail = self._read_tail(source, [])
        chunks = {chunk.key.encode() for manifest in tail.manifests.values() for chunk in manifest.chunks}
        self._known.pop(partition, None)
        low, high = self._reader.watermarks(source)
        if low < high:
            self._write(source, [(key, None) for key in (*_SLOTS, *sorted(tail.loose | chunks))])

    def close(self) -> None:
        """Let go of connections."""
        self._reader.close()
        if self._producer is not None:
            self._producer.purge()
            self._producer.close()

    def _write_chunks(
        self, source: TopicPartition, pieces: Sequence[Piece], places: Mapping[str, int]
    ) -> tuple[tuple[Chunk, ...], int]:
        """Write the chunks that are not there; returns all of them with their places, and how many were written."""
        there, unreadable = dict(places), self._memory.unreadable
        new = {piece.key: piece for piece in pieces if piece.key not in there or piece.key in unreadable}
        written = self._write(source, ((key.encode(), bytes(piece.content)) for key, piece in new.items()))
        there |= {key: written[key.encode()] for key in new}
        unreadable.difference_update(new)
        return tuple(Chunk(piece.key, there[piece.key], len(piece.content)) for piece in pieces), len(new)

    def _check_alone(self, source: TopicPartition, end: int) -> None:
        """Whether the log ends where this writer left it; raises RetriableError where somebody else has written."""
        _, found = self._reader.watermarks(source)
        if found != end:
            raise RetriableError(
                f"snapshot of {source.topic}[{source.partition}]: the log ends at {found}, not at {end}: another "
                "worker writes snapshots there, or did so a moment ago; the next one begins with what is there"
            )

    def _write(self, source: TopicPartition, records: Iterable[tuple[bytes, bytes | None]]) -> Mapping[bytes, int]:
        """Write records and wait until all are acknowledged; returns the offset of each key."""
        offsets: dict[bytes, int] = {}
        failures: list[str] = []

        def on_delivery(error: Any, message: Any) -> None:
            if error is None:
                offsets[message.key()] = message.offset()
            else:
                failures.append(error.str())

        producer, produced = self._producer_in_use(), 0
        for key, value in records:
            self._produce(producer, source, key, value, on_delivery)
            produced += 1
        give_up_at = time.monotonic() + _ACKNOWLEDGED_S
        while producer.flush(_FLUSH_STEP_S) and time.monotonic() < give_up_at and not self._is_closing():
            pass
        if len(offsets) < produced:
            self._producer = None  # an idempotent producer may be beyond repair once it lost a record
            late = "the worker is closing" if self._is_closing() else f"not acknowledged in {_ACKNOWLEDGED_S:.0f} s"
            reason = failures[0] if failures else late
            raise RetriableError(f"snapshot of {source.topic}[{source.partition}] was not written: {reason}")
        return offsets

    def _produce(
        self, producer: Any, source: TopicPartition, key: bytes, value: bytes | None, on_delivery: Any
    ) -> None:
        while True:
            try:
                producer.produce(source.topic, value, key, source.partition, on_delivery)
            except BufferError:
                if self._is_closing():
                    raise RetriableError(f"snapshot of {source.topic}[{source.partition}]: closing") from None
                producer.poll(_FULL_QUEUE_WAIT_S)
            except KafkaException as raised:
                producer.flush(_LEFT_S)  # what is queued would come in the middle of the next snapshot
                reason = raised.args[0].str()
                raise RetriableError(f"snapshot of {source.topic}[{source.partition}]: {reason}") from raised
            else:
                return

    def _producer_in_use(self) -> Any:
        if self._producer is None:
            config = client_config.idempotent_producer(self._settings)
            config |= {"delivery.report.only.error": False, "error_cb": BrokerHealth().on_error}
            config["queue.buffering.max.kbytes"] = _QUEUED_KB
            self._producer = make_client(Producer, config)
        return self._producer

    def _read_tail(self, source: TopicPartition, damaged: list[str]) -> _Tail:
        """The manifests and what lies behind them, read from the end backwards."""
        low, high = self._reader.watermarks(source)
        seen: dict[bytes, tuple[int, bytes | None]] = {}
        end, window = high, _FIRST_WINDOW
        while end > low and not seen.keys() >= set(_SLOTS):
            start = max(low, end - window)
            seen = {**self._last_records(source, start, end), **seen}
            end, window = start, window * 2
        return _tail(source, _Tail({}, {}, frozenset(), low), seen, high, damaged)

    def _read_on(self, source: TopicPartition, known: _Tail) -> _Tail:
        """What is there now, from what was known and what was written since."""
        low, high = self._reader.watermarks(source)
        if not low <= known.end <= high:
            return self._read_tail(source, [])  # the topic was made anew
        return _tail(source, known, self._last_records(source, known.end, high), high, [])

    def _last_records(self, source: TopicPartition, start: int, end: int) -> dict[bytes, tuple[int, bytes | None]]:
        """Of each key the last record from `start` up to `end`."""
        found: dict[bytes, tuple[int, bytes | None]] = {}
        if start < end:
            for batch in self._between(source, start, end):
                found.update(_last_of_each_key(batch))
        return found

    def _between(self, source: TopicPartition, start: int, end: int) -> Iterable[RecordBatch]:
        for batch in self._reader.read_to_end(source, start):
            yield batch
            if batch.offsets[-1] >= end - 1:
                return

    def _read_checkpoint(
        self, source: TopicPartition, manifest: Manifest, on_progress: Callable[[float], None]
    ) -> Checkpoint:
        assembly = Assembly(manifest, on_progress)
        wanted = {chunk.place: chunk for chunk in manifest.chunks}
        for start, end in _runs(sorted(wanted)):
            for batch in self._between(source, start, end):
                for offset, (first, last) in zip(batch.offsets.tolist(), batch.values.tolist(), strict=True):
                    if first >= 0 and (chunk := wanted.pop(offset, None)) is not None:
                        self._put(assembly, chunk, batch.data[first:last])
        for chunk in wanted.values():
            self._put(assembly, chunk, np.zeros(0, np.uint8))
        return assembly.checkpoint()

    def _put(self, assembly: Assembly, chunk: Chunk, content: Bytes) -> None:
        def fill(place: memoryview) -> int:
            if len(content) == len(place):
                place[:] = content.data
            return len(content)

        try:
            assembly.put(chunk, fill)
        except TaskCorrupted:
            self._memory.unreadable.add(chunk.key)
            raise


def _last_of_each_key(batch: RecordBatch) -> dict[bytes, tuple[int, bytes | None]]:
    """Offset of the last record of each key, with its content for manifests, b"" for chunks, None for tombstones."""
    data = batch.data.tobytes()
    found: dict[bytes, tuple[int, bytes | None]] = {}
    for offset, (key, key_end), (value, value_end) in zip(
        batch.offsets.tolist(), batch.keys.tolist(), batch.values.tolist(), strict=True
    ):
        name = data[key:key_end]
        content = data[value:value_end] if name in _SLOTS else b""
        found[name] = (offset, content if value >= 0 else None)
    return found


def _tail(
    source: TopicPartition,
    known: _Tail,
    seen: Mapping[bytes, tuple[int, bytes | None]],
    end: int,
    damaged: list[str],
) -> _Tail:
    """What was known, but for what the records seen replace, and the chunks among these."""
    found = {slot: manifest for slot, manifest in known.manifests.items() if slot not in seen}
    for slot in _SLOTS:
        offset, content = seen.get(slot, (0, None))
        if content is not None:
            try:
                found[slot] = decode_manifest(content)
            except TaskCorrupted as error:
                _leave_out(source, f"offset {offset}: {error}", damaged)
    offsets = {slot: seen[slot][0] if slot in seen else -1 for slot in found}  # of two of one cycle the last is newer
    older_first = sorted(found.items(), key=lambda item: (item[1].cycle, item[1].created_ms, offsets[item[0]]))
    named = {chunk.key.encode() for manifest in found.values() for chunk in manifest.chunks}
    loose = {key for key, (_, content) in seen.items() if content is not None} - set(_SLOTS) - named
    return _Tail(dict(older_first), _places(found, known, seen), frozenset(loose), end)


def _places(
    manifests: Mapping[bytes, Manifest], known: _Tail, seen: Mapping[bytes, tuple[int, bytes | None]]
) -> dict[str, int]:
    """Where the chunks of manifests lie that are the last record of their key.

    One with a tombstone or another chunk behind it is not there any more once the topic is compacted.
    """
    places: dict[str, int] = {}
    for slot, manifest in manifests.items():
        for chunk in manifest.chunks:
            was_there = slot in seen or known.places.get(chunk.key) == chunk.place
            last, _ = seen.get(chunk.key.encode(), (chunk.place, None))
            if was_there and last <= chunk.place:
                places[chunk.key] = max(chunk.place, places.get(chunk.key, 0))
    return places


def _with_manifest(tail: _Tail, slot: bytes, manifest: Manifest, end: int) -> _Tail:
    """What is there once a manifest was written."""
    manifests = {name: other for name, other in tail.manifests.items() if name != slot} | {slot: manifest}
    named = {chunk.key for each in manifests.values() for chunk in each.chunks}
    places = {key: place for key, place in tail.places.items() if key in named}
    places |= {chunk.key: chunk.place for chunk in manifest.chunks}
    return _Tail(manifests, places, tail.loose - {key.encode() for key in named}, end)


def _is_whole(manifest: Manifest, places: Mapping[str, int]) -> bool:
    return all(places.get(chunk.key) == chunk.place for chunk in manifest.chunks)


def _leave_out(source: TopicPartition, reason: str, damaged: list[str]) -> None:
    damaged.append(f"{source.topic}[{source.partition}]: {reason}")
    _log.warning("a damaged snapshot is left out", topic=source.topic, partition=source.partition, reason=reason)


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Wanted offsets as ranges [start, end) worth reading in one go."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and place - runs[-1][1] <= _READ_OVER:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs
