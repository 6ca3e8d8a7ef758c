"""The command line answers quickly, and its errors are one message and an exit status."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_group

from stream.cli import main as command_line
from stream.cli.guard import Guard
from stream.config import KafkaSettings
from stream.errors import ConfigError
from stream.kafka.client_name import client_id
from stream.runtime.settings import OPTIONS, Settings
from tests.conftest import ROOT


def stream(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    command = [sys.executable, "-m", "stream.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_command_is_in_the_list() -> None:
    """The help names each command; each has its module, with help and an example for each of its own."""
    said = stream("--help").stdout
    for name in command_line.COMMANDS:
        entry = import_module(f"stream.cli.commands.{name.replace('-', '_')}").entry
        functions = [c.callback for c in entry.registered_commands] if isinstance(entry, typer.Typer) else [entry]
        assert name in said
        assert [f for f in functions if "Example" not in (f.__doc__ or "")] == []


def test_help_imports_nothing_heavy() -> None:
    """The list of commands needs neither numba nor Kafka's client nor River."""
    code = (
        "import sys; from stream.cli.main import make_app; make_app('')\n"
        "print({'numba', 'numpy', 'confluent_kafka', 'river', 'faust', 'jgo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("threshold: expected a number"), 1, "stream: threshold: expected a number\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            OSError(28, "No space left on device", "/data"),
            1,
            "stream: /data cannot be written: the disk is full.\n",
        ),
        (FileNotFoundError(2, "No such file", "/x/y"), 1, "stream: /x/y cannot be opened: No such file.\n"),
    ],
)
def test_errors_are_one_message(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a user can do something about is said without a traceback, with an exit status that tells."""

    def fails() -> None:
        raise error

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(fails)
    monkeypatch.setattr(command_line, "make_app", lambda wanted: app)
    monkeypatch.setattr(sys, "argv", ["stream"])
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert left.value.code == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("command", "name"), [("check", "shop-check"), ("run", "shop-3")])
def test_only_workers_have_the_names_of_workers(
    command: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In groups, quotas and the brokers' logs; a command that looks at them is told apart."""

    def says(_: str) -> None:
        print(client_id(KafkaSettings("shop", "shop-3")))

    app = typer.Typer()
    app.command()(says)
    monkeypatch.setattr(command_line, "make_app", lambda wanted: app)
    monkeypatch.setattr(command_line, "keep_order_of_sets", lambda: None)
    monkeypatch.setattr(sys, "argv", ["stream", command])
    with pytest.raises(SystemExit):
        command_line.main()
    assert capsys.readouterr().out.startswith(f"{name}@")
    assert client_id(KafkaSettings("shop", "shop-3")).startswith("shop-3@")


ORDER = """
import os, sys
order = {f"feature{number}" for number in range(9)}
print(os.getpid(), *sys.argv[1:], sys.flags.hash_randomization, *order, flush=True)
os._exit(7)
"""


@pytest.mark.slow
def test_rule_28_sets_of_texts_have_one_order_in_every_process(tmp_path: Path) -> None:
    """Some of River's models add in it: whatever a shell says, workers and what compares their states agree."""
    (tmp_path / "order.py").write_text(ORDER)
    told = set()
    for command, seed in (("check", "1"), ("run", "random")):
        with subprocess.Popen(
            [sys.executable, "-m", "stream.cli.main", command, "order.py:app"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            said = process.communicate(timeout=240)[0].split()
        assert process.returncode == 7
        assert said[:3] == [str(process.pid), command, "order.py:app"]
        told.add(tuple(said[3:]))
    ((is_random, *_),) = told
    assert is_random == "0"


def test_a_process_that_heeds_no_variable_does_not_begin_for_ever() -> None:
    """`python -E`, as some wrappers start programs: once anew, and then it goes on as it is."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from stream.runtime.hash_order import keep_order_of_sets\n"
        "print('begun', flush=True); keep_order_of_sets(); print('goes on')"
    )
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    command = [sys.executable, "-E", "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240)
    assert done.stdout.split("\n") == ["begun", "begun", "goes on", ""]


@pytest.mark.slow
def test_a_service_says_its_error_in_its_log() -> None:
    """Without a terminal `stream run` and `stream control` write JSON lines, and nothing else, not even at the end."""
    for command in ("run", "control"):
        done = stream(command, "nowhere.py:app")
        (line,) = map(json.loads, done.stderr.splitlines())
        assert (done.returncode, line["level"], line["event"]) == (1, "error", "there is no file nowhere.py")


@pytest.mark.slow
def test_a_worker_warns_of_misspelt_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it does anything else."""
    monkeypatch.setenv("STREAM_COMIT_INTERVAL_MS", "50")
    warning, _ = map(json.loads, stream("run", "nowhere.py:app").stderr.splitlines())
    assert (warning["level"], "STREAM_COMMIT_INTERVAL_MS?" in warning["event"]) == ("warning", True)


def test_a_variable_has_one_meaning() -> None:
    """An option that has a setting's variable is that setting: what a worker reads, no command reads otherwise."""
    settings = {f"STREAM_{each.name.upper()}" for each in fields(Settings)}
    shared, found = {}, set()
    for name in command_line.COMMANDS:
        entry = import_module(f"stream.cli.commands.{name.replace('-', '_')}").entry
        group = get_group(typer_app(entry))
        for command in group.commands.values():
            for option in command.params:
                found |= {option.envvar} - {None}
                for variable in {option.envvar} & settings:
                    shared[f"{name} {option.opts[-1]}"] = variable
    assert shared == {"demo --cache": "STREAM_CACHE"}
    assert found - settings == {f"STREAM_{name}" for name in OPTIONS}


def typer_app(entry: Any) -> typer.Typer:
    """The entry of a command as an app with a group of commands."""
    if isinstance(entry, typer.Typer):
        return entry
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command()(entry)
    return app


def test_a_wrong_command_says_so() -> None:
    """A misspelt command exits with 2 and suggests the right one."""
    done = stream("brokr")
    assert done.returncode == 2
    assert "'broker'" in done.stderr


@pytest.mark.slow
def test_no_broker_is_a_status(tmp_path: Path) -> None:
    """Where none ever ran, status says so with exit status 3, down does nothing, and a wrong setting is named."""
    done = stream("broker", "status", "--folder", str(tmp_path), "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["is_up"] is False
    assert stream("broker", "down", "--folder", str(tmp_path)).stdout == f"no broker runs in {tmp_path}\n"
    done = stream("broker", "up", "--folder", str(tmp_path), "--setting", "message.max.bytes")
    assert (done.returncode, done.stderr.startswith("stream: --setting message.max.bytes: expected name=value")) == (
        1,
        True,
    )


def up_or_undone(*options: str) -> int:
    """Run `stream broker up`; should this run be killed meanwhile, it hears Ctrl-C and leaves nothing."""
    with subprocess.Popen([sys.executable, "-m", "stream.cli.main", "broker", "up", *options]) as command:
        guard = Guard([command.pid], signal.SIGINT)
        status = command.wait()
        guard.release()
    return status


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_is_left_running_until_it_is_stopped(tmp_path: Path) -> None:
    """`up` returns, `status` finds both, a second `up` is refused, `down` ends them, and nothing is left."""
    ports = ("--kafka-port", "29192", "--registry-port", "28181")
    folder = ("--folder", str(tmp_path / "broker"))
    guard = None
    try:
        assert up_or_undone(*folder, *ports) == 0
        found = json.loads(stream("broker", "status", *folder, "--json").stdout)
        guard = Guard([found["kafka"]["pid"], found["registry"]["pid"]], signal.SIGKILL)  # should this run be killed
        assert (found["is_up"], found["kafka"]["address"]) == (True, "127.0.0.1:29192")
        again = stream("broker", "up", *folder, *ports)
        assert (again.returncode, "already runs in" in again.stderr) == (1, True)
        assert "Traceback" not in again.stderr
    finally:
        if guard is not None:
            guard.release()
        assert stream("broker", "down", *folder).stdout == "stopped\n"
    assert stream("broker", "status", *folder).returncode == 3
