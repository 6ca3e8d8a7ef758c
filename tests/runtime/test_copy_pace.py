"""Copies between slices of work take some 10 ms, however fast memory is."""

import itertools
import time

import pytest

from stream.runtime.copy_pace import CopyPace


@pytest.mark.parametrize(("bytes_a_ms", "settles_at"), [(4_000_000, 8 << 20), (100_000, 1_000_000), (1, 1 << 18)])
def test_as_much_is_copied_as_takes_10_ms(monkeypatch: pytest.MonkeyPatch, bytes_a_ms: int, settles_at: int) -> None:
    """A quick machine, one whose new memory is slow, and one that hangs."""
    now_s = [0.0]
    asked: list[int] = []

    def copy(most_bytes: int) -> int:
        asked.append(most_bytes)
        now_s[0] += most_bytes / bytes_a_ms / 1000
        return most_bytes

    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])
    pace = CopyPace()
    for _ in range(20):
        pace.turn(copy)
    assert asked[-1] == pytest.approx(settles_at, rel=0.01)
    assert all(later <= 2 * before for before, later in itertools.pairwise(asked))


def test_where_nothing_is_copied_the_pace_stays() -> None:
    """Most turns."""
    asked: list[int] = []
    pace = CopyPace()
    for _ in range(3):
        pace.turn(lambda most_bytes: asked.append(most_bytes) or 0)  # type: ignore[func-returns-value]
    assert len(set(asked)) == 1
