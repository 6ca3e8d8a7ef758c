"""The file of a load: which one it is, and that it stays what it was."""

from hashlib import file_digest
from pathlib import Path

_DIGEST_CHARACTERS = 32  # of the SHA-256 of the file's bytes: 128 bits


class LoadedFile:
    """A file as it was when this was made.

    Attributes:
        digest: of its bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state_of(path)  # first: what is written while the digest is made is a change
        self.digest = _digest_of(path)

    def has_changed(self) -> bool:
        """Whether it is another one now, or gone. Its bytes are read again only where somebody wrote to it."""
        try:
            state = _state_of(self._path)
            if state == self._state:
                return False
            self._state = state
            return _digest_of(self._path) != self.digest
        except OSError:
            return True


def _state_of(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _digest_of(path: Path) -> str:
    with path.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()[:_DIGEST_CHARACTERS]
