"""The locks are what a fresh machine installs: complete, hashed, in agreement, and silent about where from."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-bootstrap.lock", "requirements-jvm.lock")
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Version by package."""
    return dict(PIN.findall((ROOT / lock).read_text()))


def project() -> dict[str, list[str]]:
    """The lists of requirements in pyproject.toml."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists: dict[str, list[str]] = data["project"]["optional-dependencies"] | data["dependency-groups"]
    return lists | {"": data["project"]["dependencies"]}


@pytest.mark.parametrize(
    ("lock", "lists"),
    [(LOCKS[0], ["", "dev"]), (LOCKS[1], ["bootstrap"]), (LOCKS[2], ["jvm"])],
)
def test_every_requirement_is_locked(lock: str, lists: list[str]) -> None:
    """Whatever pyproject.toml asks for has its line in the lock (`make lock` writes it)."""
    asked = {re.split(r"[\[<>=~! ;]", text)[0].lower() for name in lists for text in project()[name]}
    assert asked - set(pins(lock)) == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    """No package is installed whose content was not known when the lock was made."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text().strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_agree() -> None:
    """What two locks name has one version, so that installing one after the other changes nothing."""
    both = pins(LOCKS[0]).keys() & pins(LOCKS[1]).keys()
    assert both
    assert {
        name: (pins(LOCKS[0])[name], pins(LOCKS[1])[name])
        for name in both
        if pins(LOCKS[0])[name] != pins(LOCKS[1])[name]
    } == {}


@pytest.mark.parametrize("file", [*LOCKS, "Makefile", "pyproject.toml", ".ci/run", "stream/cli/broker/artifacts.lock"])
def test_no_file_says_where_from(file: str) -> None:
    """Which registry or mirror is asked is the machine's business."""
    assert re.findall(r"https?://|--index-url|--find-links", (ROOT / file).read_text()) == []


def test_the_backend_that_is_locked_is_the_one_that_is_named() -> None:
    """The editable install and the wheel are built by the same version."""
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert backend == f"hatchling=={pins(LOCKS[1])['hatchling']}"
