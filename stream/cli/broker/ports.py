"""Ports for servers that are about to start: free ones kept from others meanwhile, asked-for ones checked."""

import random
import socket
import sys
from contextlib import suppress

import psutil

from stream.errors import ConfigError

HOST = "127.0.0.1"
# Below the range that the system takes for outgoing connections (32768 and up on Linux, 49152 on macOS), so that a
# server which is stopped and started again finds its port free.
FREE_PORTS = range(20_000, 32_000)
TRIES = 200


class ReservedPort:
    """A port that nobody else gets until `release`."""

    def __init__(self, number: int, holder: socket.socket) -> None:
        self.number = number
        self._holder = holder

    def release(self) -> None:
        """Let go of it: its server has it now, or will not come. May be called again."""
        self._holder.close()


def reserve_free_port() -> ReservedPort:
    """Any free port of the loopback address.

    Raises:
        ConfigError: there seems to be none.
    """
    for number in random.sample(FREE_PORTS, TRIES):
        with suppress(OSError):
            return _reserve(number)
    raise ConfigError(f"No free port found between {FREE_PORTS.start} and {FREE_PORTS.stop} on {HOST}.")


def reserve_port(number: int, what: str, option: str) -> ReservedPort:
    """The port that was asked for.

    Args:
        number: the port.
        what: the server that is to have it, for the error's text.
        option: the command-line option that chooses another.

    Raises:
        ConfigError: it is taken; the text says by whom.
    """
    holder = socket.socket()
    try:
        # As the server itself will bind it: what remains of closed connections (TIME_WAIT) is no obstacle.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, number))
        return ReservedPort(number, _held(holder))
    except (OSError, OverflowError) as error:
        holder.close()
        raise ConfigError(
            f"{what} cannot have port {number} on {HOST}: {_taken_by(number) or error}. "
            f"Stop that, or choose another port with {option}."
        ) from error


def _reserve(number: int) -> ReservedPort:
    """Bind without SO_REUSEADDR, so that another reservation of the same port makes it fail."""
    holder = socket.socket()
    try:
        holder.bind((HOST, number))
    except OSError:
        holder.close()
        raise
    return ReservedPort(number, _held(holder))


def _held(holder: socket.socket) -> socket.socket:
    """Keep the port while its server starts, where the system lets the server in beside us.

    Linux does: both sockets have SO_REUSEADDR (Java sets it) and this one does not listen. Elsewhere the port is let
    go at once, and somebody else could take it in the second until the server has it.
    """
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        holder.close()
    return holder


def _taken_by(number: int) -> str | None:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == number and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()}) listens there"
    except psutil.Error:  # other users' sockets may not be ours to see
        pass
    return None
