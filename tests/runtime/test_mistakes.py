"""What cannot work is said once, with what to do, and ends the process with status 1."""

import signal
import socket
from collections.abc import Iterator

import psutil
import pytest

from stream.kafka.admin import Admin
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from tests.runtime.conftest import Deploy
from tests.runtime.processes import WorkerProcess
from tests.runtime.traffic import SteadyTraffic
from tests.runtime.waiting import wait_until

NOBODY = "127.0.0.1:1"


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_each_mistake_gets_one_clear_error(deploy: Deploy, busy_port: int) -> None:
    """All at once, since each is a start: one error in a log of JSON lines, which says what to do, and status 1."""
    app, missing, unequal = deploy(), deploy(is_created=False), deploy(is_created=False)
    Admin(unequal.kafka).create(
        [TopicSpec(unequal.events, 2), TopicSpec(unequal.labels, 3), *topics_of_app(unequal.topics, 2)]
    )
    mistakes = {
        "no broker": (app.start(bootstrap_servers=NOBODY), NOBODY),
        "no registry": (app.start(registry_url=f"http://{NOBODY}"), NOBODY),
        "missing topic": (missing.start(), f"topic {missing.events} does not exist: run `stream topics create`"),
        "unequal": (unequal.start(), f"topic {unequal.labels} has 3 partitions, {unequal.events} has 2"),
        "port": (app.start(metrics_port=str(busy_port)), f"metrics port {busy_port} on 127.0.0.1 is in use"),
        "folder": (app.start(snapshots="file:///proc/nowhere"), "the folder file:///proc/nowhere cannot be made"),
        "setting": (app.start(commit_interval_ms="soon"), "commit_interval_ms is a whole number"),
    }
    problems = {name: problem for name, (worker, text) in mistakes.items() if (problem := problem_of(worker, text))}
    assert problems == {}


def problem_of(worker: WorkerProcess, expected: str) -> str:
    """What is wrong with how a mistake is told; "" if nothing is."""
    status = worker.exit_status()
    told = [str(line["event"]) for line in worker.events if line["logger"] == "stream"]
    is_all_json = len(worker.events) == len(worker.log.splitlines())
    if status == 1 and len(told) == 1 and expected in told[0] and is_all_json:
        return ""
    return f"status {status}, expected {expected!r} in one line: {worker.log}"


def test_of_two_workers_in_one_slot_the_first_gives_way_and_says_why(deploy: Deploy) -> None:
    """The one that came later took the transactional id over; what it has not committed, the first never will."""
    app = deploy(group_instance_id="", session_timeout_ms="6000")
    app.traffic.send(200)
    first = app.start()
    app.wait_until_handled()
    with SteadyTraffic(app.traffic, per_second=100):
        second = app.start()
        first.exit_status()
    assert first.exit_status() == 1
    assert "two workers must not share a slot" in first.log.splitlines()[-1]
    assert "Traceback" not in first.log
    app.expect_end(first)
    app.wait_until_handled()
    app.stop(second)


def test_workers_of_one_command_end_when_it_is_killed(deploy: Deploy) -> None:
    """`stream run --workers 2` is killed with -9: its workers drain, commit and leave, as after SIGTERM."""
    app = deploy()
    command = app.start(arguments=["--workers", "2"])
    command.wait_for_log("started", 2)
    workers = [each for each in psutil.Process(command.process.pid).children() if "stream.cli.main" in each.cmdline()]
    assert len(workers) == 2

    command.end(signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, workers)), "the workers have ended", lambda: command.log)
    app.expect_end(command)
    assert [line for line in command.events if line["logger"] == "stream"] == []


def test_of_several_workers_one_that_is_killed_is_named(deploy: Deploy) -> None:
    """The others drain and leave; the command says which process it was, and ends with its status."""
    app = deploy(group_instance_id="")  # one for both would be one member, of which one process ends
    command = app.start(arguments=["--workers", "2"])
    command.wait_for_log("started", 2)
    children = psutil.Process(command.process.pid).children()
    (second,) = (each for each in children if each.cmdline()[-4:-2] == ["--slot", "1"])
    second.kill()
    assert command.exit_status() == signal.SIGKILL
    app.expect_end(command)
    (told,) = command.said("a worker's process has ended; the others stop")
    assert (told["slot"], told["pid"], told["status"]) == (1, second.pid, -signal.SIGKILL)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; whose parent has gone may stay as a zombie."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
