"""A reader at a terminal: types the commands of a document, one after the other, and sees what they say."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli.main import make_app


@dataclass(frozen=True, slots=True)
class Said:
    """What a command came to."""

    command: str
    status: int
    text: str  # stdout, stderr, and the error that ended it


class Terminal:
    """A shell whose `stream` runs in this process, so that a page of commands takes seconds.

    Args:
        home: what `~` means; the folder to begin in.
        patch: what is changed for it ends with the test.
    """

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self._home = home
        self._patch = patch
        patch.setenv("HOME", str(home))
        patch.chdir(home)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)

    def type(self, block: str) -> list[Said]:
        """Type the commands of a block; whatever one comes to, the next is typed too."""
        return [self._run(command) for command in commands(block)]

    def _run(self, command: str) -> Said:
        words = shlex.split(command, comments=True)
        if words[0] == "cd":
            self._patch.chdir(Path(words[1]).expanduser())
            return Said(command, 0, "")
        if words[0] == "stream":
            return self._run_stream(command, words[1:])
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        return Said(command, done.returncode, done.stdout + done.stderr)

    def _run_stream(self, command: str, words: list[str]) -> Said:
        self._forget_modules()
        done = CliRunner().invoke(make_app(words[0]), words)
        error = "" if done.exception is None or isinstance(done.exception, SystemExit) else str(done.exception)
        return Said(command, done.exit_code, done.output + error)

    def _forget_modules(self) -> None:
        """A command of its own process would read the reader's modules anew, and none of another test."""
        importlib.invalidate_caches()
        for module in Path.cwd().glob("*.py"):
            sys.modules.pop(module.stem, None)


def sections(page: str) -> dict[str, list[str]]:
    """The shell blocks of a page by the first word of their heading."""
    parts = re.split(r"^## (\S+).*$", page, flags=re.MULTILINE)
    return {
        name: re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def commands(block: str) -> Iterator[str]:
    """One after the other; a here-document belongs to its command."""
    lines = iter(block.splitlines())
    for line in lines:
        here = re.search(r"<<'(\w+)'", line)
        whole = [line]
        while here and whole[-1] != here[1]:
            whole.append(next(lines))
        if line.strip():
            yield "\n".join(whole)
