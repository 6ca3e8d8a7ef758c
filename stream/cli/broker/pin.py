"""For maintainers: `python -m stream.cli.broker.pin > stream/cli/broker/artifacts.lock` after a version changed here.

Downloads each artifact once to know its size and SHA-256, and compares it with the checksum that Maven Central states.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import Dependency, MavenContext
from jgo.util import http

from stream.cli.broker.download import TIMEOUT_S, repository_url

KAFKA = "org.apache.kafka:kafka_2.13:4.1.2"
# Kafka logs through slf4j, which is silent without this. Of the version of Kafka's own log4j, and not resolved with
# Kafka: log4j's parent manages versions of what its own tests use, an older kafka-clients among them.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3:jar"
REGISTRY = "io.apicurio:apicurio-registry-app:2.6.13.Final:all:tar.gz"


def main() -> None:
    """Print the lock."""
    print("# component  sha256  bytes  group:artifact:version[:classifier]:extension")
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=TIMEOUT_S)
        asked, needed = context.resolver.resolve([context.create_dependency(KAFKA)])
        for coordinates in sorted([LOG_BINDING, *map(_coordinates, asked + needed)]):
            print("kafka", _pin(coordinates))
        print("registry", _pin(REGISTRY))


def _coordinates(dependency: Dependency) -> str:
    return f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}:{dependency.type}"


def _pin(coordinates: str) -> str:
    url = repository_url(coordinates)
    content = http.get(url, timeout=TIMEOUT_S).content
    stated = http.get(url + ".sha1", timeout=TIMEOUT_S).text.split()[0]
    if hashlib.sha1(content).hexdigest() != stated:
        sys.exit(f"{coordinates}: its SHA-1 is not what Maven Central states")
    return f"{hashlib.sha256(content).hexdigest()} {len(content)} {coordinates}"


if __name__ == "__main__":
    main()
