"""Ports are kept until their server has them, and an asked-for port that is taken is named."""

import os
import socket

import pytest

from stream.cli.broker.ports import HOST, reserve_free_port, reserve_port
from stream.errors import ConfigError


def test_a_reserved_port_is_nobody_elses() -> None:
    """Fifty reservations are fifty ports, and nobody can bind one of them meanwhile."""
    ports = [reserve_free_port() for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, ports[0].number))
    for port in ports:
        port.release()


def test_its_server_can_listen_while_it_is_reserved() -> None:
    """A server that binds as Java does (SO_REUSEADDR) gets the reserved port."""
    port = reserve_free_port()
    with socket.create_server((HOST, port.number)) as server:
        assert server.getsockname()[1] == port.number
    port.release()


def test_a_taken_port_is_named_with_its_owner() -> None:
    """The error says the port, the process that listens there and the option for another."""
    with socket.create_server((HOST, 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {number} .*process {os.getpid()} .*--kafka-port"):
            reserve_port(number, "Kafka", "--kafka-port")


def test_a_port_that_cannot_be_is_refused() -> None:
    """A number above 65535 is an error like any other."""
    with pytest.raises(ConfigError, match="port 70000"):
        reserve_port(70000, "Kafka", "--kafka-port")
