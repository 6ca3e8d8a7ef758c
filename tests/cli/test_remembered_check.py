"""What `stream check` says of an app that has run, without a broker."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from stream.cli.checks import remembered
from stream.cli.checks.cluster import check_registry
from stream.cli.checks.findings import Finding, Findings, Status
from stream.engine.plan import Plan
from stream.engine.protocol import TaskFound
from stream.errors import ConfigError, RetriableError
from stream.runtime.settings import Settings
from tests.cli.test_state import PLAN, changed, found_after
from tests.engine.conftest import memory
from tests.engine.memory_broker import MemoryBroker

__all__ = ["memory"]


@pytest.fixture
def found(memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> TaskFound:
    """What is remembered of the task of partition 0."""
    task = found_after(memory, 4)
    tasks = nullcontext(SimpleNamespace(find=lambda partition: task))
    monkeypatch.setattr(remembered, "RememberedTasks", lambda plan, settings: tasks)
    return task


def checked(plan: Plan, **settings: str) -> list[Finding]:
    """What is found."""
    findings = Findings()
    remembered.check_remembered([plan], Settings(**settings), findings)  # type: ignore[arg-type]
    return findings.found


def test_rule_5_a_changed_app_says_before_it_starts_what_it_begins_anew(found: TaskFound) -> None:
    """By name; an app as it was goes on."""
    (same,) = checked(PLAN)
    assert (same.status, same.subject) == (Status.OK, f"{PLAN.app} partition 0")
    (other,) = checked(changed())
    assert other.status is Status.NOTE
    assert "features/spend, features/most, model/champion, monitor/0, labels begin anew" in other.text


def test_rule_23_a_task_too_large_for_a_topic_of_snapshots_is_told(
    found: TaskFound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 64 MB; a folder takes any size."""
    size = sum(array.nbytes for array in found.checkpoints[0].arrays.values())
    monkeypatch.setattr(remembered, "_MOST_IN_TOPIC_BYTES", size)
    assert len(checked(PLAN)) == 1
    monkeypatch.setattr(remembered, "_MOST_IN_TOPIC_BYTES", size - 1)
    _, large = checked(PLAN)
    assert (large.status, "rule 23" in large.text) == (Status.NOTE, True)
    assert len(checked(PLAN, snapshots="file:///snapshots")) == 1


def test_what_cannot_be_read_is_told_and_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer in time is no reason for a traceback."""

    def unreadable(plan: Plan, settings: Settings) -> None:
        raise RetriableError("no broker answers")

    monkeypatch.setattr(remembered, "RememberedTasks", unreadable)
    (told,) = checked(PLAN)
    assert (told.status, told.text) == (Status.NOTE, "no broker answers")


def test_a_wrong_setting_is_one_problem_and_none_of_the_registry() -> None:
    """It is what keeps the registry from being asked, and was told."""
    settings, findings = Settings(transaction_timeout_ms=1_000_000), Findings()
    with pytest.raises(ConfigError) as refused:
        settings.kafka(PLAN.app)
    findings.wrong("settings", PLAN.app, str(refused.value))
    check_registry(PLAN, settings, findings)
    assert [(each.area, each.status) for each in findings.found[1:]] == [("schemas", Status.SKIPPED)]
