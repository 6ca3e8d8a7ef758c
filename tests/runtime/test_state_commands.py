"""`stream state` on a real Kafka: what it shows, verifies, brings up and starts anew is what workers left."""

import json
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import Result

from stream.cli.broker.local import LocalBroker
from stream.errors import ConfigError
from tests.cli.commands import run
from tests.runtime.app import NAME
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment
from tests.runtime.processes import APP
from tests.runtime.truth import check_states, cycles, predicted, state_of_snapshot
from tests.runtime.waiting import wait_until

State = Callable[..., Result]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Callable[[Deployment], State]:
    """Runs `stream state ...` for a deployment, in this process."""

    def of(app: Deployment, **settings: str) -> State:
        monkeypatch.setenv(NAME, app.name)
        monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", app.broker.bootstrap_servers)
        for name, value in {**app.settings, **settings}.items():
            monkeypatch.setenv(f"STREAM_{name.upper()}", value)
        return lambda command, *options: run("state", command, APP, *options)

    return of


def tasks_of(done: Result) -> list[dict[str, Any]]:
    """The tasks in a command's JSON."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found: list[dict[str, Any]] = json.loads(done.stdout)["tasks"]
    return found


def send_until_each_has_snapshots(app: Deployment, count: int) -> None:
    """Traffic until so many snapshots of each task were written, each of another cycle."""

    def has_enough() -> bool:
        app.traffic.send(200)
        app.wait_until_handled()
        records = app.records(app.topics.snapshots)
        written = Counter(each.partition() for each in records if each.key().startswith(b"manifest"))
        return all(written[number] >= count for number in range(app.partitions))

    wait_until(has_enough, "snapshots of each task")


def wait_until_gone(app: Deployment) -> None:
    """A killed worker stays a member of its group until its session is over."""
    wait_until(lambda: not app.admin.group(app.name).members, "the group is empty")


def test_tasks_are_shown_verified_and_started_anew(deploy: Deploy, state: Callable[[Deployment], State]) -> None:
    """While a worker runs and after it; a changed bit is found; one task begins anew, the other goes on."""
    app = deploy(snapshot_interval_s="1", group_instance_id="")  # a static member would stay for a while
    worker, command = app.start(), state(app)
    send_until_each_has_snapshots(app, 2)

    # While it runs: nothing is in its way, and it is in nobody's.
    live = tasks_of(command("show", "--json"))
    assert [each["partition"] for each in live] == [0, 1]
    assert all(each["worker"] and each["journal"]["of_this_app"] and each["snapshots"] for each in live)
    assert all(each["lag"] == 0 for task in live for each in task["inputs"])
    refused = command("reset", "--yes")
    assert isinstance(refused.exception, ConfigError)
    assert "has 1 member: " in str(refused.exception)
    whole = command("verify", "--json")
    assert (whole.exit_code, [each["identical"] for each in tasks_of(whole)]) == (0, [True, True])
    assert {each["rebuilt_from"] for each in tasks_of(whole)} == {"beginning"}
    app.stop(worker)

    # After its stop: the last snapshot is that of the last cycle.
    left = tasks_of(command("show", "--json"))
    assert all((each["worker"], each["snapshots"][0]["cycle"]) == ("", each["journal"]["last"]) for each in left)
    assert sum(each["keys"] for each in left) == 40
    assert all(each["bytes_by_part"].keys() >= {"features", "labels", "model/champion", "monitor/0"} for each in left)
    part = command("verify", "--from", "snapshot", "--partition", "1", "--json")
    (verified,) = tasks_of(part)
    assert (part.exit_code, verified["identical"], verified["rebuilt_from"]) == (0, True, "snapshot"), verified
    assert verified["first_cycle"] == left[1]["snapshots"][1]["cycle"] + 1

    turn_a_bit(app, 0)
    different = command("verify")
    assert different.exit_code == 1
    assert "partition 0: DIFFERENT: rebuilt from the beginning" in different.stdout
    assert "  model/champion/weights row 1 is " in different.stdout
    assert "partition 1: identical: " in different.stdout

    kept = state_of_snapshot(app, 1)
    asked = command("reset", "--partition", "0")
    assert "give --yes" in str(asked.exception)
    assert command("reset", "--partition", "0", "--yes").exit_code == 0
    anew, other = tasks_of(command("show", "--json"))
    assert (anew["journal"], anew["snapshots"], anew["keys"], anew["damaged_snapshots"]) == (None, [], 0, [])
    assert other == {**left[1], "snapshots": other["snapshots"]}
    begin_anew_beside(app, kept)


def turn_a_bit(app: Deployment, partition: int) -> None:
    """The newest snapshot once more, with another weight."""
    store = app.open_store()
    wanted = {(record.cycle, record.digest) for record in cycles(app, partition)}
    newest = store.load(partition, wanted).checkpoint
    assert newest is not None
    weights = newest.arrays["model/champion/weights"].copy()
    weights.view("u1")[1, 0] ^= 1
    store.publish(replace(newest, arrays={**newest.arrays, "model/champion/weights": weights}))
    store.close()


def begin_anew_beside(app: Deployment, kept: tuple[int, str]) -> None:
    """The task that was reset predicts all of its events once more, from cycle 1 on; the other's state is untouched."""
    before = predicted(app)
    worker = app.start()
    app.wait_until_handled()
    app.stop(worker)
    assert cycles(app, 0)[0].cycle == 1
    again = predicted(app)
    assert {place for place in again if again.count(place) == 2} == {place for place in before if place[1] == 0}
    assert state_of_snapshot(app, 1) == kept
    check_states(app)


def test_a_crash_together_with_an_upgrade_is_caught_up_by_the_old_version(
    deploy: Deploy, broker: LocalBroker, state: Callable[..., State]
) -> None:
    """kill -9: another version is refused with the command named, which the old one follows; the new one goes on."""
    app = deploy(snapshot_interval_s="600", session_timeout_ms="1500")
    app.traffic.send(300)
    killed = app.start()
    app.wait_until_handled()
    killed.end(signal.SIGKILL)
    app.expect_end(killed)

    app.traffic.send(100)  # nothing of it is consumed by catching up
    wait_until_gone(app)

    before = app.committed()
    refused = state(app, test_state_bytes=str(5 << 20))("catch-up")
    assert "Run `stream state catch-up APP` with the old version" in str(refused.exception)
    command = state(app, test_state_bytes=str(4 << 20))
    done = tasks_of(command("catch-up", "--json"))
    assert [(each["partition"], each["written"]) for each in done] == [(0, True), (1, True)]
    assert [each["cycle"] for each in done] == [cycles(app, partition)[-1].cycle for partition in (0, 1)]
    assert app.committed() == before
    check_states(app)
    assert "nothing to do, its snapshot is that of its last cycle" in command("catch-up").stdout

    upgraded = app.start(test_state_bytes=str(5 << 20))
    app.wait_until_handled()
    app.stop(upgraded)
    assert not upgraded.said("the app changed: parts start anew")
    assert len(set(predicted(app))) == len(predicted(app)) == 392
