"""Snapshots in a folder or an object store, by URL (fsspec): for state too large for a compacted topic.

Each app has a folder of its own under the URL, so that several may be given the same one. In it each task has two
slots, `<partition>.a` and `<partition>.b`, written in turn. A slot is two files: the arrays (.safetensors) first, the
manifest (.manifest) last, each written beside its place and then moved there, so that a manifest never describes a file
that is not whole.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import fsspec
import structlog
from fsspec.implementations.local import LocalFileSystem

from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import (
    Manifest,
    decode_checkpoint,
    decode_manifest,
    describe,
    encode_arrays,
    encode_manifest,
)
from stream.engine.snapshot_store import StoredSnapshots
from stream.errors import ConfigError, RetriableError, TaskCorrupted

_log = structlog.get_logger("stream.storage")

_SLOTS = ("a", "b")


class FolderSnapshotStore:
    """A SnapshotStore under a URL: a path, `file:///...`, `s3://bucket/prefix`, ...

    Args:
        url: of a folder that apps may share; made if missing.
        app: name of the app's folder in it: its topic prefix and its name, as its topics begin.

    Raises:
        ConfigError: fsspec knows no such kind of URL, or its driver is not installed.
    """

    def __init__(self, url: str, app: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
            self._root = f"{root.rstrip('/')}/{app}"
            self._files.makedirs(self._root, exist_ok=True)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"snapshots: {url} cannot be used: {error}") from error
        except OSError as error:
            raise ConfigError(f"snapshots: the folder {url} cannot be made: {error}") from error

    def publish(self, checkpoint: Checkpoint) -> None:
        """Write the slot of the older snapshot, or a damaged one's."""
        slot = self._slot_to_write(checkpoint.partition)
        file = encode_arrays(checkpoint)
        try:
            # The slot's old manifest goes first: it must never stand beside the new arrays.
            self._remove(self._path(checkpoint.partition, slot, "manifest"))
            self._write(self._path(checkpoint.partition, slot, "safetensors"), file)
            self._write(self._path(checkpoint.partition, slot, "manifest"), encode_manifest(describe(checkpoint, file)))
        except OSError as error:
            raise RetriableError(
                f"snapshot of partition {checkpoint.partition} was not written to {self._root}: {error}. The one "
                "before it stays; make room or check the permissions"
            ) from error

    def load(self, partition: int, wanted: Collection[tuple[int, str]]) -> StoredSnapshots:
        """See SnapshotStore.load."""
        damaged: list[str] = []
        for slot, manifest in self._manifests(partition, damaged):
            if (manifest.cycle, manifest.digest) not in wanted:
                continue
            path = self._path(partition, slot, "safetensors")
            try:
                return StoredSnapshots(decode_checkpoint(manifest, self._read(path)), tuple(damaged))
            except (TaskCorrupted, FileNotFoundError) as error:
                _leave_out(path, error, damaged)
        return StoredSnapshots(None, tuple(damaged))

    def forget(self, partition: int) -> None:
        """See SnapshotStore.forget: the manifests go first, so that none describes a file that is gone."""
        try:
            for kind in ("manifest", "safetensors"):
                for slot in _SLOTS:
                    self._remove(self._path(partition, slot, kind))
        except OSError as error:
            raise RetriableError(f"snapshots of partition {partition} in {self._root} stay: {error}") from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _manifests(self, partition: int, damaged: list[str]) -> list[tuple[str, Manifest]]:
        """The readable manifests of a task, newest first."""
        found = []
        for slot in _SLOTS:
            path = self._path(partition, slot, "manifest")
            try:
                found.append((slot, decode_manifest(self._read(path))))
            except FileNotFoundError:
                continue
            except TaskCorrupted as error:
                _leave_out(path, error, damaged)
        return sorted(found, key=lambda item: (item[1].cycle, item[1].created_ms), reverse=True)

    def _slot_to_write(self, partition: int) -> str:
        newest_first = [slot for slot, _ in self._manifests(partition, [])]
        free = [slot for slot in _SLOTS if slot not in newest_first]
        return free[0] if free else newest_first[-1]

    def _read(self, path: str) -> bytes:
        try:
            content: bytes = self._files.cat_file(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RetriableError(f"snapshot {path} cannot be read: {error}") from error
        return content

    def _write(self, path: str, content: bytes) -> None:
        """Write beside the place, then move there. Object stores put a file in one step by themselves."""
        if not isinstance(self._files, LocalFileSystem):
            self._files.pipe_file(path, content)
            return
        unfinished = f"{path}.unfinished"
        try:
            with Path(unfinished).open("wb") as file:
                file.write(content)
                _sync(file)
            Path(unfinished).replace(path)
        except OSError:
            self._remove(unfinished)
            raise

    def _remove(self, path: str) -> None:
        if self._files.exists(path):
            self._files.rm_file(path)

    def _path(self, partition: int, slot: str, kind: str) -> str:
        return f"{self._root}/{partition}.{slot}.{kind}"


def _leave_out(path: str, error: Exception, damaged: list[str]) -> None:
    damaged.append(f"{path}: {error}")
    _log.warning("a damaged snapshot is left out", path=path, reason=str(error))


def _sync(file: BinaryIO) -> None:
    """Have the bytes on the disk before the move: a crash must not leave a name without content."""
    file.flush()
    os.fsync(file.fileno())
