"""Whole files in a folder or an object store: written beside their place and moved there, many at once."""

import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, TypeVar

from fsspec.implementations.local import LocalFileSystem

from stream.errors import RetriableError
from stream.storage.urls import told, told_if_missing

_Item = TypeVar("_Item")

# An object store answers in some 30 ms: 16 requests at once are some 100 MB/s of chunks of 256 KB. Two keep a disk
# busy; more would stand in the way of the polling thread.
_AT_ONCE_AWAY = 16
_AT_ONCE_HERE = 2


class Files:
    """Files below one folder, by their path from there.

    Every method raises RetriableError where the store fails, and ConfigError where it may not be used.

    Args:
        files: a file system of fsspec.
        folder: the path in it.
    """

    def __init__(self, files: Any, folder: str) -> None:
        self._files = files
        self._folder = folder
        self._is_local = isinstance(files, LocalFileSystem)

    def path(self, name: str) -> str:
        """The whole path of a file."""
        return f"{self._folder}/{name}"

    def read(self, name: str) -> bytes:
        """A file's content; raises FileNotFoundError where it is not there."""
        with told(f"{self.path(name)} cannot be read"):
            content: bytes = self._files.cat_file(self.path(name))
            return content

    def read_into(self, name: str, place: memoryview) -> int:
        """Read a file of at most so many bytes into a place; returns how many it had, one more than fit if more.

        Raises:
            FileNotFoundError: it is not there.
        """
        if not self._is_local:
            content = self.read(name)
            if len(content) == len(place):
                place[:] = content
            return len(content)
        with told(f"{self.path(name)} cannot be read"), Path(self.path(name)).open("rb", buffering=0) as file:
            return file.readinto(place) + len(file.read(1))

    def check_there(self) -> None:
        """Whether the folder is there; object stores have none. Raises RetriableError where it is not."""
        if self._is_local and not Path(self._folder).is_dir():
            raise RetriableError(f"{self._folder} is not there: mount it, or make it again")

    def write(self, name: str, content: bytes | memoryview, aside: str) -> None:
        """Write a file in one step: it is there whole, or as it was before. Object stores do so by themselves.

        Args:
            name: the file's.
            content: all of it.
            aside: a folder on the same disk, in which it is written; what is left there of a killed writer is
                somebody's to delete.
        """
        with told_if_missing(f"{self.path(name)} was not written"):
            if self._is_local:
                _write_and_move(Path(self.path(name)), content, Path(self.path(aside)))
            else:
                self._files.pipe_file(self.path(name), bytes(content))

    def make_folder(self, name: str) -> None:
        """Make a folder if it is not there; object stores have none."""
        if self._is_local:
            with told_if_missing(f"{self.path(name)} cannot be made"):
                Path(self.path(name)).mkdir(exist_ok=True)

    def sync_folder(self, name: str) -> None:
        """Have the names of a folder's files on the disk before what comes next, even if the power fails."""
        if not self._is_local:
            return
        with told_if_missing(f"{self.path(name)} was not written to the disk"):
            folder = os.open(self.path(name), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def sizes(self, folder: str) -> dict[str, int]:
        """The files of a folder by their name there, with their sizes; none where there is no such folder."""
        self._files.invalidate_cache()
        try:
            with told(f"{self.path(folder)} cannot be listed"):
                entries = self._files.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {Path(entry["name"]).name: int(entry["size"]) for entry in entries if entry["type"] == "file"}

    def modified_s(self, name: str) -> float | None:
        """When a file was last written, by the store's clock, in seconds since 1970; None where it is not there."""
        try:
            with told(f"{self.path(name)} cannot be looked at"):
                return float(self._files.modified(self.path(name)).timestamp())
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with told(f"{self.path(name)} cannot be deleted"):
            try:
                self._files.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def for_each(self, items: Iterable[_Item], act: Callable[[_Item], None]) -> None:
        """Do the same with many files at once; the first error is raised, when those begun are over."""
        # A future for each of thousands of files would be work for the garbage collector, which holds all threads up.
        every = list(items)
        waiting, has_failed = iter(every), Event()

        def work() -> None:
            for item in waiting:
                if has_failed.is_set():
                    return
                try:
                    act(item)
                except BaseException:
                    has_failed.set()
                    raise

        at_once = min(_AT_ONCE_HERE if self._is_local else _AT_ONCE_AWAY, len(every))
        with ThreadPoolExecutor(max(1, at_once), thread_name_prefix="stream-files") as threads:
            workers = [threads.submit(work) for _ in range(at_once)]
        for worker in workers:
            worker.result()

    def remove_folder(self, name: str) -> None:
        """Delete a folder with all that is in it, if it is there."""
        self._files.invalidate_cache()
        with told(f"{self.path(name)} cannot be deleted"):
            try:
                self._files.rm(self.path(name), recursive=True)
            except FileNotFoundError:
                return


def _write_and_move(path: Path, content: bytes | memoryview, aside: Path) -> None:
    # Another worker may write the same file just now.
    unfinished = aside / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.unfinished"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            _sync(file)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _sync(file: BinaryIO) -> None:
    """Have the bytes on the disk before the move: a crash must not leave a name without content."""
    file.flush()
    os.fsync(file.fileno())
