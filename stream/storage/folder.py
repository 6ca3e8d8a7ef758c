"""Snapshots in a folder or an object store, by URL (fsspec): for state too large for a compacted topic.

Each app has a folder of its own under the URL, so that several may be given the same one. In it each task has two
manifests, `<partition>.a.manifest` and `<partition>.b.manifest`, written in turn, and a folder `<partition>.chunks` of
pieces of arrays, each named by the digest of its content, so that what did not change is not written again (rule 23).
To the digest comes a random number of the snapshot that wrote it, which is the chunk's place in the manifest (0 where
there is none, as in snapshots of before): once no manifest names a file, none will ever again, and whoever deletes it,
however late, deletes nothing that is needed.

Chunks come first, the manifest last: it never names what is not whole. A chunk that neither manifest names is deleted.
Directly before the manifest is written, and again before anything is deleted, both are read once more: where they are
others than this writer knows, another worker writes, and this one gives up.

Format 1 had one file of arrays beside each manifest, `<partition>.a.safetensors`. It is read, and never written.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from contextlib import suppress
from functools import partial

import numpy as np
import structlog

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import (
    Assembly,
    Chunk,
    Manifest,
    cut,
    decode_checkpoint,
    decode_manifest,
    describe,
    encode_manifest,
    ignore,
)
from stream.engine.snapshot_store import StoredSnapshots, StoreMemory, slot_to_write
from stream.errors import ConfigError, RetriableError, TaskCorrupted
from stream.storage.files import Files
from stream.storage.urls import open_folder

_log = structlog.get_logger("stream.storage")

_SLOTS = ("a", "b")

# A chunk that no manifest names may belong to a snapshot that another worker is writing just now, and that is not over
# yet. It takes minutes at most.
_UNFINISHED_S = 3600.0

# A task's owner stores a snapshot a minute, and one is read in less.
_LOOKS = 3

_PLACE_BITS = 48  # of a random number


class FolderSnapshotStore:
    """A SnapshotStore under a URL: a path, `file:///...`, `s3://bucket/prefix`, ...

    Args:
        url: of a folder that apps may share; made if missing. A bucket is not made.
        app: name of the app's folder in it: its topic prefix and its name, as its topics begin.
        memory: what stores of one worker share.

    Raises:
        ConfigError: fsspec knows no such kind of URL, its package is not installed, there is no such bucket, or it may
            not be used.
        RetriableError: the store does not answer.
    """

    def __init__(self, url: str, app: str, memory: StoreMemory | None = None) -> None:
        self._memory = memory or StoreMemory()
        self._files = Files(*open_folder(url, app))

    def publish(self, checkpoint: Checkpoint) -> frozenset[str]:
        """Write the chunks that are not there yet, then the manifest in place of the older or a damaged one."""
        partition = checkpoint.partition
        try:
            return self._publish(checkpoint)
        except (RetriableError, ConfigError) as error:
            raise RetriableError(
                f"snapshot of partition {partition} was not written, the one before it stays: {error}"
            ) from error

    def load(
        self, partition: int, wanted: Collection[tuple[int, str]], on_progress: Callable[[float], None] = ignore
    ) -> StoredSnapshots:
        """See SnapshotStore.load. What its owner replaced while it was read is no damage: the newer ones are read."""
        for _ in range(_LOOKS):
            contents = self._contents(partition)
            stored = self._load(partition, contents, wanted, on_progress)
            if not stored.damaged or self._contents(partition) == contents:
                break
        return stored

    def _load(
        self,
        partition: int,
        contents: Mapping[str, bytes],
        wanted: Collection[tuple[int, str]],
        on_progress: Callable[[float], None],
    ) -> StoredSnapshots:
        damaged: list[str] = []
        newest_first = self._manifests(partition, contents, damaged)
        found = [each for each in newest_first if (each[1].cycle, each[1].digest) in wanted]
        self._memory.found(partition, [manifest.digest for _, manifest in found])
        for slot, manifest in found:
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

    def _publish(self, checkpoint: Checkpoint) -> frozenset[str]:
        partition = checkpoint.partition
        contents = self._contents(partition)
        before = dict(self._manifests(partition, contents, []))
        slot = slot_to_write(_SLOTS, before, self._memory.journaled.get(partition, ()), checkpoint)
        manifest, files = _plan(before, checkpoint, self._memory.unreadable)
        new = files.keys() - _named(before.values())
        try:
            self._write_chunks(partition, {name: files[name] for name in new})
            self._check_alone(partition, contents)
            contents[slot] = self._write_manifest(partition, slot, manifest)
        except (RetriableError, ConfigError):
            # Or a full disk would stay full of them.
            with suppress(RetriableError, ConfigError):
                now = self._manifests(partition, self._contents(partition), [])
                self._remove_chunks(partition, new - _named(manifest for _, manifest in now))
            raise
        self._memory.unreadable.difference_update(chunk.key for chunk in manifest.chunks)
        sizes = self._files.sizes(_chunks_name(partition))
        # What a manifest named and is not there, or was cut short: by somebody else, or by a full disk.
        missing = {name: content for name, content in files.items() if sizes.get(name) != len(content)}
        self._write_chunks(partition, missing)
        after = before | {slot: manifest}
        replaced = _named([before[slot]]) if slot in before else set()
        unnamed = sizes.keys() - _named(after.values())
        gone = (unnamed & replaced) | self._old(partition, slot, unnamed - replaced)
        self._check_alone(partition, contents)
        self._remove_chunks(partition, gone)
        return self._published(checkpoint, after.values(), sizes.keys() | files.keys())

    def _published(self, checkpoint: Checkpoint, kept: Collection[Manifest], there: Set[str]) -> frozenset[str]:
        digests = frozenset(manifest.digest for manifest in kept if _named([manifest]) <= there)
        self._memory.published(checkpoint, digests)
        return digests

    def _write_chunks(self, partition: int, contents: Mapping[str, memoryview]) -> None:
        folder = _chunks_name(partition)

        def write(name: str) -> None:
            self._files.write(f"{folder}/{name}", contents[name], folder)

        self._files.make_folder(folder)
        self._files.for_each(contents, write)
        self._files.sync_folder(folder)

    def _write_manifest(self, partition: int, slot: str, manifest: Manifest) -> bytes:
        content = encode_manifest(manifest)
        self._files.write(_manifest_name(partition, slot), content, _chunks_name(partition))
        self._files.sync_folder("")
        self._files.remove(_format_1_name(partition, slot))
        return content

    def _check_alone(self, partition: int, contents: Mapping[str, bytes]) -> None:
        """Whether the manifests are as this writer knows them; raises RetriableError where somebody else has written.

        Nothing fences a worker that was paused in the middle and goes on when its successor has published.
        """
        if self._contents(partition) != contents:
            raise RetriableError(
                f"{self._files.path(_chunks_name(partition))}: another worker writes snapshots of this partition, or "
                "did so a moment ago; the next one begins with what is there"
            )

    def _old(self, partition: int, slot: str, unnamed: set[str]) -> set[str]:
        """Of the files that no manifest names, those that nobody is still writing."""
        if not unnamed or (now_s := self._files.modified_s(_manifest_name(partition, slot))) is None:
            return set()
        folder = _chunks_name(partition)
        written = {name: self._files.modified_s(f"{folder}/{name}") for name in unnamed}
        return {name for name, at_s in written.items() if at_s is not None and now_s - at_s > _UNFINISHED_S}

    def _remove_chunks(self, partition: int, names: Collection[str]) -> None:
        self._files.for_each([f"{_chunks_name(partition)}/{name}" for name in names], self._files.remove)

    # --- reading -------------------------------------------------------------------------------------------------

    def _contents(self, partition: int) -> dict[str, bytes]:
        """The manifests of a task by slot, as they are there."""
        found = {}
        for slot in _SLOTS:
            with suppress(FileNotFoundError):
                found[slot] = self._files.read(_manifest_name(partition, slot))
        if not found:
            self._files.check_there()
        return found

    def _manifests(
        self, partition: int, contents: Mapping[str, bytes], damaged: list[str]
    ) -> list[tuple[str, Manifest]]:
        """The readable ones by slot, newest first."""
        found = []
        for slot, content in contents.items():
            try:
                found.append((slot, decode_manifest(content)))
            except TaskCorrupted as error:
                self._leave_out(_manifest_name(partition, slot), error, damaged)
        return sorted(found, key=lambda item: (item[1].cycle, item[1].created_ms), reverse=True)

    def _checkpoint(self, slot: str, manifest: Manifest, on_progress: Callable[[float], None]) -> Checkpoint:
        if manifest.format == 1:
            file = self._files.read(_format_1_name(manifest.partition, slot))
            return decode_checkpoint(manifest, np.frombuffer(file, np.uint8))
        assembly = Assembly(manifest, on_progress)

        def read(chunk: Chunk) -> None:
            name = f"{_chunks_name(manifest.partition)}/{_file_name(chunk)}"
            try:
                assembly.put(chunk, partial(self._files.read_into, name))
            except TaskCorrupted:
                self._memory.unreadable.add(chunk.key)
                raise

        self._files.for_each({chunk.key: chunk for chunk in manifest.chunks}.values(), read)
        return assembly.checkpoint()

    def _leave_out(self, name: str, error: Exception, damaged: list[str]) -> None:
        path = self._files.path(name)
        damaged.append(f"{path}: {error}")
        _log.warning("a damaged snapshot is left out", path=path, reason=str(error))


def _plan(
    newest_first: Mapping[str, Manifest], checkpoint: Checkpoint, unreadable: Collection[str]
) -> tuple[Manifest, dict[str, memoryview]]:
    """The manifest of a checkpoint, and the files that it names: those that are there, and new ones."""
    place = secrets.randbits(_PLACE_BITS) + 1
    there = {chunk.key: chunk for manifest in reversed(list(newest_first.values())) for chunk in manifest.chunks}
    for key in unreadable:
        there.pop(key, None)
    chunks, files = [], {}
    for piece in cut(checkpoint):
        chunks.append(there.get(piece.key) or Chunk(piece.key, place, len(piece.content)))
        files[_file_name(chunks[-1])] = piece.content
    return describe(checkpoint, tuple(chunks)), files


def _named(manifests: Iterable[Manifest]) -> set[str]:
    return {_file_name(chunk) for manifest in manifests for chunk in manifest.chunks}


def _manifest_name(partition: int, slot: str) -> str:
    return f"{partition}.{slot}.manifest"


def _format_1_name(partition: int, slot: str) -> str:
    return f"{partition}.{slot}.safetensors"


def _chunks_name(partition: int) -> str:
    return f"{partition}.chunks"


def _file_name(chunk: Chunk) -> str:
    return f"{chunk.key}.{chunk.place:x}" if chunk.place else chunk.key
