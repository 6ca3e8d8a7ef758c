"""Runs the control plane of one app: Faust and the API in one process and one event loop."""

import asyncio
import errno
import socket

import faust

from stream.control.api import Api
from stream.control.broker import partition_count
from stream.control.ledger import Ledger
from stream.control.peers import Peers
from stream.control.settings import ControlSettings
from stream.control.writers import FetchText, Writers
from stream.errors import ConfigError


def run_control(settings: ControlSettings, fetch: FetchText) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        settings: of this instance.
        fetch: the registry's schemas, by which alerts were written; see `Writers`.

    Raises ConfigError if the port is taken or the alert topic is missing, RetriableError if the broker is away.
    """
    listening = _bind(settings.host, settings.port)
    partitions = partition_count(settings.kafka, settings.alerts_topic)
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    # Before the app is made: parts of it take the loop that is current then.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    ledger = Ledger(settings, partitions, Writers(fetch))
    api = Api(ledger, Peers(ledger, settings.own_url), settings.tokens, listening)
    ledger.app.finalize()
    worker = faust.Worker(
        ledger.app, api, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True, loglevel="WARNING"
    )
    worker.spinner = None  # nothing but the log writes to the terminal
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if end.code not in (0, None):
            raise


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} on {host} is in use: choose another one for the control plane") from error
        raise ConfigError(f"the control plane cannot listen on {host}:{port} ({error.strerror})") from error
    return listening
