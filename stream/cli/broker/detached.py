"""A broker that goes on after its command has ended: started, found again and stopped by its folder."""

from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from stream.cli.broker import kafka, registry
from stream.cli.broker.local import LocalBroker, known_ports
from stream.cli.broker.server import running_pid, stop_running
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server of a folder."""

    pid: int | None  # None when it does not run
    answers: bool
    address: str  # for clients


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """What runs in a folder."""

    folder: str
    kafka: ServerStatus
    registry: ServerStatus

    @property
    def is_up(self) -> bool:
        """Whether both answer."""
        return self.kafka.answers and self.registry.answers


def default_folder() -> Path:
    """Where `stream broker up` keeps its data unless told otherwise."""
    return user_data_path("stream-learn") / "broker"


def up(broker: LocalBroker) -> None:
    """Start a broker made with `ends_with_parent=False`, and leave it running.

    Raises:
        ConfigError: one runs in its folder already; or see LocalBroker.start.
    """
    found = status(broker.folder)
    if found.kafka.pid or found.registry.pid:
        raise ConfigError(
            f"A broker already runs in {broker.folder}: Kafka at {found.kafka.address}, the schema registry at "
            f"{found.registry.address}. Use it, stop it (stream broker down) or choose another --folder."
        )
    broker.start()


def down(folder: Path) -> bool:
    """Stop what runs in the folder; its data stays.

    Returns:
        Whether anything ran.
    """
    running = [lock for lock in _locks(folder) if running_pid(lock) is not None]
    for lock in running:
        stop_running(lock)
    return bool(running)


def status(folder: Path) -> BrokerStatus:
    """What runs in the folder, and whether it answers."""
    kafka_pid, registry_pid = map(running_pid, _locks(folder))
    kafka_port, registry_port = known_ports(folder)
    return BrokerStatus(
        str(folder),
        ServerStatus(kafka_pid, bool(kafka_pid) and kafka.answers(kafka_port), kafka.bootstrap_servers(kafka_port)),
        ServerStatus(
            registry_pid, bool(registry_pid) and registry.answers(registry_port), registry.registry_url(registry_port)
        ),
    )


def _locks(folder: Path) -> tuple[Path, Path]:
    return folder / "kafka.lock", folder / "registry.lock"
