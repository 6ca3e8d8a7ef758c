"""A Java that is new enough is found wherever it is; otherwise the error says what was found and what to do."""

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
