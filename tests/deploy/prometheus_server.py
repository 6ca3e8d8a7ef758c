"""A real Prometheus with the deployment's configuration, and what it answers."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.control.processes import free_port
from tests.deploy.files import DEPLOY
from tests.deploy.prometheus_binary import find_prometheus
from tests.runtime.waiting import wait_until


class Prometheus:
    """A running server, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """True once it answers queries."""
        try:
            return urllib.request.urlopen(f"{self._url}/-/ready", timeout=30).status == 200  # type: ignore[no-any-return]
        except OSError:
            return False

    def query(self, expression: str) -> list[float]:
        """Values of an instant query, NaN left out."""
        text = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{text}", timeout=30) as answer:
            found: Any = json.load(answer)
        assert found["status"] == "success", found
        values = [float(series["value"][1]) for series in found["data"]["result"]]
        return [value for value in values if not np.isnan(value)]


@contextmanager
def prometheus_of(worker_port: int, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the deployment's own configuration: the worker's address and the interval are mapped."""
    configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
    mapped = configuration.replace("worker:9464", f"127.0.0.1:{worker_port}").replace(": 5s", ": 500ms")
    assert mapped.count("500ms") == 2
    (folder / "prometheus.yml").write_text(mapped)
    (folder / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
    port = free_port()
    process = _run(folder, port)
    try:
        running = Prometheus(port)
        wait_until(running.is_ready, "a start of Prometheus")
        yield running
    finally:
        process.terminate()
        process.wait(60)


def _run(folder: Path, port: int) -> subprocess.Popen[bytes]:
    arguments = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([str(find_prometheus()[0]), *arguments], stdout=log, stderr=log)
