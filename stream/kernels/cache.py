"""Compiled kernels on disk, in a cache that cannot go stale.

numba's own cache returns old results when a function called in another module has changed, and fails at every start
once a file is torn. Here an entry's name carries the digest of everything its code was made of, it is written aside and
renamed, it begins with its own checksum, and one that cannot be read is made again.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pickle
import platform
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import llvmlite
import numba
import numpy as np
from numba.core import serialize
from numba.core.caching import CompileResultCacheImpl, _Cache

from stream.errors import ConfigError
from stream.kernels.digest import digest_of

_CHECKSUM_BYTES: Final = 32
_MAGIC: Final = "stream kernel 1"  # raise it when the content of an entry changes its shape


class _Place:
    """Where entries lie: None until the runtime says so."""

    folder: Path | None = None


class _Compiling:
    """What this process compiles now: a kernel, in it one that it calls, and so on."""

    entries: tuple[str, ...] = ()
    lock: IO[bytes] | None = None  # open as long as there are entries


def use_cache(folder: Path | None) -> None:
    """Keep compiled kernels in `folder` from now on; None keeps nothing on disk.

    The folder is made if need be, readable by its owner alone: its files are pickles, and whoever may write them may
    run code as the worker. Raises ConfigError where it belongs to another user or is no folder.
    """
    if folder is not None:
        _make_private(folder)
    _Place.folder = folder


def cache_folder() -> Path | None:
    """The folder given to use_cache."""
    return _Place.folder


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(f"kernel cache {folder} cannot be made ({error.strerror}): name another folder") from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"kernel cache {folder} is not a folder of its own (a link?): name another folder")
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"kernel cache {folder} belongs to user {status.st_uid}, this process runs as {os.geteuid()}: its "
            "files are code, so only a folder of the worker's own user will do; name another one"
        )
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)


@contextlib.contextmanager
def compiling_alone(entry: str) -> Iterator[None]:
    """Hold the lock of one kernel: one process compiles it, those that want it too wait and then load. Reentrant.

    Each entry has one byte of one lock file, so that processes compile different kernels at once. To be entered under
    numba's own compiler lock, so that threads of one process cannot wait for each other here.

    Args:
        entry: the name under which the cache keeps the kernel for this signature.
    """
    folder = _Place.folder
    if folder is None or entry in _Compiling.entries:
        yield
        return
    outer_entries, outer_lock = _Compiling.entries, _Compiling.lock
    with contextlib.nullcontext(outer_lock) if outer_lock else (folder / "lock").open("ab") as lock:
        _Compiling.entries, _Compiling.lock = (*outer_entries, entry), lock
        place = int.from_bytes(hashlib.sha256(entry.encode()).digest()[:7])
        _lock_byte(lock, place)
        try:
            yield
        finally:
            fcntl.lockf(lock, fcntl.LOCK_UN, 1, place)
            _Compiling.entries, _Compiling.lock = outer_entries, outer_lock


def _lock_byte(lock: IO[bytes], place: int) -> None:
    """Wait for it, unless the process that holds it waits for one of ours: then both compile, which does no harm."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
    except OSError as error:
        if error.errno != errno.EDEADLK:
            raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing. A full disk is no reason to stop: it is left out."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)


class KernelCache(_Cache):  # type: ignore[misc]
    """The cache of one kernel, in the place of numba's own."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._implementation = CompileResultCacheImpl.__new__(CompileResultCacheImpl)  # only how results are pickled

    @property
    def cache_path(self) -> str | None:
        """The folder, as numba wants it."""
        return None if _Place.folder is None else str(_Place.folder)

    def enable(self) -> None:
        """Nothing: use_cache decides for all kernels."""

    def disable(self) -> None:
        """Nothing: use_cache decides for all kernels."""

    def flush(self) -> None:
        """Nothing: entries do not go stale."""

    def compiling_alone(self, signature: Any) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of this kernel for a signature; nothing where nothing is kept."""
        if _Place.folder is None:
            return contextlib.nullcontext()
        return compiling_alone(self._entry(signature, self._dispatcher.targetctx))

    def _entry(self, signature: Any, target: Any) -> str:
        kernel = self._dispatcher.py_func
        parts = (
            _MAGIC,
            digest_of(kernel),
            kernel.__module__,
            kernel.__qualname__,
            repr(signature),
            repr(target.codegen().magic_tuple()),
            numba.__version__,
            llvmlite.__version__,
            np.__version__,
            platform.python_version(),
        )
        return f"{kernel.__name__}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.kernel"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled result for a signature, None where it is not there or cannot be read."""
        if _Place.folder is None:
            return None
        try:
            content = (_Place.folder / self._entry(sig, target_context)).read_bytes()
        except OSError:
            return None
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(payload).digest() != checksum:
            return None
        try:
            target_context.refresh()
            return self._implementation.rebuild(target_context, pickle.loads(payload))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, compiling again is right
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the compiled result, if it can be kept (code with addresses of this process in it cannot)."""
        if _Place.folder is None or data.library.has_dynamic_globals:
            return
        # The annotated source is for people and larger than the code.
        payload = serialize.dumps(self._implementation.reduce(data._replace(type_annotation="")))
        content = hashlib.sha256(payload).digest() + payload
        with contextlib.suppress(OSError):
            write_whole(_Place.folder / self._entry(sig, self._dispatcher.targetctx), content)
