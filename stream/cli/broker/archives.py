"""Archives of the classes that Kafka and the registry load at each start, which then takes 40 % less of a processor.

Java calls them class data sharing (JEP 310 and 350). An archive fits one JVM and one set of jars; a JVM that it does
not fit goes on without it. They lie beside the jars, 110 MB, and are used wherever they are there.
`python -m stream.cli.broker.archives` makes what is missing, and takes as long as two starts: worth it for whoever
starts many brokers, as `make test` does.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from stream.cli.broker.artifacts import default_folder
from stream.cli.broker.java import Java, find_java
from stream.resources import shipped

SERVERS = ("kafka", "registry")
# One that does not fit is no news.
_QUIETLY = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def archive(cache: Path, server: str, java: Java) -> Path:
    """Where the archive of a server ("kafka" or "registry") lies, for a JVM and the pinned jars in the cache.

    Args:
        cache: where the jars are; their paths are part of the archive.
        server: whose.
        java: the JVM; another one at the same path has another time.
    """
    launcher = java.path.resolve()
    parts = (str(cache.absolute()), str(launcher), launcher.stat().st_mtime_ns, java.version)
    jars = shipped("cli/broker/artifacts.lock").read_bytes()
    return cache / f"{server}-{hashlib.sha256(repr(parts).encode() + jars).hexdigest()[:16]}.jsa"


def used(cache: Path, server: str, java: Java) -> tuple[str, ...]:
    """Options of a JVM that starts with the archive; none where there is none."""
    made = archive(cache, server, java)
    return (f"-XX:SharedArchiveFile={made}", *_QUIETLY) if made.exists() else ()


def recorded(cache: Path, server: str, java: Java) -> tuple[str, ...]:
    """Options of a JVM that writes a draft of the archive when it ends."""
    return (f"-XX:ArchiveClassesAtExit={_draft(archive(cache, server, java))}", *_QUIETLY)


def make(cache: Path) -> None:
    """Start both servers in a folder of their own and stop them, unless the archives are there."""
    from stream.cli.broker.local import LocalBroker  # which uses what this module makes

    java = find_java()
    archives = [archive(cache, server, java) for server in SERVERS]
    if all(made.exists() for made in archives):
        return
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalBroker(Path(folder), downloads=cache, archives=recorded)
        broker.start()
        is_whole = broker.stop()  # a JVM ends at its start with a part of an archive
    for made in archives:
        if is_whole and _draft(made).exists():
            _draft(made).replace(made)
        _draft(made).unlink(missing_ok=True)


def _draft(made: Path) -> Path:
    """Of this process: two may be at it at once."""
    return made.with_suffix(f".{os.getpid()}.part")


if __name__ == "__main__":
    make(default_folder())
