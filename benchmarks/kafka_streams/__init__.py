"""A peer in Java: the benchmarks' job on Kafka Streams, run from its source by a JDK of version 17 or newer."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.cluster import EVENT_TOPIC
from stream.cli.broker.artifacts import default_folder, locked_artifacts
from stream.cli.broker.download import download
from stream.cli.broker.local import LocalBroker

_SOURCE = Path(__file__).with_name("CardScores.java")
_SCHEMA = Path(__file__).parents[1] / "card.avsc"
# What it needs beside the broker's own files.
_JARS = {
    "org.apache.kafka:kafka-streams:4.1.2:jar": "415998b32e8627b3ce21ff87226c66f3313e9fc52eca2513a3600bf492e3cbac",
    "org.apache.avro:avro:1.12.1:jar": "72600f057bfbe2efe35fa55433e7756d45667dc938934be38a6e2be368aca237",
    "org.rocksdb:rocksdbjni:9.10.0:jar": "d68a10df820c811020ca27a332718e823cf577086f2eda9512b5f8e77bd17525",
}


def start_kafka_streams(
    broker: LocalBroker, application: str, output: str, commit_interval_ms: int
) -> subprocess.Popen[bytes]:
    """Start it on the event topic; what it says goes nowhere.

    Args:
        broker: to run on.
        application: its id: group, changelog and transactional ids are named by it.
        output: topic of its predictions.
        commit_interval_ms: of its transactions.
    """
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        raise SystemExit("Kafka Streams is run from source: install a JDK of version 17 or newer (java and javac)")
    command = [java, "-Xmx512m", "-XX:+UseSerialGC", "-cp", ":".join(map(str, _class_path())), str(_SOURCE)]
    arguments = [broker.bootstrap_servers, EVENT_TOPIC, output, application, str(_SCHEMA), str(commit_interval_ms)]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _class_path() -> list[Path]:
    """The broker's jars, which are here since it runs, and the peer's, downloaded where they are missing."""
    folder = default_folder()
    for coordinates, sha256 in _JARS.items():
        if not (target := _file(folder, coordinates)).exists():
            download(coordinates, target, sha256, lambda count, name: None)
    own = [_file(folder, coordinates) for coordinates in _JARS]
    return [*own, *(folder / each.file_name for each in locked_artifacts() if each.component == "kafka")]


def _file(folder: Path, coordinates: str) -> Path:
    _, name, version, extension = coordinates.split(":")
    return folder / f"{name}-{version}.{extension}"
