"""By which name operators see this process's clients in groups, quotas and the brokers' logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from socket import gethostname

from stream.config import KafkaSettings

_command = ""  # of this process; "" for a worker


@contextmanager
def clients_of(command: str) -> Iterator[None]:
    """A context whose clients are those of a command that is no worker (`check`, `tail`), in all threads."""
    global _command
    before, _command = _command, command
    try:
        yield
    finally:
        _command = before


def client_id(settings: KafkaSettings) -> str:
    """`APP-SLOT@HOST` for a worker; `APP-check@HOST` for `stream check`, beside whatever worker it looks at."""
    name = f"{settings.group_id}-{_command}" if _command else settings.transactional_id
    return f"{name}@{gethostname()}"


def is_worker(client: str, settings: KafkaSettings) -> bool:
    """Whether a client of this name is a worker in the slot of these settings, on whichever machine."""
    return client.rpartition("@")[0] == settings.transactional_id
