"""`stream run --from FILE` as a command: the file is loaded once, then its workers are told where to begin."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from stream.cli.backfill import loading
from stream.cli.commands import run as command
from stream.engine.plan import Plan
from stream.runtime import logs, running
from stream.runtime.settings import Settings
from tests.cli.commands import run

BEHIND = "2025-03-05T00:00:00+00:00"


@dataclass
class Started:
    """What the command did."""

    loaded: list[tuple[str, Path | None]] = field(default_factory=list)
    workers: list[tuple[int, list[str]]] = field(default_factory=list)
    alone: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def started(project: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Neither a broker nor workers: what they would be told."""
    made = Started()

    def load(plans: Sequence[Plan], settings: Settings, say: Any) -> Settings:
        made.loaded.append((plans[-1].app, settings.begin_file))
        return replace(settings, begin_from="beginning", emit_from=settings.emit_from or BEHIND)

    def start(workers: int, arguments: list[str], metrics_port: int) -> int:
        made.workers.append((workers, arguments))
        return 0

    def start_one(plans: Sequence[Plan], settings: Settings, say: Any) -> None:
        made.alone.append((settings.begin_from, settings.emit_from))

    monkeypatch.setattr(loading, "with_file_loaded", load)
    monkeypatch.setattr(command, "_run_several", start)
    monkeypatch.setattr(running, "run_worker", start_one)
    monkeypatch.setattr(logs, "configure_logs", lambda *_: None)
    return made


def test_several_workers_begin_behind_a_file_that_is_loaded_once(started: Started) -> None:
    """By the command itself; none of them hears of the file."""
    assert run("run", "shop.py:app", "--workers", "3", "--from", "orders.csv").exit_code == 0
    assert started.loaded == [("shop", Path("orders.csv"))]
    assert started.workers == [(3, ["shop.py:app", "--from", "beginning", "--emit-from", BEHIND])]


def test_a_worker_of_its_own_begins_behind_the_file(started: Started) -> None:
    """What is said of outputs holds."""
    assert run("run", "shop.py:app", "--from", "orders.csv").exit_code == 0
    assert run("run", "shop.py:app", "--from", "orders.csv", "--emit-from", "2025-02-01").exit_code == 0
    assert started.alone == [("beginning", BEHIND), ("beginning", "2025-02-01")]


def test_the_environment_names_a_file_too(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers inherit it, and what they are told goes before it."""
    monkeypatch.setenv("STREAM_BEGIN_FROM", "orders.csv")
    assert run("run", "shop.py:app", "--workers", "2").exit_code == 0
    assert started.loaded == [("shop", Path("orders.csv"))]
    assert started.workers == [(2, ["shop.py:app", "--from", "beginning", "--emit-from", BEHIND])]


def test_nothing_is_loaded_where_no_file_is_named(started: Started) -> None:
    """Neither for the beginning nor for a time."""
    for begin in ("beginning", "2025-02-01"):
        assert run("run", "shop.py:app", "--from", begin).exit_code == 0
    assert started.loaded == []
    assert started.alone == [("beginning", ""), ("2025-02-01", "")]
