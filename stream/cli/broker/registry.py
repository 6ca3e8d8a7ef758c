"""How the schema registry is started: Apicurio Registry (it speaks Confluent's API) with an H2 database in a file."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from stream.cli.broker.java import Java
from stream.cli.broker.ports import HOST

PROBE_TIMEOUT_S = 2.0


def registry_url(port: int) -> str:
    """What a Confluent registry client takes as its URL."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def registry_command(java: Java, jar: Path, folder: Path, port: int, jvm_options: Sequence[str]) -> tuple[str, ...]:
    """The command that runs the registry.

    Args:
        java: the Java to use.
        jar: the runner among the unpacked artifact's files.
        folder: where the database file lies, so that schemas and their ids survive a restart.
        port: on the loopback address.
        jvm_options: for the JVM.
    """
    database = f"jdbc:h2:file:{folder / 'registry'}"
    properties = {
        "quarkus.http.host": HOST,
        "quarkus.http.port": str(port),
        "registry.datasource.url": database,
        "quarkus.datasource.jdbc.url": database,
        "quarkus.datasource.jdbc.initial-size": "2",
        "quarkus.datasource.jdbc.min-size": "2",
    }
    options = [f"-D{name}={value}" for name, value in properties.items()]
    return (str(java.path), *jvm_options, *options, "-jar", str(jar))


def answers(port: int) -> bool:
    """Whether a registry at this port lists its subjects."""
    try:
        with urllib.request.urlopen(f"{registry_url(port)}/subjects", timeout=PROBE_TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
