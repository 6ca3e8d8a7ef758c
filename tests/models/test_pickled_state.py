"""Pickles of River models that say the same in other bytes."""

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.models.pickled_state import say_the_same


def pickled(value: Any) -> NDArray[np.uint8]:
    """As a River model's state holds it."""
    return np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)


def test_what_is_shared_in_memory_makes_no_difference() -> None:
    """One list twice, and two lists that are equal: other bytes, the same content."""
    part = [1.5, 2.5]
    shared, apart = {"a": part, "b": part}, {"a": [1.5, 2.5], "b": [1.5, 2.5]}
    assert pickled(shared).tobytes() != pickled(apart).tobytes()
    assert say_the_same(pickled(shared), pickled(apart))


def test_other_content_is_another_state() -> None:
    """The last bit of a float."""
    assert not say_the_same(pickled({"a": 1.5}), pickled({"a": np.nextafter(1.5, 2)}))


def test_what_refers_to_itself_is_the_same_only_in_its_bytes() -> None:
    """It cannot be written without references."""
    endless: list[Any] = [1]
    endless.append(endless)
    assert say_the_same(pickled(endless), pickled(endless))
    other: list[Any] = [1, [1]]
    other[1].append(other)
    assert not say_the_same(pickled(endless), pickled(other))
