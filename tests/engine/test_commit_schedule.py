"""When commits begin: an interval apart, with what was fetched in time."""

import pytest

from stream.engine.commit_schedule import CommitSchedule


def at_work() -> bool:
    """Records are at hand."""
    return True


def idle() -> bool:
    """None are."""
    return False


@pytest.mark.parametrize(
    ("now_ms", "while_at_work", "while_idle"),
    [
        (10_000, False, False),
        (10_099, False, False),
        (10_100, False, True),
        (10_109, False, True),
        (10_110, True, True),
        (10_999, True, True),
        (9_999, True, True),
    ],
    ids=["just begun", "not yet", "due", "a tenth later, nearly", "a tenth later", "long due", "a clock set back"],
)
def test_a_commit_takes_in_what_is_at_hand_for_a_tenth_of_the_interval(
    now_ms: int, while_at_work: bool, while_idle: bool
) -> None:
    """And not for longer: a worker that is behind commits as often as one that is not, nearly."""
    schedule = CommitSchedule(100)
    schedule.began(10_000)
    assert (schedule.is_due(now_ms, at_work), schedule.is_due(now_ms, idle)) == (while_at_work, while_idle)


def test_what_one_commit_waited_for_shifts_no_later_one() -> None:
    """They are due at a steady pace."""
    schedule = CommitSchedule(100)
    schedule.began(10_000)
    schedule.began(10_103)
    assert schedule.due_ms == 10_200
    schedule.began(10_210)
    assert schedule.due_ms == 10_300


@pytest.mark.parametrize("now_ms", [10_050, 10_111, 25_000, 9_000], ids=["early", "late", "much later", "set back"])
def test_behind_a_commit_at_another_time_the_interval_is_counted_from_it(now_ms: int) -> None:
    """A revocation commits early; where nothing came for a while, or commits were slow, none is made up for."""
    schedule = CommitSchedule(100)
    schedule.began(10_000)
    schedule.began(now_ms)
    assert schedule.due_ms == now_ms + 100


def test_the_first_commit_is_due_at_once() -> None:
    """Its events need not wait."""
    assert CommitSchedule(100).is_due(1_800_000_000_000, at_work)
