"""Get one file of Maven Central: taken up where it stopped, checked, and only then given its name."""

import hashlib
from pathlib import Path

import requests
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext
from jgo.util import http

from stream.cli.broker.reports import AdvanceBy
from stream.errors import ConfigError, RetriableError

CHUNK_BYTES = 1 << 16
TIMEOUT_S = 30  # between two packets, not for the whole file
TRIES = 3  # a line that breaks in the middle is common, one that breaks three times wants a person


def download(coordinates: str, target: Path, sha256: str, advance: AdvanceBy) -> None:
    """Download an artifact to `target`.

    Args:
        coordinates: group:artifact:version[:classifier]:extension.
        target: the file to make; what has arrived so far lies beside it as `.part` and is taken up again.
        sha256: the checksum it must have, in hexadecimal.
        advance: called with the count of bytes and the file's name as they arrive; what it raises ends the download.

    Raises:
        ConfigError: the file is not the one that was pinned; it has been deleted.
        RetriableError: the repository did not answer, or the line broke several times.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(TRIES):
        try:
            _fetch_rest(repository_url(coordinates), part, target.name, advance)
            break
        except requests.RequestException as error:
            if attempt == TRIES - 1:
                raise RetriableError(
                    f"{target.name} could not be downloaded from Maven Central: {_reason(error)}. "
                    "Check the network and try again: what has arrived is kept."
                ) from error
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise ConfigError(
            f"{target.name} is not the file that was pinned: SHA-256 {found}, expected {sha256}. It was deleted. "
            "Try again; if it stays so, something between here and Maven Central changes files."
        )
    part.rename(target)


def repository_url(coordinates: str) -> str:
    """Where Maven Central keeps an artifact."""
    group, name, version, *classifier, extension = coordinates.split(":")
    context = MavenContext()
    artifact = context.project(group, name).at_version(version).artifact("".join(classifier), extension)
    return f"{MAVEN_CENTRAL_URL}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"


def _fetch_rest(url: str, part: Path, name: str, advance: AdvanceBy) -> None:
    """Append what `part` still lacks."""
    arrived = part.stat().st_size if part.exists() else 0
    response = http.get(url, stream=True, timeout=TIMEOUT_S, headers={"Range": f"bytes={arrived}-"} if arrived else {})
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        return  # nothing is left to fetch; the checksum decides
    response.raise_for_status()
    goes_on = response.status_code == requests.codes.partial_content
    if goes_on:
        advance(arrived, name)
    with part.open("ab" if goes_on else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            advance(len(chunk), name)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"it answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S} s"
    return "it cannot be reached" if isinstance(error, requests.ConnectionError) else str(error)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
