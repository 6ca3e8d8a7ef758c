"""Snapshots in a compacted topic: Kafka is then the only dependency (rule 23).

A task's snapshots lie in its partition. Chunks are keyed by the digest of their content, so that what did not change
is not written again; the manifest (key `manifest-a` or `manifest-b`, in turn) comes last, when every chunk is
acknowledged, and says at which offset each lies. A chunk to which no manifest refers (any more, or ever: its writer was
killed before the manifest) gets a tombstone.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer

from stream.config import KafkaSettings
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import (
    Chunk,
    Manifest,
    checksum_of,
    cut,
    decode_checkpoint,
    decode_manifest,
    describe,
    encode_arrays,
    encode_manifest,
)
from stream.engine.snapshot_store import StoredSnapshots
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.reader import Reader
from stream.records import RecordBatch, TopicPartition

_log = structlog.get_logger("stream.kafka")

_SLOTS = (b"manifest-a", b"manifest-b")
_CHUNK_BYTES = 512 * 2**10
# A record's key, headers and framing, next to its value.
_OVERHEAD_BYTES = 1024
_ACKNOWLEDGED_S = 60.0
_FLUSH_STEP_S = 0.5
_FULL_QUEUE_WAIT_S = 0.05
# The manifests are the last records but for tombstones: looked for in windows from the end, each twice the one before.
_FIRST_WINDOW = 256
# Holes between wanted chunks up to this many offsets are read over: cheaper than another fetch session.
_READ_OVER = 64


@dataclass(frozen=True, slots=True)
class _Tail:
    """What a partition holds from the older of its two manifests on."""

    manifests: dict[bytes, Manifest]  # by slot, the older one first
    chunks: frozenset[bytes]  # keys without a tombstone, from before the newest manifest: whoever wrote them is done


class TopicSnapshotStore:
    """A SnapshotStore in a compacted topic. Each method may be called from another thread than the last, never two
    at once.

    Args:
        settings: see KafkaSettings.
        topic: the compacted one.
        is_closing: whether nobody waits for it any more: what is not acknowledged then is given up.
    """

    def __init__(self, settings: KafkaSettings, topic: str, is_closing: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self._is_closing = is_closing
        self._topic = topic
        self._reader = Reader(settings, records=1000)
        self._chunk_bytes = min(_CHUNK_BYTES, settings.max_message_bytes - _OVERHEAD_BYTES)
        self._producer: Any = None

    def publish(self, checkpoint: Checkpoint) -> None:
        """Write the chunks that are not there yet, then the manifest, then tombstones for what nothing refers to.

        The stored manifests are read anew each time: another worker may have written since, and its chunks must stay.
        """
        source = TopicPartition(self._topic, checkpoint.partition)
        tail = self._read_tail(source, [])
        before = tail.manifests
        file = encode_arrays(checkpoint)
        chunks = self._write_chunks(source, cut(file, self._chunk_bytes), before.values())
        slot = _slot_to_write(before)
        self._write(source, [(slot, encode_manifest(describe(checkpoint, file, chunks)))])
        kept = {chunk.key for chunk in chunks}
        kept |= {chunk.key for name, manifest in before.items() if name != slot for chunk in manifest.chunks}
        replaced = {chunk.key.encode() for chunk in before[slot].chunks} if slot in before else set()
        gone = (replaced | tail.chunks) - {key.encode() for key in kept}
        self._write(source, [(key, None) for key in sorted(gone)])

    def load(self, partition: int, wanted: Collection[tuple[int, str]]) -> StoredSnapshots:
        """See SnapshotStore.load."""
        source = TopicPartition(self._topic, partition)
        damaged: list[str] = []
        for manifest in reversed(self._read_tail(source, damaged).manifests.values()):
            if (manifest.cycle, manifest.digest) not in wanted:
                continue
            try:
                return StoredSnapshots(decode_checkpoint(manifest, self._read_file(source, manifest)), tuple(damaged))
            except TaskCorrupted as error:
                _leave_out(source, str(error), damaged)
        return StoredSnapshots(None, tuple(damaged))

    def forget(self, partition: int) -> None:
        """See SnapshotStore.forget: a tombstone for every key, the manifests' first."""
        source = TopicPartition(self._topic, partition)
        tail = self._read_tail(source, [])
        chunks = {chunk.key.encode() for manifest in tail.manifests.values() for chunk in manifest.chunks}
        low, high = self._reader.watermarks(source)
        if low < high:
            self._write(source, [(key, None) for key in (*_SLOTS, *sorted(tail.chunks | chunks))])

    def close(self) -> None:
        """Let go of connections."""
        self._reader.close()
        if self._producer is not None:
            self._producer.purge()
            self._producer.close()

    def _write_chunks(
        self, source: TopicPartition, pieces: list[memoryview], before: Iterable[Manifest]
    ) -> tuple[Chunk, ...]:
        there = {chunk.key: chunk.place for manifest in before for chunk in manifest.chunks}
        keys = [checksum_of(piece) for piece in pieces]
        new = {key: piece for key, piece in zip(keys, pieces, strict=True) if key not in there}
        written = self._write(source, [(key.encode(), bytes(piece)) for key, piece in new.items()])
        there |= {key: written[key.encode()] for key in new}
        return tuple(Chunk(key, there[key], len(piece)) for key, piece in zip(keys, pieces, strict=True))

    def _write(self, source: TopicPartition, records: Sequence[tuple[bytes, bytes | None]]) -> Mapping[bytes, int]:
        """Write records and wait until all are acknowledged; returns the offset of each key."""
        offsets: dict[bytes, int] = {}
        failures: list[str] = []

        def on_delivery(error: Any, message: Any) -> None:
            if error is None:
                offsets[message.key()] = message.offset()
            else:
                failures.append(error.str())

        producer = self._producer_in_use()
        for key, value in records:
            self._produce(producer, source, key, value, on_delivery)
        give_up_at = time.monotonic() + _ACKNOWLEDGED_S
        while producer.flush(_FLUSH_STEP_S) and time.monotonic() < give_up_at and not self._is_closing():
            pass
        if len(offsets) < len(records):
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
                reason = raised.args[0].str()
                raise RetriableError(f"snapshot of {source.topic}[{source.partition}]: {reason}") from raised
            else:
                return

    def _producer_in_use(self) -> Any:
        if self._producer is None:
            config = client_config.idempotent_producer(self._settings)
            config |= {"delivery.report.only.error": False, "error_cb": BrokerHealth().on_error}
            self._producer = make_client(Producer, config)
        return self._producer

    def _read_tail(self, source: TopicPartition, damaged: list[str]) -> _Tail:
        """What is there from the older of the two manifests on, read from the end backwards."""
        low, high = self._reader.watermarks(source)
        seen: dict[bytes, tuple[int, bytes | None]] = {}
        end, window = high, _FIRST_WINDOW
        while end > low and not seen.keys() >= set(_SLOTS):
            start = max(low, end - window)
            here: dict[bytes, tuple[int, bytes | None]] = {}
            for batch in self._between(source, start, end):
                here.update(_last_of_each_key(batch))
            seen = {**here, **seen}
            end, window = start, window * 2
        found = {slot: (offset, value) for slot in _SLOTS if slot in seen for offset, value in [seen[slot]] if value}
        newest = max((offset for offset, _ in found.values()), default=low)
        chunks = {key for key, (offset, value) in seen.items() if value is not None and offset < newest}
        manifests = _decoded(source, sorted(found.items(), key=lambda item: item[1]), damaged)
        return _Tail(manifests, frozenset(chunks - set(_SLOTS)))

    def _between(self, source: TopicPartition, start: int, end: int) -> Iterable[RecordBatch]:
        for batch in self._reader.read_to_end(source, start):
            yield batch
            if batch.offsets[-1] >= end - 1:
                return

    def _read_file(self, source: TopicPartition, manifest: Manifest) -> bytes:
        """The arrays' file from its chunks; what is missing or damaged shows in the checksum of each chunk."""
        places = {chunk.place: chunk.key for chunk in manifest.chunks}
        content: dict[str, bytes] = {}
        for start, end in _runs(sorted(places)):
            for batch in self._between(source, start, end):
                data = batch.data.tobytes()
                for offset, (first, last) in zip(batch.offsets.tolist(), batch.values.tolist(), strict=True):
                    if offset in places and first >= 0:
                        content[places[offset]] = data[first:last]
        for chunk in manifest.chunks:
            if checksum_of(content.get(chunk.key, b"")) != chunk.key:
                raise TaskCorrupted(
                    f"snapshot of cycle {manifest.cycle}: chunk {chunk.key} at offset {chunk.place} is gone or damaged"
                )
        return b"".join(content[chunk.key] for chunk in manifest.chunks)


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


def _decoded(
    source: TopicPartition, found: Iterable[tuple[bytes, tuple[int, bytes]]], damaged: list[str]
) -> dict[bytes, Manifest]:
    manifests = {}
    for slot, (offset, content) in found:
        try:
            manifests[slot] = decode_manifest(content)
        except TaskCorrupted as error:
            _leave_out(source, f"offset {offset}: {error}", damaged)
    return manifests


def _leave_out(source: TopicPartition, reason: str, damaged: list[str]) -> None:
    damaged.append(f"{source.topic}[{source.partition}]: {reason}")
    _log.warning("a damaged snapshot is left out", topic=source.topic, partition=source.partition, reason=reason)


def _slot_to_write(manifests: Mapping[bytes, Manifest]) -> bytes:
    """A slot that is free or damaged, else the older one (the first)."""
    return next((slot for slot in _SLOTS if slot not in manifests), next(iter(manifests), _SLOTS[0]))


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Wanted offsets as ranges [start, end) worth reading in one go."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and place - runs[-1][1] <= _READ_OVER:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs
