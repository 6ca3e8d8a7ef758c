"""Alerts as the API shows them: plain JSON, times as ISO 8601 in UTC."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from stream.control.alerts import AlertState, Change, TrackedAlert

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts a list shows; None means all."""

    state: AlertState | None = None
    severity: str | None = None
    model: str | None = None

    def takes(self, tracked: TrackedAlert) -> bool:
        """True if the list shows this alert."""
        alert = tracked.alert
        return (
            (self.state is None or tracked.state is self.state)
            and (self.severity is None or alert.severity == self.severity)
            and (self.model is None or alert.model == self.model)
        )


def view(tracked: TrackedAlert) -> View:
    """One alert with its state and history."""
    times = {name: iso(getattr(tracked.alert, name)) for name in ("placed_time", "event_time", "processing_time")}
    return {
        **asdict(tracked.alert),
        **times,
        "state": tracked.state.value,
        "history": [_change(change) for change in tracked.changes],
    }


def page(views: Sequence[View], limit: int, after: str | None) -> View:
    """The `limit` alerts behind the one with id `after`, newest first; `next` is what to give as `after` then.

    A page does not shift when new alerts come: they are before it. Raises KeyError if `after` is not in the list.
    """
    ordered = sorted(views, key=lambda shown: (shown["processing_time"], shown["id"]), reverse=True)
    begin = 0
    if after is not None:
        places = [place for place, shown in enumerate(ordered) if shown["id"] == after]
        if not places:
            raise KeyError(after)
        begin = places[0] + 1
    shown = ordered[begin : begin + limit]
    is_last = begin + limit >= len(ordered)
    return {"alerts": shown, "total": len(ordered), "next": None if is_last or not shown else shown[-1]["id"]}


def nearest(alert_id: str, known: Sequence[str]) -> list[str]:
    """Up to three known ids that a mistyped one may have meant, the closest first."""
    return get_close_matches(alert_id, known, n=3, cutoff=0.5)


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _change(change: Change) -> View:
    return {"state": change.state.value, "by": change.by, "at": iso(change.at_ms), "reason": change.reason}
