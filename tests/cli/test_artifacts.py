"""Artifacts arrive whole or not at all: taken up where they stopped, checked, once for all who wait for them."""

import errno
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream.cli.broker import artifacts, download
from stream.cli.broker.artifacts import Artifact, install, locked_artifacts
from stream.cli.broker.reports import AdvanceBy, PlainReport
from stream.errors import ConfigError, RetriableError

JAR = b"a jar's content, long enough to be interrupted" * 1000


def archive() -> bytes:
    """A registry archive with a runner and a library."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("registry-1.0-runner.jar", "lib/library.jar"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    return buffer.getvalue()


class Repository:
    """A repository of two files on this machine, which remembers what it was asked."""

    def __init__(self) -> None:
        self.files = {"broker-1.0.jar": JAR, "registry-1.0-all.tar.gz": archive()}
        self.asked: list[tuple[str, str | None]] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, wanted = self.path.lstrip("/"), self.headers["Range"]
                repository.asked.append((name, wanted))
                content = repository.files[name]
                first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
                self.send_response(206 if wanted and first < len(content) else 416 if wanted else 200)
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                self.wfile.write(content[first:])

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, coordinates: str) -> str:
        """Where it keeps an artifact."""
        return f"http://127.0.0.1:{self.server.server_port}/{Artifact('', '', 0, coordinates).file_name}"

    def artifacts(self) -> tuple[Artifact, ...]:
        """What its lock would say."""
        names = {
            "broker-1.0.jar": "kafka g:broker:1.0:jar",
            "registry-1.0-all.tar.gz": "registry g:registry:1.0:all:tar.gz",
        }
        return tuple(
            Artifact(names[name].split()[0], hashlib.sha256(content).hexdigest(), len(content), names[name].split()[1])
            for name, content in sorted(self.files.items())
        )


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository that stands for Maven Central."""
    repository = Repository()
    locked = repository.artifacts()
    monkeypatch.setattr(download, "repository_url", repository.url)
    monkeypatch.setattr(artifacts, "locked_artifacts", lambda: locked)
    thread = threading.Thread(target=repository.server.serve_forever, args=(0.01,))  # how soon it sees its end
    thread.start()
    yield repository
    repository.server.shutdown()
    thread.join()
    repository.server.server_close()


def fetch(repository: Repository, target: Path, advance: AdvanceBy = lambda count, name: None) -> None:
    """Download the jar."""
    download.download("g:broker:1.0:jar", target, hashlib.sha256(JAR).hexdigest(), advance)


def test_files_are_named_as_maven_names_them() -> None:
    """Kafka 4.1 and the registry are pinned; a classifier and an extension of two parts go where they belong."""
    names = [artifact.file_name for artifact in locked_artifacts()]
    assert any(name.startswith("kafka_2.13-4.1.") for name in names)
    assert "apicurio-registry-app-2.6.13.Final-all.tar.gz" in names
    assert len({name for name in names if name.startswith("kafka-clients-")}) == 1


def test_everything_is_installed_once(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first install downloads, unpacks and shows progress; a second one asks nothing."""
    first = install(tmp_path, PlainReport())
    assert [jar.read_bytes() for jar in first.kafka_jars] == [JAR]
    assert first.registry_jar.read_text() == "registry-1.0-runner.jar"
    assert "broker-1.0.jar" in capsys.readouterr().err
    asked = len(repository.asked)
    assert install(tmp_path, PlainReport()) == first
    assert len(repository.asked) == asked == 2


def test_two_at_once_download_once(repository: Repository, tmp_path: Path) -> None:
    """Whoever comes second waits for the first."""
    threads = [threading.Thread(target=install, args=(tmp_path, PlainReport())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(repository.asked) == [("broker-1.0.jar", None), ("registry-1.0-all.tar.gz", None)]


def test_an_interrupted_download_goes_on(repository: Repository, tmp_path: Path) -> None:
    """What has arrived is kept, and only the rest is asked for."""

    def interrupt(count: int, name: str) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "broker-1.0.jar"
    (tmp_path / "broker-1.0.jar.part").write_bytes(JAR[:1000])
    with pytest.raises(KeyboardInterrupt):
        fetch(repository, target, interrupt)
    assert not target.exists()

    fetch(repository, target)

    assert target.read_bytes() == JAR
    assert repository.asked == [("broker-1.0.jar", "bytes=1000-"), ("broker-1.0.jar", "bytes=1000-")]


def test_progress_adds_up_to_what_is_to_arrive(repository: Repository, tmp_path: Path) -> None:
    """Piece by piece, and what lay there before is counted as the first of them."""
    pieces: list[int] = []
    (tmp_path / "broker-1.0.jar.part").write_bytes(JAR[:1000])
    fetch(repository, tmp_path / "broker-1.0.jar", lambda count, name: pieces.append(count))
    assert pieces[0] == 1000
    assert sum(pieces) == len(JAR)


def test_each_tenth_of_a_download_is_a_line() -> None:
    """Off a terminal; the total comes first, the file's name with each."""
    said = io.StringIO()
    with PlainReport(said).downloading("Kafka", 50_000_000) as advance:
        for _ in range(50):
            advance(1_000_000, "kafka.jar")
    lines = said.getvalue().splitlines()
    assert lines[0] == "downloading Kafka, 50 MB"
    assert lines[1:] == [f"  {done} of 50 MB (kafka.jar)" for done in range(5, 51, 5)]


def test_a_file_that_is_not_the_pinned_one_is_refused(repository: Repository, tmp_path: Path) -> None:
    """A changed byte is found, nothing is kept of it, and the error names the file."""
    repository.files["broker-1.0.jar"] = JAR.replace(b"jar", b"rat")
    with pytest.raises(ConfigError, match=r"broker-1\.0\.jar is not the file that was pinned"):
        install(tmp_path, PlainReport())
    assert not (tmp_path / "broker-1.0.jar").exists()
    assert not (tmp_path / "broker-1.0.jar.part").exists()


def test_no_network_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that does not answer is an error to try again, in one sentence."""
    monkeypatch.setattr(download, "repository_url", lambda coordinates: "http://127.0.0.1:9/nothing")
    with pytest.raises(RetriableError, match="it cannot be reached"):
        download.download("g:broker:1.0:jar", tmp_path / "broker-1.0.jar", "", lambda count, name: None)


def test_a_full_disk_is_said_plainly(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that the disk is full, where, and which option chooses another folder."""

    def no_space(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "download", no_space)
    with pytest.raises(ConfigError, match=r"the disk is full.*--downloads") as full:
        install(tmp_path / "cache", PlainReport())
    assert str(tmp_path / "cache") in str(full.value)


def test_an_interrupted_unpacking_is_done_again(repository: Repository, tmp_path: Path) -> None:
    """A half unpacked registry has another name, and is replaced."""
    (tmp_path / "registry-1.0-all.part" / "lib").mkdir(parents=True)
    assert install(tmp_path, PlainReport()).registry_jar.exists()
