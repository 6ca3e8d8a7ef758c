"""No broker, no registry: `stream check` says so within seconds, and goes on behind each."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.commands import run

PATIENCE_S = 0.5
NOBODY = "127.0.0.1:9"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def briefly(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose settings are those of the environment, and commands that wait half a second and set up no log."""
    structlog.reset_defaults()
    (project / "stream.toml").unlink()
    monkeypatch.setattr("stream.cli.connection.BROKER_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr("stream.cli.connection.REGISTRY_TIMEOUT_S", PATIENCE_S)


@pytest.mark.parametrize("who", ["nobody", "silent"])
def test_no_broker_and_no_registry_are_one_finding_each(
    who: str, silent: str, briefly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or unanswered: status 1, what to do, and no longer than the two waits."""
    address = NOBODY if who == "nobody" else silent
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", address)
    monkeypatch.setenv("STREAM_REGISTRY_URL", f"http://{address}")
    began = time.monotonic()
    run("check", "shop.py:app", "--offline")
    offline_s = time.monotonic() - began

    began = time.monotonic()
    done = run("check", "shop.py:app", "--json")
    waited_s = time.monotonic() - began - offline_s

    found = json.loads(done.stdout)["findings"]  # and nothing else is there
    broker, registry = [each for each in found if each["status"] == "wrong"]
    assert (done.exit_code, done.stderr) == (1, "")
    assert (broker["area"], broker["subject"]) == ("broker", address)
    assert f"no answer from {address}" in broker["text"]
    assert (registry["area"], registry["subject"]) == ("registry", f"http://{address}")
    assert "does not answer" in registry["text"]
    assert all("`stream broker up` starts one" in each["text"] for each in (broker, registry))
    assert [each["area"] for each in found if each["status"] == "skipped"] == ["topics", "schemas"]
    # What else waits would wait for seconds: the clients' own limits are 10 and 15 s.
    assert waited_s < 9
