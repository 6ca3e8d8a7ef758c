"""Who may use the API: each operator has a name and a token, so that "by whom" means something."""

import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# 128 bits are out of reach for guessing over a network; shorter ones are typed by people.
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Tokens:
    """Operators' tokens by name."""

    by_name: Mapping[str, str]

    def name_of(self, token: str) -> str | None:
        """Whose token it is; None if nobody's. Takes the same time for every wrong token of one length."""
        found = None
        for name, known in self.by_name.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                found = name
        return found


def parse_tokens(text: str, where: str) -> Tokens:
    """Tokens from `NAME TOKEN` a line (or `NAME=TOKEN`, separated by commas); `#` begins a comment line.

    Raises ConfigError that names `where` and the line, never the token.
    """
    by_name: dict[str, str] = {}
    for number, line in enumerate(re.split(r"[\n,]", text), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, token, *_ = [*re.split(r"[\s=]+", line.strip(), maxsplit=1), ""]
        _check(name, token, by_name, f"{where}, entry {number}")
        by_name[name] = token
    if not by_name:
        raise ConfigError(f"{where} holds no token: write NAME TOKEN a line")
    return Tokens(by_name)


def load_or_create(path: Path, name: str) -> Tokens:
    """The tokens in `path`; if there is no such file, it is made with one token for `name`, readable by its owner only.

    Raises ConfigError if the file can be read by others or holds something else.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(path, f"{name} {secrets.token_urlsafe(32)}\n")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{path} can be read by others (mode {mode:o}): run chmod 600 {path}, and make new tokens")
    return parse_tokens(path.read_text(), str(path))


def _create(path: Path, text: str) -> None:
    # Written under another name and then linked: of two that start at once one makes the file, and nobody reads half.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def _check(name: str, token: str, known: Mapping[str, str], where: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has 1 to 64 letters, digits, dots, dashes, underscores or @")
    if re.search(r"\s", token):
        raise ConfigError(f"{where}: the token of {name} has a blank in it")
    if len(token) < _SHORTEST_TOKEN:
        raise ConfigError(f"{where}: the token of {name} has fewer than {_SHORTEST_TOKEN} characters")
    if name in known or token in known.values():
        raise ConfigError(f"{where}: the name or token of {name} is there twice")
