"""When a worker's commits begin."""

from collections.abc import Callable


class CommitSchedule:
    """Commits are due an interval apart, counted from when they were due and not from when they began.

    Args:
        interval_ms: between commits.
    """

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        # What was fetched when a commit is due belongs to it, where handling that takes no longer than this: of four
        # tasks one would be committed, and the others' records wait for another interval.
        self._grace_ms = interval_ms // 10
        self.due_ms = 0  # when the next one begins, if there is something to commit

    def is_due(self, now_ms: int, is_at_work: Callable[[], bool]) -> bool:
        """Whether a commit begins now.

        Args:
            now_ms: the time.
            is_at_work: whether records are at hand that may be handled first.
        """
        over_ms = now_ms - self.due_ms
        # A clock that was set back commits at once: otherwise nothing would be until it is where it was.
        if over_ms < -self._interval_ms or over_ms >= self._grace_ms:
            return True
        return over_ms >= 0 and not is_at_work()

    def began(self, now_ms: int) -> None:
        """A commit begins now."""
        is_in_time = 0 <= now_ms - self.due_ms <= self._grace_ms
        self.due_ms = (self.due_ms if is_in_time else now_ms) + self._interval_ms
