"""An alert's life as a pure state machine: what operators may do, and what it says when they may not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from stream.errors import StreamError


class AlertState(Enum):
    """Where an alert is in its life.

    ::

        OPEN ----> ACKNOWLEDGED
          |             |
          v             v
          +-----> RESOLVED

    It never goes back: what happens again is a new alert with an id of its own.
    """

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Action(Enum):
    """What an operator asks for."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


_LEGAL = {
    (AlertState.OPEN, Action.ACKNOWLEDGE): AlertState.ACKNOWLEDGED,
    (AlertState.OPEN, Action.RESOLVE): AlertState.RESOLVED,
    (AlertState.ACKNOWLEDGED, Action.RESOLVE): AlertState.RESOLVED,
}


class IllegalTransition(StreamError):
    """The alert is not in a state that allows the action; nothing was changed. The text says who was first."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as a worker raised it; the fields are those of schemas/alert, times in milliseconds since 1970."""

    id: str
    kind: str
    app: str
    model: str | None
    topic: str
    partition: int
    offset: int
    signal: str
    detector: str
    parameters: Mapping[str, float]
    before: float
    after: float
    placed_offset: int
    placed_time: int
    severity: str
    sentence: str
    event_time: int
    processing_time: int


@dataclass(frozen=True, slots=True)
class Command:
    """One request of one operator. Its id makes it safe to deliver twice."""

    id: str
    alert_id: str
    action: Action
    by: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One step of an alert's life: who, when, why."""

    state: AlertState
    by: str
    at_ms: int
    reason: str
    command_id: str


@dataclass(frozen=True, slots=True)
class TrackedAlert:
    """An alert with what was done about it."""

    alert: Alert
    partition: int  # of the alert topic
    changes: tuple[Change, ...] = ()

    @property
    def state(self) -> AlertState:
        """Where it is now."""
        return self.changes[-1].state if self.changes else AlertState.OPEN


def apply(tracked: TrackedAlert, command: Command) -> TrackedAlert:
    """The alert after the command; the same alert if this very command was applied before.

    Raises IllegalTransition, and nothing is to be changed, if the alert's state does not allow the action.
    """
    if any(change.command_id == command.id for change in tracked.changes):
        return tracked
    state = _LEGAL.get((tracked.state, command.action))
    if state is None:
        raise IllegalTransition(_refusal(tracked, command.action))
    change = Change(state, command.by, command.at_ms, command.reason, command.id)
    return replace(tracked, changes=(*tracked.changes, change))


def _refusal(tracked: TrackedAlert, action: Action) -> str:
    last = tracked.changes[-1]
    when = datetime.fromtimestamp(last.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    why = f" ({last.reason})" if last.reason else ""
    first = f"alert {tracked.alert.id} was {last.state.value} by {last.by} at {when}{why}"
    wanted = {Action.ACKNOWLEDGE: "acknowledged", Action.RESOLVE: "resolved"}[action]
    again = " again" if wanted == last.state.value else " any more"
    return f"{first}; it cannot be {wanted}{again}"
