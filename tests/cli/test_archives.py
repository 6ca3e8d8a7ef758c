"""Archives of classes: a server starts with one that is there and fits, and only a whole one gets its name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.cli.broker import archives
from stream.cli.broker.java import Java


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """A launcher, which nobody starts."""
    launcher = tmp_path / "java"
    launcher.touch()
    return Java(launcher, 17)


class Started:
    """A broker that records what it was told to, and ends as told."""

    ends_by_itself = True
    java: Java

    def __init__(
        self, folder: Path, *, downloads: Path, archives: Callable[[Path, str, Java], tuple[str, ...]]
    ) -> None:
        self._record, self._downloads = archives, downloads

    def start(self) -> None:
        """Write what the JVMs would when they end."""
        for server in ("kafka", "registry"):
            option, *_ = self._record(self._downloads, server, self.java)
            Path(option.removeprefix("-XX:ArchiveClassesAtExit=")).write_text(server)

    def stop(self) -> bool:
        """As told."""
        return self.ends_by_itself


@pytest.fixture
def started(java: Java, monkeypatch: pytest.MonkeyPatch) -> type[Started]:
    """In place of a real broker."""
    kind = type("StartedHere", (Started,), {"java": java})
    monkeypatch.setattr("stream.cli.broker.local.LocalBroker", kind)
    monkeypatch.setattr(archives, "find_java", lambda: java)
    return kind


def test_a_server_starts_with_the_archive_that_is_there(tmp_path: Path, java: Java) -> None:
    """Without one it starts as ever."""
    assert archives.used(tmp_path, "kafka", java) == ()

    made = archives.archive(tmp_path, "kafka", java)
    made.touch()

    assert archives.used(tmp_path, "kafka", java)[0] == f"-XX:SharedArchiveFile={made}"
    assert archives.used(tmp_path, "registry", java) == ()


def test_another_jvm_or_folder_has_an_archive_of_its_own(tmp_path: Path, java: Java) -> None:
    """An upgraded JVM lies where the one before it lay."""
    before = archives.archive(tmp_path, "kafka", java).name
    assert archives.archive(tmp_path / "other", "kafka", java).name != before

    os.utime(java.path, ns=(1, 1))

    assert archives.archive(tmp_path, "kafka", java).name != before


def test_archives_are_made_once(tmp_path: Path, java: Java, started: type[Started]) -> None:
    """Both get their names when both servers have ended; then nothing is started any more."""
    archives.make(tmp_path)

    assert archives.archive(tmp_path, "kafka", java).read_text() == "kafka"
    assert archives.archive(tmp_path, "registry", java).read_text() == "registry"
    started.start = None  # type: ignore[method-assign, assignment]
    archives.make(tmp_path)


def test_a_part_of_an_archive_is_never_used(tmp_path: Path, java: Java, started: type[Started]) -> None:
    """A JVM ends at its start with one: where a server was killed while it wrote, nothing gets the name."""
    started.ends_by_itself = False

    archives.make(tmp_path)

    assert list(tmp_path.iterdir()) == [java.path]
