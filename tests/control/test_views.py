"""What the API shows."""

import pytest

from stream.control.alerts import Action, AlertState, TrackedAlert, apply
from stream.control.views import Filter, nearest, page, view
from tests.control.samples import ALERT, alert_at, command


def test_an_alert_is_shown_with_readable_times_and_its_history() -> None:
    """Times are ISO 8601 in UTC; each step has by whom, when and why."""
    shown = view(apply(TrackedAlert(ALERT, 0), command(Action.ACKNOWLEDGE, "alice", 1_700_000_100_250, "looking")))

    assert shown["state"] == "acknowledged"
    assert shown["placed_time"] == "2023-11-14T22:13:20.000Z"
    assert shown["history"] == [
        {"state": "acknowledged", "by": "alice", "at": "2023-11-14T22:15:00.250Z", "reason": "looking"}
    ]


def test_filters_narrow_a_list_together() -> None:
    """State, severity and model must all fit."""
    tracked = TrackedAlert(alert_at(1, severity="critical", model="challenger"), 0)

    assert Filter().takes(tracked)
    assert Filter(AlertState.OPEN, "critical", "challenger").takes(tracked)
    assert not Filter(state=AlertState.RESOLVED).takes(tracked)
    assert not Filter(severity="info").takes(tracked)
    assert not Filter(model="champion").takes(tracked)


def test_pages_are_newest_first_and_do_not_shift_when_an_alert_comes() -> None:
    """Five alerts in pages of two, with a sixth raised between the first page and the second."""
    views = [view(TrackedAlert(alert_at(offset), 0)) for offset in (3, 1, 5, 2, 4)]
    first = page(views, 2, None)
    views.append(view(TrackedAlert(alert_at(6), 0)))
    second = page(views, 2, first["next"])
    third = page(views, 2, second["next"])

    assert [shown["offset"] for answer in (first, second, third) for shown in answer["alerts"]] == [5, 4, 3, 2, 1]
    assert (first["total"], second["total"], third["next"]) == (5, 6, None)
    with pytest.raises(KeyError):
        page(views, 2, "gone")


def test_a_mistyped_id_finds_what_was_meant() -> None:
    """The closest ids first; nothing where nothing is close."""
    known = [alert_at(offset).id for offset in (1200, 1300, 77)]

    assert nearest("fraud/payments/0/1201/error/ADWIN", known)[0] == "fraud/payments/0/1200/error/ADWIN"
    assert nearest("zzz", known) == []
