"""How near the end of its inputs a task is, as a truth table."""

import pytest

from stream.kafka.input_margins import Standing, look_at, margins_of
from stream.records import TopicPartition

EVENTS, LABELS = TopicPartition("events", 3), TopicPartition("labels", 3)


def standing(events: int, labels: int, before: int | None = None) -> Standing:
    """A snapshot at these positions, whose margins were `before` when it was first looked at."""
    return Standing({EVENTS: events, LABELS: labels}, {} if before is None else {EVENTS: before, LABELS: before})


@pytest.mark.parametrize(
    ("start", "end", "is_danger", "warnings"),
    [
        (0, 900, False, 0),  # 400 before it, as when it was taken
        (200, 900, False, 0),  # half of them
        (201, 900, False, 1),  # less than half
        (400, 900, False, 1),  # none: but all that it needs
        (401, 900, True, 0),  # the first record that it needs is gone
        (900, 900, True, 0),
        (400, 400, False, 0),  # it needs none: nothing has come since
    ],
)
def test_rule_20_the_older_snapshot_decides(start: int, end: int, is_danger: bool, warnings: int) -> None:
    """It stands at 400 of the events, the newer one at 600; the labels have had none since."""
    two = [standing(400, 50, before=400), standing(600, 50, before=600)]
    look = look_at(two, {EVENTS: start, LABELS: 50}, {EVENTS: end, LABELS: 50})
    assert (bool(look.danger), len(look.warnings)) == (is_danger, warnings)
    assert look.margins == {EVENTS: 400 - start, LABELS: 0}
    if is_danger:
        assert "events[3]: a restore from the older of two snapshots reads from offset 400 on" in look.danger
        assert f"begins at {start}" in look.danger
    for warning in look.warnings:
        assert f"events[3]: of 400 records before the position of the older snapshot, {400 - start} are left" in warning


def test_each_input_counts_for_itself() -> None:
    """Labels that are gone hold a task back too; a topic that is gone is not looked at."""
    look = look_at([standing(400, 50)], {EVENTS: 0, LABELS: 60}, {EVENTS: 900, LABELS: 70})
    assert "labels[3]" in look.danger
    assert "events" not in look.danger
    assert look_at([standing(400, 50)], {EVENTS: 0}, {EVENTS: 900}).margins == {EVENTS: 400}


def test_a_task_without_a_snapshot_has_no_margin() -> None:
    """It is restored from its journal's beginning, and makes a snapshot within an interval."""
    look = look_at([], {EVENTS: 10}, {EVENTS: 20})
    assert (look.margins, look.danger, look.warnings) == ({}, "", ())


def test_a_margin_is_counted_from_the_log_s_start() -> None:
    """Below 0 where records are gone."""
    assert margins_of({EVENTS: 30, LABELS: 5}, {EVENTS: 10, LABELS: 7}) == {EVENTS: 20, LABELS: -2}
