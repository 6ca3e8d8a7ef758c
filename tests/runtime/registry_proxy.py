"""Stands before the schema registry: can be switched off, and can ask for a password."""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


class RegistryProxy:
    """Passes requests on while it is up; nobody listens while it is down. Its address stays the same.

    Args:
        registry_url: of the registry.
        authorization: the header that every request must have; any will do if "".
    """

    def __init__(self, registry_url: str, authorization: str = "") -> None:
        parts = urlsplit(registry_url)
        own = {"origin": f"{parts.scheme}://{parts.netloc}", "authorization": authorization}
        self._handler = type("Handler", (_Handler,), own)
        self._server: ThreadingHTTPServer | None = None
        self._thread = threading.Thread()
        self._port = 0
        self.go_up()
        self.url = f"http://127.0.0.1:{self._port}{parts.path}"

    def go_up(self) -> None:
        """Listen."""
        self._server = server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._thread.start()

    def go_down(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()


class _Handler(BaseHTTPRequestHandler):
    origin = ""
    authorization = ""

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes | None) -> None:
        if self.authorization and self.headers.get("Authorization") != self.authorization:
            self.send_error(401)
            return
        request = urllib.request.Request(self.origin + self.path, data=body, method=self.command)
        request.add_header("Content-Type", self.headers.get("Content-Type", "application/json"))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are no news."""
