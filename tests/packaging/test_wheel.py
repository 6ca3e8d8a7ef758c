"""The wheel is whole: installed outside the checkout it has its commands, its schemas and its terms."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the pinned backend."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, which sees this one's dependencies but not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], folder
    )
    (site_packages,) = folder.glob("lib/*/site-packages")
    # A path named by a .pth file is not searched for .pth files itself, so the editable install stays out of it.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(command: list[str], folder: Path) -> str:
    """The output of a command that has to succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # the checkout, it may be
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped(folder: str) -> set[str]:
    """The project's files of a folder, as git knows them."""
    return set(run(["git", "ls-files", folder], ROOT).split())


def test_the_wheel_holds_what_the_program_reads(wheel: Path) -> None:
    """Schemas and dashboards go inside the package, beside everything that lies in it; tests stay out."""
    content = set(zipfile.ZipFile(wheel).namelist())
    assert shipped("stream") - content == set()
    assert {f"stream/{file}" for file in shipped("schemas") | shipped("deploy/grafana")} - content == set()
    assert [file for file in content if file.startswith(("tests/", "benchmarks/", "docs/"))] == []


def test_the_wheel_says_its_terms(wheel: Path) -> None:
    """Licence and attributions travel with the package, and say what they must."""
    texts = {
        Path(name).name: zipfile.ZipFile(wheel).read(name).decode()
        for name in zipfile.ZipFile(wheel).namelist()
        if "/licenses/" in name
    }
    assert "Apache License" in texts["LICENSE"]
    assert "END OF TERMS AND CONDITIONS" in texts["LICENSE"]
    assert "SMS Spam Collection" in texts["NOTICE"]
    assert "Bank Marketing" in texts["NOTICE"]


def test_it_works_outside_the_checkout(installed: Path) -> None:
    """The command runs, the package is the installed one, and a schema is found."""
    assert run([str(installed / "bin" / "stream"), "--version"], installed).startswith("stream 0.")
    where = "import stream; print(stream.__file__)"
    assert run([str(installed / "bin" / "python"), "-c", where], installed).startswith(str(installed))
    schema = "from stream.resources import schema_text; print(schema_text('alert'))"
    assert '"Alert"' in run([str(installed / "bin" / "python"), "-c", schema], installed)


def test_a_project_is_made_checked_and_evaluated_there(installed: Path, tmp_path: Path) -> None:
    """With nothing of the checkout at hand: templates, schemas and kernels come from the package."""
    stream = str(installed / "bin" / "stream")
    run([stream, "init", "shop"], tmp_path)
    checked = json.loads(run([stream, "check", "shop:app", "--offline", "--json"], tmp_path / "shop"))
    assert (checked["problems"], checked["costs"]["event_bytes"]) == (0, 24)
    evaluated = json.loads(run([stream, "eval", "shop:app", "orders.csv", "--json"], tmp_path / "shop"))
    assert (evaluated["evaluated"], set(evaluated["models"])) == (5_000, {"champion", "challenger"})


def test_the_data_of_the_demos_is_there(installed: Path) -> None:
    """Messages and calls are read from the package, as many as their demo says; the apps beside them compile."""
    code = (
        "from stream.cli.demo.streams import BLOCKS; from stream.cli.demo.demos import DEMOS\n"
        "from stream.runtime.loading import load_app\n"
        "for name in ('spam', 'bank'):\n"
        "    print(sum(map(len, BLOCKS[name](10**6, 0, 1))) == DEMOS[name].rows, load_app(DEMOS[name].target).plan.app)"
    )
    said = run([str(installed / "bin" / "python"), "-c", code], installed)
    assert said.split() == ["True", "sms-spam", "True", "bank-calls"]


def test_the_local_broker_knows_its_artifacts_there(installed: Path) -> None:
    """What the broker needs from the package besides code is found too."""
    code = (
        "from stream.cli.broker.artifacts import locked_artifacts; from stream.cli.broker.kafka import log_settings\n"
        "print(len(locked_artifacts()), log_settings().exists())"
    )
    count, found = run([str(installed / "bin" / "python"), "-c", code], installed).split()
    assert int(count) > 40
    assert found == "True"
