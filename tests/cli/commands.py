"""Commands run in this process, as `stream` would run them."""

from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from stream.cli.main import make_app


def run(*arguments: str) -> Result:
    """Run `stream ...`; a StreamError is in `exception`. Logs are as in a process of its own."""
    structlog.reset_defaults()
    return CliRunner().invoke(make_app(arguments[0]), list(arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project named shop, which is the current folder."""
    assert run("init", "shop", "--in", str(tmp_path)).exit_code == 0
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"
