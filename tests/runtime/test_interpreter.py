"""What a worker asks of Python before its first turn."""

import gc
import sys
from collections.abc import Iterator

import pytest

from stream.runtime import interpreter


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)
    gc.unfreeze()


def test_other_threads_hold_the_polling_one_up_for_half_a_millisecond() -> None:
    """Neither by keeping the interpreter for 5 ms nor by having the collector look through all that is imported."""
    interpreter.settle()
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert gc.get_freeze_count() > 1000
