"""The services of docker-compose.yml as processes: hosts, ports and the cache folder are mapped, no more."""

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.cli.broker.local import LocalBroker
from stream.kernels.cache import cache_folder
from tests.control.processes import free_port
from tests.deploy.files import DEPLOY, compose, dockerfile, image_environment
from tests.runtime.waiting import wait_until

TOKEN = "alice-token-0123456789"
START_LIMIT_S = 240.0  # two Python processes start at once, on a machine that may be busy
PREFIX = "compose-"  # of the app's topics, so that they are nobody else's


@dataclass
class System:
    """What Compose would run, on the broker of the tests."""

    broker: LocalBroker
    folder: Path
    worker_port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        required = {"STREAM_CONTROL_TOKENS": f"alice={TOKEN}", "GRAFANA_PASSWORD": "secret"}
        self.services: dict[str, Any] = compose({**required, "STREAM_TOPIC_PREFIX": PREFIX})["services"]
        self._mapping = {
            "kafka:9092": self.broker.bootstrap_servers,
            "http://registry:8080/apis/ccompat/v7": self.broker.registry_url,
            "http://control:8600": f"http://127.0.0.1:{self.control_port}",
            "8600": str(self.control_port),
            "9464": str(self.worker_port),
            "/var/cache/stream": str(cache_folder()),
            "/tmp": str(self.folder),
        }

    def environment(self, service: str) -> dict[str, str]:
        """What the image and the service set, over this process's own."""
        written = {**image_environment(), **self.services[service]["environment"]}
        mapped = {name: self._mapped(value) for name, value in written.items() if name != "PATH"}
        return {**os.environ, **mapped}

    def start(self, service: str, **more: str) -> None:
        """Run the image's entry point with the service's command, in the folder that is mounted at /app."""
        with (self.folder / f"{service}.log").open("ab") as log:
            self.running[service] = subprocess.Popen(
                self._command(service),
                env={**self.environment(service), **more},
                cwd=DEPLOY / "apps",
                stdout=log,
                stderr=log,
            )

    def end(self, service: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop a service; its exit status, within the grace period of the file."""
        process = self.running.pop(service)
        process.send_signal(how)
        return process.wait(int(self.services[service]["stop_grace_period"].removesuffix("s")))

    def run_once(self, service: str) -> str:
        """Run a service that ends by itself; what it says."""
        self.start(service)
        assert self.running.pop(service).wait(120) == 0, self.log(service)
        return self.log(service)

    def log(self, service: str) -> str:
        """All that the service's processes have said."""
        return (self.folder / f"{service}.log").read_text()

    def health(self, service: str) -> int:
        """Exit status of the service's health check, the image's where it has none of its own."""
        program, *arguments = [self._mapped(part) for part in health_command(self.services[service])]
        assert program == "python"
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env=self.environment(service), capture_output=True, timeout=90, check=False
        ).returncode

    def wait_until_ready(self, service: str) -> None:
        """Until /readyz says so."""
        port = self.worker_port if service == "worker" else self.control_port
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}
        )

        def is_ready() -> bool:
            assert self.running[service].poll() is None, self.log(service)
            try:
                with urllib.request.urlopen(request, timeout=60):
                    return True
            except OSError:
                return False

        wait_until(is_ready, f"the {service} is ready", lambda: self.log(service), START_LIMIT_S)

    def alerts(self, *arguments: str) -> dict[str, Any]:
        """`stream alerts`, as an operator calls it on this machine."""
        environment = {
            "STREAM_CONTROL_URL": f"http://127.0.0.1:{self.control_port}",
            "STREAM_CONTROL_TOKEN": TOKEN,
        }
        command = [_entry_point(), "alerts", *arguments, "--json"]
        ended = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr + self.log("control")
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer

    def _command(self, service: str) -> list[str]:
        (entry,) = [json.loads(rest) for name, rest in dockerfile() if name == "ENTRYPOINT"]
        assert entry == ["stream"]
        return [_entry_point(), *(self._mapped(part) for part in self.services[service]["command"])]

    def _mapped(self, text: str) -> str:
        """The longest name first, and at most one of them."""
        for name, value in self._mapping.items():
            if name in text:
                return text.replace(name, value)
        return text


def health_command(service: Mapping[str, Any]) -> list[str]:
    """What a health check runs: the service's own, or the image's."""
    if "healthcheck" in service:
        kind, *command = service["healthcheck"]["test"]
        assert kind == "CMD"
        return [str(part) for part in command]
    (rest,) = [rest for name, rest in dockerfile() if name == "HEALTHCHECK"]
    return [str(part) for part in json.loads(rest.partition(" CMD ")[2])]


def warm_command() -> list[str]:
    """What the image's build runs last: (python, warm.py, MODULE:APP)."""
    last = [rest for name, rest in dockerfile() if name == "RUN"][-1]
    (app,) = [rest.partition("=")[2] for name, rest in dockerfile() if name == "ARG"]
    copied = {"python": sys.executable, "/opt/stream/warm.py": str(DEPLOY / "warm.py"), "$APP": app}
    return [copied[word] for word in shlex.split(last)]


def _entry_point() -> str:
    return str(Path(sys.executable).with_name("stream"))
