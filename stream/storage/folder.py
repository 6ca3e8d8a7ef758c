"""Snapshots in a folder or an object store, by URL (fsspec): for state too large for a compacted topic.

Each app has a folder of its own under the URL, so that several may be given the same one. In it each task has two
manifests, `<partition>.a.manifest` and `<partition>.b.manifest`, written in turn, and a folder `<partition>.chunks` of
pieces of arrays, each named by the digest of its content, so that what did not change is not written again (rule 23).
Chunks come first, the manifest last: it never names what is not whole. A chunk that neither manifest names is deleted.

Format 1 had one file of arrays beside each manifest, `<partition>.a.safetensors`. It is read, and never written.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import structlog

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import (
    Assembly,
    Chunk,
    Manifest,
    Piece,
    cut,
    decode_checkpoint,
    decode_manifest,
    describe,
    encode_manifest,
    ignore,
)
from stream.engine.snapshot_store import StoredSnapshots
from stream.errors import ConfigError, RetriableError, TaskCorrupted
from stream.storage.files import Files
from stream.storage.urls import open_folder

_log = structlog.get_logger("stream.storage")

_SLOTS = ("a", "b")

# A chunk that no manifest names may belong to a snapshot that another worker is writing just now, and that is not over
# yet. It takes minutes at most.
_UNFINISHED_S = 3600.0


class FolderSnapshotStore:
    """A SnapshotStore under a URL: a path, `file:///...`, `s3://bucket/prefix`, ...

    Args:
        url: of a folder that apps may share; made if missing. A bucket is not made.
        app: name of the app's folder in it: its topic prefix and its name, as its topics begin.
        unreadable: keys of chunks that were damaged when they were read; stores of one worker share them, so that the
            next snapshot writes them anew.

    Raises:
        ConfigError: fsspec knows no such kind of URL, its package is not installed, there is no such bucket, or it may
            not be used.
        RetriableError: the store does not answer.
    """

    def __init__(self, url: str, app: str, unreadable: set[str] | None = None) -> None:
        self._unreadable = set() if unreadable is None else unreadable
        self._files = Files(*open_folder(url, app))

    def publish(self, checkpoint: Checkpoint) -> None:
        """Write the chunks that are not there yet, then the manifest in place of the older or a damaged one."""
        partition = checkpoint.partition
        try:
            self._publish(checkpoint)
        except (RetriableError, ConfigError) as error:
            raise RetriableError(
                f"snapshot of partition {partition} was not written, the one before it stays: {error}"
            ) from error

    def load(
        self, partition: int, wanted: Collection[tuple[int, str]], on_progress: Callable[[float], None] = ignore
    ) -> StoredSnapshots:
        """See SnapshotStore.load."""
        damaged: list[str] = []
        for slot, manifest in self._manifests(partition, damaged):
            if (manifest.cycle, manifest.digest) not in wanted:
                continue
            try:
                return StoredSnapshots(self._checkpoint(slot, manifest, on_progress), tuple(damaged))
            except (TaskCorrupted, FileNotFoundError) as error:
                self._leave_out(_manifest_name(partition, slot), error, damaged)
        return StoredSnapshots(None, tuple(damaged))

    def forget(self, partition: int) -> None:
        """See SnapshotStore.forget: the manifests go first, so that none describes a file that is gone."""
        for slot in _SLOTS:
            self._files.remove(_manifest_name(partition, slot))
        for slot in _SLOTS:
            self._files.remove(_format_1_name(partition, slot))
        self._files.remove_folder(_chunks_name(partition))

    def close(self) -> None:
        """Nothing is kept open."""

    # --- writing -------------------------------------------------------------------------------------------------

    def _publish(self, checkpoint: Checkpoint) -> None:
        partition = checkpoint.partition
        before = dict(self._manifests(partition, []))
        slot = _slot_to_write(before)
        pieces = cut(checkpoint)
        there = {chunk.key for manifest in before.values() for chunk in manifest.chunks} - self._unreadable
        new = [piece for piece in pieces if piece.key not in there]
        chunks = tuple(Chunk(piece.key, 0, len(piece.content)) for piece in pieces)
        self._files.make_folder(_chunks_name(partition))
        try:
            self._write_chunks(partition, new)
            self._files.write(_manifest_name(partition, slot), encode_manifest(describe(checkpoint, chunks)))
        except (RetriableError, ConfigError):
            # Or a full disk would stay full of them.
            with suppress(RetriableError, ConfigError):
                self._files.for_each([_chunk_name(partition, piece.key) for piece in new], self._files.remove)
            raise
        self._files.remove(_format_1_name(partition, slot))
        sizes = self._files.sizes(_chunks_name(partition))
        # What a manifest named and is not there, or was cut short by a full disk: deleted by somebody, or written by a
        # worker that has lost the task and is not done yet.
        self._write_chunks(partition, [piece for piece in pieces if sizes.get(piece.key) != len(piece.content)])
        self._unreadable.difference_update(piece.key for piece in new)
        replaced = before.pop(slot, None)
        named = {chunk.key for manifest in before.values() for chunk in manifest.chunks}
        named |= {piece.key for piece in pieces}
        gone = {chunk.key for chunk in replaced.chunks} if replaced else set()
        self._delete_chunks(partition, slot, sizes.keys() - named, gone)

    def _write_chunks(self, partition: int, pieces: Sequence[Piece]) -> None:
        def write(piece: Piece) -> None:
            self._files.write(_chunk_name(partition, piece.key), piece.content)

        self._files.for_each({piece.key: piece for piece in pieces}.values(), write)

    def _delete_chunks(self, partition: int, slot: str, unnamed: set[str], replaced: set[str]) -> None:
        """Delete what the replaced manifest alone named, and what no manifest has named for long."""
        names = {key: _chunk_name(partition, key) for key in unnamed}
        others = unnamed - replaced
        if others:
            now_s = self._files.modified_s(_manifest_name(partition, slot))
            others = {key for key in others if now_s - self._files.modified_s(names[key]) > _UNFINISHED_S}
        self._files.for_each([names[key] for key in (unnamed & replaced) | others], self._files.remove)

    # --- reading -------------------------------------------------------------------------------------------------

    def _manifests(self, partition: int, damaged: list[str]) -> list[tuple[str, Manifest]]:
        """The readable manifests of a task by slot, newest first."""
        found = []
        for slot in _SLOTS:
            name = _manifest_name(partition, slot)
            try:
                found.append((slot, decode_manifest(self._files.read(name))))
            except FileNotFoundError:
                continue
            except TaskCorrupted as error:
                self._leave_out(name, error, damaged)
        return sorted(found, key=lambda item: (item[1].cycle, item[1].created_ms), reverse=True)

    def _checkpoint(self, slot: str, manifest: Manifest, on_progress: Callable[[float], None]) -> Checkpoint:
        if manifest.format == 1:
            file = self._files.read(_format_1_name(manifest.partition, slot))
            return decode_checkpoint(manifest, np.frombuffer(file, np.uint8))
        assembly = Assembly(manifest, on_progress)

        def read(chunk: Chunk) -> None:
            name = _chunk_name(manifest.partition, chunk.key)
            try:
                assembly.put(chunk, partial(self._files.read_into, name))
            except TaskCorrupted:
                self._unreadable.add(chunk.key)
                raise

        self._files.for_each({chunk.key: chunk for chunk in manifest.chunks}.values(), read)
        return assembly.checkpoint()

    def _leave_out(self, name: str, error: Exception, damaged: list[str]) -> None:
        path = self._files.path(name)
        damaged.append(f"{path}: {error}")
        _log.warning("a damaged snapshot is left out", path=path, reason=str(error))


def _slot_to_write(newest_first: Collection[str]) -> str:
    """A slot that is free or damaged, else the older one."""
    free = [slot for slot in _SLOTS if slot not in newest_first]
    return free[0] if free else list(newest_first)[-1]


def _manifest_name(partition: int, slot: str) -> str:
    return f"{partition}.{slot}.manifest"


def _format_1_name(partition: int, slot: str) -> str:
    return f"{partition}.{slot}.safetensors"


def _chunks_name(partition: int) -> str:
    return f"{partition}.chunks"


def _chunk_name(partition: int, key: str) -> str:
    return f"{_chunks_name(partition)}/{key}"
