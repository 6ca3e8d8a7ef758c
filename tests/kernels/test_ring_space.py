"""Rings that grow in place hold what rings that were copied would."""

import mmap

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kernels.reserved import reserved
from stream.kernels.ring_space import RingSpace


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 12), st.integers(1, 30))
def test_every_row_is_at_its_place_in_the_longer_ring(places: int, tail: int, held: int, more: int) -> None:
    """Whatever the numbers that are held, and however much longer it becomes."""
    numbers = np.arange(tail, tail + min(held, places))
    space = RingSpace(places + more, (2,))
    ring = space.empty(places)
    ring[numbers % places] = np.stack((numbers, -numbers), axis=1)
    grown = space.grown(ring, tail, tail + len(numbers), places + more)
    assert len(grown) == places + more
    assert np.array_equal(grown[numbers % len(grown)], np.stack((numbers, -numbers), axis=1))


def test_a_ring_that_fills_up_for_the_first_time_is_not_copied() -> None:
    """Its rows stay where they are: nothing is read or written."""
    space = RingSpace(1 << 40, ())  # 8 TB of address space
    ring = space.empty(1000)
    ring[:] = np.arange(1000)
    grown = space.grown(ring, 0, 1000, 1 << 40)
    assert np.shares_memory(ring, grown)
    assert grown[:1001].tolist() == [*range(1000), 0]


def test_a_saved_ring_is_loaded_whatever_its_size() -> None:
    """Also one of a release that allowed more."""
    space = RingSpace(4, (1,))
    assert space.loaded(np.arange(8).reshape(8, 1)).ravel().tolist() == list(range(8))


@pytest.mark.parametrize("rows", [1, 1 << 20])
def test_reserved_memory_is_zero(rows: int) -> None:
    """And writable, small or large."""
    array = reserved((rows, 3))
    assert array.shape == (rows, 3) and not array.any()
    array[-1] = 1
    assert array.sum() == 3


def test_a_reserved_array_that_stays_small_takes_little_memory() -> None:
    """A row in each of 32 arrays of 64 MB: some KB each, and not the 2 MB of a large page."""
    before = psutil.Process().memory_info().rss
    arrays = [reserved((1 << 20, 8)) for _ in range(32)]
    for array in arrays:
        array[0] = 1
    assert psutil.Process().memory_info().rss - before < 8 << 20


def test_a_system_without_large_pages_reserves_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the advice, which is all."""
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999, raising=False)
    monkeypatch.setattr(mmap, "MADV_NOHUGEPAGE", 9999, raising=False)
    array = reserved((1 << 20, 8))
    array[-1] = 1
    assert array.sum() == 8
