"""Two states of a task, bit for bit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.models.pickled_state import say_the_same
from stream.records import Array


@dataclass(frozen=True, slots=True)
class Difference:
    """An array that is not the same in both."""

    array: str
    row: int | None  # the first that differs; None where the array is missing, or is of another shape or type
    text: str


def differences(
    expected: Mapping[str, Array], found: Mapping[str, Array], where: str = "in the snapshot", there: str = "rebuilt"
) -> tuple[Difference, ...]:
    """The arrays that differ in any bit, by name; of a River model what its pickle holds.

    Args:
        expected: by name.
        found: by name.
        where: what the texts call `expected`.
        there: what they call `found`.
    """
    compared = [
        _compare(name, expected.get(name), found.get(name), where, there) for name in sorted({*expected, *found})
    ]
    return tuple(difference for difference in compared if difference is not None)


def _compare(name: str, expected: Array | None, found: Array | None, where: str, there: str) -> Difference | None:
    if expected is None or found is None:
        return Difference(name, None, f"is there only {where if found is None else there}")
    if name.endswith("/pickle") and say_the_same(expected, found):
        return None
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        was, got = (f"{each.dtype}{each.shape}" for each in (expected, found))
        return Difference(name, None, f"is {was} {where}, {got} {there}")
    rows = len(expected) if expected.ndim else 1
    bits = [np.ascontiguousarray(each).view(np.uint8).reshape(rows, -1) for each in (expected, found) if each.size]
    differing = np.flatnonzero((bits[0] != bits[1]).any(axis=1)) if bits else np.zeros(0, np.int64)
    if not len(differing):
        return None
    row = int(differing[0])
    was, got = (np.atleast_1d(each)[row] for each in (expected, found))
    return Difference(name, row, f"row {row} is {_short(was)} {where}, {_short(got)} {there}")


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
