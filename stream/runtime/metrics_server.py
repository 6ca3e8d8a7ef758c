"""The HTTP server of a worker: /metrics for Prometheus, /healthz and /readyz for whoever supervises it."""

import errno
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from stream.errors import ConfigError
from stream.runtime.stage_views import Health


class MetricsServer:
    """Serves on daemon threads until `close`; a port of 0 takes a free one (see `port`).

    Raises ConfigError from the constructor if the address cannot be bound; nothing runs then.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        try:
            self._server = _Server((host, port), registry, health)
        except OSError as error:
            raise ConfigError(_cannot_bind(host, port, error)) from error
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, health: Health) -> None:
        super().__init__(address, _Handler)
        self.registry = registry
        self.health = health


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds for a request to arrive: a client that says nothing must not keep its thread

    def do_GET(self) -> None:
        health = self.server.health
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
        elif path == "/healthz":
            self._say(health.is_alive, "alive" if health.is_alive else health.stall_sentence())
        elif path == "/readyz":
            self._say(health.is_ready, health.sentence())
        else:
            self._answer(404, b"try /metrics, /healthz or /readyz\n", "text/plain; charset=utf-8")

    def _say(self, is_good: bool, sentence: str) -> None:
        self._answer(200 if is_good else 503, f"{sentence}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news."""


def _cannot_bind(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"metrics port {port} on {host} is in use: choose another one (metrics_port), or 0 for any free port. "
            "A second worker on this machine also needs a slot of its own (`--slot 1 --metrics-port 0`); "
            "`stream run APP --workers 2` gives both"
        )
    if error.errno == errno.EACCES:
        return f"metrics port {port} on {host} needs more rights: choose one above 1023 (metrics_port)"
    return f"metrics cannot be served on {host}:{port} ({error.strerror or error}): check metrics_host and metrics_port"
