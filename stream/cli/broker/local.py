"""A broker and a registry of one's own: for the demo, the tests and the benchmarks."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from stream.cli.broker import archives as class_archives
from stream.cli.broker import kafka, registry
from stream.cli.broker.artifacts import default_folder, install
from stream.cli.broker.java import Java, find_java
from stream.cli.broker.ports import reserve_free_port, reserve_port
from stream.cli.broker.reports import Report, report_for
from stream.cli.broker.server import Launch, Server
from stream.errors import ConfigError

# A JVM that starts quickly and stays small: only the first compiler (which saves a second of processor time at the
# start and costs throughput later: leave it out to measure), and the collector without threads of its own.
QUICK_START = ("-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
REGISTRY_HEAP = "-Xmx256m"
PORTS = "ports.json"  # what the folder's servers have, or last had


class LocalBroker:
    """Apache Kafka and a schema registry, in a folder. Use it as a context: leaving it stops both.

    Whatever happens to this process, kill -9 included, the servers end with it unless `ends_with_parent` is false.
    The folder's content survives: entered again with the same folder, topics, offsets and schemas are as before.

    Example:
        with LocalBroker(Path("/tmp/kafka")) as broker:
            producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    """

    _kafka: Server
    _registry: Server

    def __init__(
        self,
        folder: Path,
        *,
        kafka_port: int | None = None,
        registry_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = QUICK_START,
        heap_mb: int = 512,
        downloads: Path | None = None,
        report: Report | None = None,
        ends_with_parent: bool = True,
        archives: Callable[[Path, str, Java], tuple[str, ...]] = class_archives.used,
    ) -> None:
        """Say what is wanted; nothing starts yet.

        Args:
            folder: for data, settings and logs (kafka.log, registry.log); made if missing.
            kafka_port: on the loopback address; any free one by default.
            registry_port: the same for the registry.
            settings: broker settings beside or instead of the defaults (see kafka.py), e.g.
                {"group.initial.rebalance.delay.ms": "3000"}.
            jvm_options: for both JVMs.
            heap_mb: most heap for Kafka, in MB; the registry has 256.
            downloads: where the artifacts are kept; the user's cache folder by default.
            report: where progress is shown; stderr by default.
            ends_with_parent: whether the servers end when this process does.
            archives: of a JVM, by the downloads and the server's name, what it does with its archive of classes.
        """
        self.folder = folder.absolute()
        self._ports_asked = (kafka_port, registry_port)
        self._settings = dict(settings or {})
        self._jvm_options = tuple(jvm_options)
        self._heap_mb = heap_mb
        self._downloads = downloads or default_folder()
        self._report = report or report_for()
        self._ends_with_parent = ends_with_parent
        self._archives = archives
        self.kafka_port = self.registry_port = self._controller_port = 0

    @property
    def bootstrap_servers(self) -> str:
        """For Kafka clients."""
        return kafka.bootstrap_servers(self.kafka_port)

    @property
    def registry_url(self) -> str:
        """For schema registry clients."""
        return registry.registry_url(self.registry_port)

    @property
    def pid(self) -> int:
        """Kafka's process id."""
        return self._kafka.pid

    @property
    def registry_pid(self) -> int:
        """The registry's process id."""
        return self._registry.pid

    def start(self) -> None:
        """Start both and return when both answer.

        Raises:
            ConfigError: no Java, a port or the folder is in use, the disk is full, an artifact is not what was pinned.
            RetriableError: an artifact could not be downloaded.
            StreamError: a server did not start; the text has its reason. Nothing is left running.
        """
        self._java = find_java()
        self._installed = install(self._downloads, self._report)
        self._make_folder()
        with ExitStack() as reservations:
            self._choose_ports(reservations)
            self._report.say(f"starting Kafka and the schema registry in {self.folder}")
            self._start_both()
        self._report.say(f"Kafka answers at {self.bootstrap_servers}, the schema registry at {self.registry_url}")

    def stop(self) -> bool:
        """Stop both in order; what they hold is on disk. False if one did not end in time, and was killed."""
        self._kafka.ask_to_stop()
        self._registry.ask_to_stop()
        return all([self._kafka.wait_until_stopped(), self._registry.wait_until_stopped()])

    def kill(self) -> None:
        """End Kafka at once, as kill -9 does. The registry goes on; `restart` brings Kafka back."""
        self._kafka.kill()

    def restart(self) -> None:
        """Stop Kafka if it runs, and start it again on the same port with the same data."""
        self._kafka.ask_to_stop()
        self._kafka.wait_until_stopped()
        self._kafka = Server(self._kafka_launch())
        self._kafka.wait_until_ready()

    def __enter__(self) -> "LocalBroker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"The broker's folder {self.folder} cannot be made: {error.strerror}.") from error

    def _choose_ports(self, reservations: ExitStack) -> None:
        kafka_port, registry_port = self._ports_asked
        chosen = (
            reserve_port(kafka_port, "Kafka", "--kafka-port") if kafka_port else reserve_free_port(),
            reserve_port(registry_port, "The schema registry", "--registry-port")
            if registry_port
            else reserve_free_port(),
            reserve_free_port(),
        )
        for port in chosen:
            reservations.callback(port.release)
        self.kafka_port, self.registry_port, self._controller_port = (port.number for port in chosen)
        (self.folder / PORTS).write_text(json.dumps({"kafka": self.kafka_port, "registry": self.registry_port}))

    def _start_both(self) -> None:
        """The registry first, since Kafka's folder may have to be formatted: that takes about as long as the registry.

        Whatever interrupts this, Ctrl-C included, ends what was started.
        """
        with ExitStack() as started:
            self._registry = Server(self._registry_launch())
            started.callback(self._registry.kill)
            properties = kafka.write_properties(self.folder, self.kafka_port, self._controller_port, self._settings)
            options = (*self._jvm_options, *class_archives.used(self._downloads, "kafka", self._java))
            kafka.format_storage(self._java, self._installed.kafka_jars, properties, options)
            self._kafka = Server(self._kafka_launch())
            started.callback(self._kafka.kill)
            self._kafka.wait_until_ready()
            kafka.prepare_coordinators(self.kafka_port)
            self._registry.wait_until_ready()
            started.pop_all()

    def _kafka_launch(self) -> Launch:
        jars = self._installed.kafka_jars
        properties = self.folder / "server.properties"
        options = (*self._jvm_options, f"-Xmx{self._heap_mb}m", *self._archives(self._downloads, "kafka", self._java))
        return Launch(
            name="Kafka",
            command=kafka.kafka_command(self._java, jars, properties, options),
            folder=self.folder,
            is_ready=lambda: kafka.answers(self.kafka_port),
            ends_with_parent=self._ends_with_parent,
        )

    def _registry_launch(self) -> Launch:
        jar, port = self._installed.registry_jar, self.registry_port
        options = (*self._jvm_options, REGISTRY_HEAP, *self._archives(self._downloads, "registry", self._java))
        return Launch(
            name="Registry",
            command=registry.registry_command(self._java, jar, self.folder, port, options),
            folder=self.folder,
            is_ready=lambda: registry.answers(port),
            ends_with_parent=self._ends_with_parent,
        )


def known_ports(folder: Path) -> tuple[int, int]:
    """The ports of Kafka and of the registry that runs, or last ran, in a folder; 0 where none ever did."""
    file = folder / PORTS
    ports = json.loads(file.read_text()) if file.exists() else {"kafka": 0, "registry": 0}
    return ports["kafka"], ports["registry"]
