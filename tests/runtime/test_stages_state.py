"""`stream state` of an app with stages: all of them are shown, verified and brought up, and begin anew together."""

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from stream.cli.broker.local import LocalBroker
from stream.errors import ConfigError
from stream.kafka.task_reset import TaskReset
from tests.cli.commands import run
from tests.runtime.app import NAME
from tests.runtime.processes import APP
from tests.runtime.staged import Staged
from tests.runtime.truth import check_outputs, predicted
from tests.runtime.waiting import wait_until

TARGET = "tests/runtime/staged_app.py:app"
ALL = [(stage, partition) for stage in ("labels", "entry", "by-shop", "last") for partition in (0, 1)]
State = Callable[..., Result]


class Killed(Exception):
    """What ends a reset in the middle."""


@pytest.fixture
def staged(broker: LocalBroker, tmp_path: Path):  # type: ignore[no-untyped-def]
    """An app in four stages on two partitions."""
    settings = {"group_instance_id": "", "session_timeout_ms": "1500", "snapshot_interval_s": "600"}
    app = Staged(broker, f"staged-{tmp_path.name[:20].replace('_', '-')}", tmp_path, 2, settings)
    app.create_topics()
    yield app
    app.kill_all()


@pytest.fixture
def state(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> State:
    """Runs `stream state ...` for the app, in this process."""
    monkeypatch.setenv(NAME, staged.name)
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", staged.broker.bootstrap_servers)
    for name, value in staged.settings.items():
        monkeypatch.setenv(f"STREAM_{name.upper()}", value)
    return lambda command, *options: run("state", command, TARGET, *options)


def tasks_of(done: Result) -> list[dict[str, Any]]:
    """The tasks in a command's JSON."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found: list[dict[str, Any]] = json.loads(done.stdout)["tasks"]
    return found


def places(tasks: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Stage and partition of each."""
    return [(each["stage"], each["partition"]) for each in tasks]


def wait_until_gone(app: Staged) -> None:
    """A killed worker stays a member of its groups until its sessions are over."""
    groups = [app.name, *(f"{app.name}.{stage}" for stage in ("labels", "entry", "by-shop"))]
    wait_until(lambda: not any(app.admin.group(group).members for group in groups), "the groups are empty")


def killed(*_: object) -> None:
    """Instead of a step."""
    raise Killed


def test_rule_34_all_stages_are_shown_verified_brought_up_and_begin_anew_together(
    staged: Staged, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind a kill -9, and though the reset is interrupted in the middle: every event is predicted once more."""
    staged.traffic.send(400)
    worker = staged.start()
    staged.wait_until_predicted()
    refused = state("reset", "--yes")
    assert isinstance(refused.exception, ConfigError)
    assert f"the group {staged.name}.labels has 1 member" in str(refused.exception)
    staged.stop(worker)

    shown = tasks_of(state("show", "--json"))
    assert places(shown) == ALL
    assert all(each["journal"] and each["snapshots"] for each in shown)
    # Behind the last record that another stage sent is the marker of its transaction, which has an offset too.
    assert [each["inputs"][0]["lag"] for each in shown] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert places(tasks_of(state("show", "--stage", "by-shop", "--json"))) == ALL[4:6]
    assert "did you mean 'by-shop'" in str(state("show", "--stage", "by-shops").exception)
    assert "by-shop, features: " in state("show").stdout
    whole = state("verify", "--json")
    assert (whole.exit_code, places(tasks_of(whole))) == (0, ALL)
    assert all(each["identical"] and each["rebuilt_from"] == "beginning" for each in tasks_of(whole))

    crashed = staged.start()
    staged.traffic.send(100)
    staged.wait_until_predicted()
    crashed.end(signal.SIGKILL)
    staged.expect_end(crashed)
    wait_until_gone(staged)
    caught_up = tasks_of(state("catch-up", "--json"))
    assert places(caught_up) == ALL
    assert all(each["written"] for each in caught_up)
    assert "entry, partition 1: nothing to do" in state("catch-up", "--stage", "entry").stdout
    check_outputs(staged)

    before = sorted(predicted(staged))
    assert "has stages" in str(state("reset", "--partition", "1", "--yes").exception)
    end_between_the_steps(staged, state, monkeypatch)
    staged.traffic.send(50)
    assert state("reset", "--yes").exit_code == 0
    anew = tasks_of(state("show", "--json"))
    assert all((each["journal"], each["snapshots"], each["keys"]) == (None, [], 0) for each in anew)
    assert [staged.records(topic) for plan in staged.stages for topic in plan.handed_on] == [[], [], []]

    again = staged.start()
    again.wait(lambda: len(set(predicted(staged))) > len(before), "predictions of what came behind the reset")
    again.wait(lambda: len(predicted(staged)) == len(before) + len(set(predicted(staged))), "all once more")
    staged.stop(again)
    counts = Counter(predicted(staged))
    assert sorted(place for place, count in counts.items() if count == 2) == before
    assert {counts[place] for place in counts.keys() - set(before)} == {1}


def end_between_the_steps(staged: Staged, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset ends behind the second stage's first task; the worker that is started then says so, and ends."""
    done: list[int] = []

    def until_third(resetting: TaskReset, partition: int) -> None:
        if len(done) == 3:
            raise Killed
        done.append(partition)
        reset(resetting, partition)

    reset = TaskReset.reset
    with monkeypatch.context() as patched:
        patched.setattr(TaskReset, "reset", until_third)
        assert isinstance(state("reset", "--yes").exception, Killed)
    half = staged.start()
    assert half.exit_status() == 1
    staged.expect_end(half)
    assert "a reset of this task was interrupted before its journal was deleted" in half.log


def test_an_app_that_gets_stages_is_refused_until_it_is_reset(staged: Staged, state: State) -> None:
    """Its tasks stop with the way out; all is predicted once more behind it."""
    staged.traffic.send(100)
    alone = staged.start(target=APP)
    staged.wait_until_predicted()
    staged.stop(alone)
    before = sorted(predicted(staged))

    changed = "changed from one alone to labels > entry > by-shop > last"
    found = json.loads(run("check", TARGET, "--json").stdout)["findings"]
    (told,) = (each for each in found if each["area"] == "state")
    assert (told["status"], changed in told["text"]) == ("wrong", True)
    shown = tasks_of(state("show", "--json", "--stage", "last"))
    assert [changed in task["refused"] for task in shown] == [True, True]

    refused = staged.start()
    assert refused.exit_status() == 1
    staged.expect_end(refused)
    assert "the stages of" in refused.log
    assert {line.get("stage") for line in refused.said("partitions gained")} == {"labels", "entry", "by-shop", "last"}
    assert changed in refused.log
    done = state("reset", "--yes")
    assert done.exit_code == 0, done.exception

    worker = staged.start()
    worker.wait(lambda: len(staged.records(staged.topics.predictions)) >= 2 * len(before), "all once more")
    staged.stop(worker)
    assert sorted(predicted(staged)) == sorted(2 * before)
