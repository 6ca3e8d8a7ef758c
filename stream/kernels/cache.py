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
from typing import IO, Any, Final, Protocol

import llvmlite
import numba
import numpy as np
from numba.core import serialize
from numba.core.runtime import rtsys

from stream.errors import ConfigError
from stream.kernels.digest import digest_of

_CHECKSUM_BYTES: Final = 32
_MAGIC: Final = "stream kernel 2"  # raise it when the content of an entry changes its shape


class KernelForm(Protocol):
    """What the cache needs to know of a form (forms.py)."""

    @property
    def kind(self) -> str:
        """Its name."""

    def rebuild(self, target_context: Any, reduced: Any) -> Any:
        """The compiled result whose `_reduce` gave `reduced`."""


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


class KernelCache:
    """What is kept of one kernel, in each form (see forms.py) and for each signature; nothing without a folder.

    Args:
        kernel: its Python function.
        target: numba's target context.
    """

    def __init__(self, kernel: Any, target: Any) -> None:
        self._kernel = kernel
        self._target = target

    def compiling_alone(self, signature: Any, form: KernelForm) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of this kernel for a signature; nothing where nothing is kept."""
        if _Place.folder is None:
            return contextlib.nullcontext()
        return compiling_alone(self._entry(signature, form))

    def _entry(self, signature: Any, form: KernelForm) -> str:
        kernel = self._kernel
        parts = (
            _MAGIC,
            form.kind,
            digest_of(kernel),
            kernel.__module__,
            kernel.__qualname__,
            repr(signature),
            repr(self._target.codegen().magic_tuple()),
            numba.__version__,
            llvmlite.__version__,
            np.__version__,
            platform.python_version(),
        )
        return f"{kernel.__name__}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.kernel"

    def load(self, signature: Any, form: KernelForm) -> Any:
        """The compiled result for a signature, None where it is not there or cannot be read."""
        if _Place.folder is None:
            return None
        try:
            content = (_Place.folder / self._entry(signature, form)).read_bytes()
        except OSError:
            return None
        checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(payload).digest() != checksum:
            return None
        try:
            # What machine code calls of numba's own. Not `refresh`, which tells the compiler all that numba knows, and
            # imports scipy for it: two thirds of a warm start, and numba's compiler does it where it compiles.
            rtsys.initialize(self._target)
            return form.rebuild(self._target, pickle.loads(payload))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, compiling again is right
            return None

    def save(self, signature: Any, form: KernelForm, compiled: Any) -> None:
        """Write the compiled result, if it can be kept (code with addresses of this process in it cannot)."""
        if _Place.folder is None or compiled.library.has_dynamic_globals:
            return
        # The annotated source is for people and larger than the code.
        payload = serialize.dumps(compiled._replace(type_annotation="")._reduce())
        content = hashlib.sha256(payload).digest() + payload
        with contextlib.suppress(OSError):
            write_whole(_Place.folder / self._entry(signature, form), content)
