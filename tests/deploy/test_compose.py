"""docker-compose.yml and the Dockerfile, without a container engine: what they say is checked and run as processes."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.cli.main import COMMANDS
from stream.control.tokens import parse_tokens
from stream.runtime.health import STALL_LIMIT_S, WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.metrics_server import MetricsServer
from stream.runtime.settings import PREFIX, load_settings
from tests.deploy.files import DEPLOY, ROOT, compose, dockerfile, image_environment
from tests.deploy.system import health_command

REQUIRED = {"STREAM_CONTROL_TOKENS": "alice=alice-token-0123456789", "GRAFANA_PASSWORD": "secret"}
SERVICES: dict[str, dict[str, Any]] = compose(REQUIRED)["services"]
OURS = ("topics", "worker", "control")


def test_secrets_have_no_default() -> None:
    """Without tokens or a password, Compose refuses and says what to set."""
    with pytest.raises(AssertionError, match="STREAM_CONTROL_TOKENS: set it to NAME=TOKEN"):
        compose({"GRAFANA_PASSWORD": "secret"})
    with pytest.raises(AssertionError, match="GRAFANA_PASSWORD: set a password"):
        compose({"STREAM_CONTROL_TOKENS": "x"})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    """No capabilities, no new privileges, a fixed version, and ports on the loopback address alone."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not service["image"].endswith((":latest", "/kafka", "/grafana"))
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service.get("read_only") or name in ("kafka", "registry")  # their start scripts write beside themselves


@pytest.mark.parametrize("name", OURS)
def test_the_image_runs_as_a_user_without_rights(name: str) -> None:
    """The numeric user of the Dockerfile is the one of the services, and it is not root."""
    users = [rest for instruction, rest in dockerfile() if instruction == "USER"]

    assert users == ["10001:10001"] == [SERVICES[name]["user"]]


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_the_command_line_knows(name: str) -> None:
    """`stream run`, `stream control` and `stream topics create` exist under these names."""
    arguments = SERVICES[name]["command"]

    assert dockerfile()[-2:] == [("ENTRYPOINT", '["stream"]'), ("CMD", '["run", "stream.cli.demo.apps.fraud:app"]')]
    assert arguments[0] in COMMANDS
    import_module(f"stream.cli.commands.{arguments[0]}")


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_is_read(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings take each STREAM_ variable of a worker; the control plane's are options of its command."""
    monkeypatch.chdir(tmp_path)
    environment = {**image_environment(), **SERVICES[name]["environment"]}
    for variable in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    loaded = load_settings()

    taken = set(loaded.origins.values())
    options = (ROOT / "stream/cli/commands/control.py").read_text()
    for variable in environment:
        if variable.startswith("STREAM_CONTROL_"):
            assert f'envvar="{variable}"' in options
        elif variable.startswith(PREFIX):
            assert variable in taken, f"nobody reads {variable}"
    assert loaded.values.bootstrap_servers == "kafka:9092"
    assert loaded.values.registry_url == "http://registry:8080/apis/ccompat/v7"


def test_the_addresses_in_the_files_belong_together() -> None:
    """Each host is a service and each port one that it listens on."""
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    target = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]

    assert SERVICES["worker"]["environment"]["STREAM_BOOTSTRAP_SERVERS"] in listeners
    assert SERVICES["registry"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] in listeners
    assert target == [{"targets": [f"worker:{SERVICES['worker']['environment']['STREAM_METRICS_PORT']}"]}]
    assert source["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"][0].endswith(":9090")
    assert parse_tokens(SERVICES["control"]["environment"]["STREAM_CONTROL_TOKENS"], "compose").by_name


def test_what_is_mounted_exists_and_every_volume_is_declared() -> None:
    """Bind mounts lie in the checkout, the rest are volumes of the file."""
    declared = compose(REQUIRED)["volumes"]
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]

    for source, *_ in mounts:
        assert (ROOT / source).is_dir() if source.startswith(".") else source in declared
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/stream.yml").read_text())["providers"][0]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"], "ro"] in mounts


def test_the_image_installs_what_is_locked_with_hashes_and_nothing_for_development() -> None:
    """deploy/requirements.lock is the root's lock without the extra `dev`; every package has a hash."""
    pins = re.findall(r"^([a-z0-9.-]+)==(\S+)", (DEPLOY / "requirements.lock").read_text(), re.MULTILINE)
    all_pins = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=\[ ]", dependency)[0].lower() for dependency in project["dependencies"]}

    assert dict(pins).items() <= all_pins.items()
    assert wanted <= dict(pins).keys()
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & dict(pins).keys()
    installs = [rest for name, rest in dockerfile() if name == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in part or "--no-deps --no-index" in part for part in installs)


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    """Every COPY from the checkout finds its files through .dockerignore."""
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    for name, rest in dockerfile():
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] not in ignored, source


@pytest.mark.parametrize("service", ["worker", "control"])
def test_a_health_check_tells_a_living_process_from_a_hanging_one(service: str) -> None:
    """The command of the file, run as a process, with the port of a real endpoint in the place of the container's."""
    clock = [0.0]
    health = WorkerHealth(clock=lambda: clock[0])
    command = health_command(SERVICES[service])
    with MetricsServer("127.0.0.1", 0, WorkerMetrics("fraud", [], []).registry, health) as server:
        mapped = [sys.executable, *(part.replace("8600", str(server.port)) for part in command[1:])]
        environment = {**os.environ, "STREAM_METRICS_PORT": str(server.port)}

        def check() -> int:
            return subprocess.run(mapped, env=environment, capture_output=True, timeout=30, check=False).returncode

        health.turned()
        assert check() == 0
        clock[0] = STALL_LIMIT_S
        assert check() != 0
    assert check() != 0


def test_the_user_and_folders_of_the_image_are_made_before_they_are_used() -> None:
    """STREAM_CACHE is private to the user, as the kernel cache demands."""
    runs = " && ".join(rest for name, rest in dockerfile() if name == "RUN")

    assert f"install -d -o 10001 -g 10001 -m 700 {image_environment()['STREAM_CACHE']}" in runs
    assert "useradd --uid 10001 --gid 10001" in runs
    names = [name for name, _ in dockerfile()]
    assert names.index("USER") < max(i for i, name in enumerate(names) if name == "RUN")
    assert shlex.split(runs.rpartition("&& ")[2]) == ["python", "/opt/stream/warm.py", "$APP"]
