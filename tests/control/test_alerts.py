"""The life of an alert: what operators may do with it, and what they are told when they may not."""

import pytest

from stream.control.alerts import Action, AlertState, Change, IllegalTransition, TrackedAlert, apply
from tests.control.samples import ALERT, command

OPEN = TrackedAlert(ALERT, partition=0)


def test_an_alert_is_open_until_someone_does_something() -> None:
    """No change, no owner."""
    assert OPEN.state is AlertState.OPEN


def test_each_step_keeps_by_whom_when_and_why() -> None:
    """open, acknowledged by alice, resolved by bob: the whole story stays."""
    acknowledged = apply(OPEN, command(Action.ACKNOWLEDGE, "alice", 1_000, "looking", "c1"))
    resolved = apply(acknowledged, command(Action.RESOLVE, "bob", 2_000, "retrained", "c2"))

    assert acknowledged.state is AlertState.ACKNOWLEDGED
    assert resolved.state is AlertState.RESOLVED
    assert resolved.changes == (
        Change(AlertState.ACKNOWLEDGED, "alice", 1_000, "looking", "c1"),
        Change(AlertState.RESOLVED, "bob", 2_000, "retrained", "c2"),
    )


def test_an_open_alert_can_be_resolved_at_once() -> None:
    """Nobody has to acknowledge what is over already."""
    assert apply(OPEN, command(Action.RESOLVE, reason="a test")).state is AlertState.RESOLVED


@pytest.mark.parametrize(
    ("first", "then", "sentence"),
    [
        (Action.ACKNOWLEDGE, Action.ACKNOWLEDGE, "was acknowledged by alice at 2023-11-14 22:15:00 UTC (looking); "
         "it cannot be acknowledged again"),
        (Action.RESOLVE, Action.RESOLVE, "it cannot be resolved again"),
        (Action.RESOLVE, Action.ACKNOWLEDGE, "it cannot be acknowledged any more"),
    ],
)  # fmt: skip
def test_a_step_back_or_twice_is_refused_with_who_was_first(first: Action, then: Action, sentence: str) -> None:
    """The second operator learns who was faster, when and why."""
    changed = apply(OPEN, command(first, "alice", reason="looking", id="c1"))

    with pytest.raises(IllegalTransition) as refusal:
        apply(changed, command(then, "bob", id="c2"))

    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith(f"alert {ALERT.id} was ")


def test_a_command_that_is_delivered_twice_is_applied_once() -> None:
    """Faust delivers at least once: the same command changes nothing the second time, even after later ones."""
    acknowledge, resolve = command(Action.ACKNOWLEDGE, id="c1"), command(Action.RESOLVE, id="c2", reason="over")
    resolved = apply(apply(OPEN, acknowledge), resolve)

    assert apply(resolved, acknowledge) == resolved
    assert apply(resolved, resolve) == resolved
