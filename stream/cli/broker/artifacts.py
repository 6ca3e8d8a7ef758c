"""The pinned artifacts of Kafka and the schema registry: which they are, and getting them into the user's cache.

`artifacts.lock` names every file with its size and SHA-256; `pin.py` writes it. A file in the cache is whole: it was
checked before it got its name, and a file that is being downloaded has another name.
"""

import errno
import fcntl
import tarfile
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from platformdirs import user_cache_path

from stream.cli.broker.download import download
from stream.cli.broker.reports import AdvanceBy, Report
from stream.errors import ConfigError
from stream.resources import shipped

CONNECTIONS = 4  # most files are small: their time is the answer's, not the line's


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of Maven Central."""

    component: str  # "kafka" or "registry"
    sha256: str
    size_bytes: int
    coordinates: str  # group:artifact:version[:classifier]:extension

    @property
    def file_name(self) -> str:
        """As Maven names it: artifact-version[-classifier].extension."""
        _, artifact, version, *classifier, extension = self.coordinates.split(":")
        return "-".join([artifact, version, *classifier]) + "." + extension


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the artifacts lie."""

    kafka_jars: tuple[Path, ...]
    registry_jar: Path


def default_folder() -> Path:
    """A folder in the user's cache for these artifacts (about 190 MB)."""
    return user_cache_path("stream-learn") / "broker"


def locked_artifacts() -> tuple[Artifact, ...]:
    """What artifacts.lock names."""
    lines = shipped("cli/broker/artifacts.lock").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return tuple(Artifact(component, sha256, int(size), name) for component, sha256, size, name in rows)


def install(cache: Path, report: Report) -> Installed:
    """Download what is missing in the cache, check it, unpack the registry. A second caller waits for the first.

    Args:
        cache: a folder, made if missing; may be deleted at any time when no broker runs.
        report: where the progress is shown.

    Raises:
        ConfigError: a file is not what was pinned, or the folder cannot be written.
        RetriableError: Maven Central does not answer. Call again: what has arrived is kept.
    """
    if _missing(cache):
        with _writing(cache):
            missing = _missing(cache)  # somebody else may have been here meanwhile
            _download(missing, cache, report)
            for artifact in missing:
                if artifact.component == "registry":
                    report.say("unpacking the schema registry")
                    _unpack(cache / artifact.file_name, _registry_folder(cache, artifact))
    kafka_jars = tuple(cache / artifact.file_name for artifact in locked_artifacts() if artifact.component == "kafka")
    (registry,) = (artifact for artifact in locked_artifacts() if artifact.component == "registry")
    (registry_jar,) = _registry_folder(cache, registry).glob("*-runner.jar")
    return Installed(kafka_jars, registry_jar)


def _missing(cache: Path) -> list[Artifact]:
    """What is not in the cache; the registry is there once it is unpacked."""
    return [
        artifact
        for artifact in locked_artifacts()
        if not (
            _registry_folder(cache, artifact) if artifact.component == "registry" else cache / artifact.file_name
        ).exists()
    ]


def _registry_folder(cache: Path, registry: Artifact) -> Path:
    return cache / registry.file_name.removesuffix(".tar.gz")


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Hold the cache's lock, and say plainly what cannot be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise ConfigError(
            f"The broker's files cannot be kept in {cache}: {reason}. About 350 MB are needed while they are unpacked; "
            "free some space or choose another folder with --downloads (STREAM_DOWNLOADS)."
        ) from error


def _download(missing: list[Artifact], cache: Path, report: Report) -> None:
    wanted = [artifact for artifact in missing if not (cache / artifact.file_name).exists()]
    if not wanted:  # the registry's archive is there when unpacking it was interrupted
        return
    total_bytes = sum(artifact.size_bytes for artifact in wanted)
    stopped = Event()
    with (
        report.downloading("Apache Kafka and the schema registry", total_bytes) as advance,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        counted = _counted(advance, stopped)
        fetches = [
            pool.submit(download, artifact.coordinates, cache / artifact.file_name, artifact.sha256, counted)
            for artifact in wanted
        ]
        try:
            for fetch in as_completed(fetches):
                fetch.result()
        except BaseException:  # Ctrl-C too: the pool waits for its threads, so they have to end
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _counted(advance: AdvanceBy, stopped: Event) -> AdvanceBy:
    """`advance` for several threads, which ends them once `stopped` is set."""
    turn = Lock()

    def advance_in_turn(count: int, name: str) -> None:
        if stopped.is_set():
            raise CancelledError
        with turn:
            advance(count, name)

    return advance_in_turn


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside the folder, then rename: the folder is whole or not there."""
    unfinished = folder.with_name(folder.name + ".part")
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and newer; the archive's checksum is known either way
            tar.extractall(unfinished, filter="data")
        else:
            tar.extractall(unfinished)
    unfinished.rename(folder)
    archive.unlink()
