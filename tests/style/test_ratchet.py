"""The ratchet turns one way."""

from tests.style.ratchet import complaints


def test_an_exception_may_not_grow() -> None:
    """As much as is allowed passes, one more does not; what has no exception has the limit."""
    assert complaints([("f", 90)], {"f": 90}, 70, "lines", "split it") == []
    assert complaints([("f", 91)], {"f": 90}, 70, "lines", "split it") == ["f has 91 lines, at most 90: split it"]
    assert complaints([("g", 71)], {}, 70, "lines", "split it") == ["g has 71 lines, at most 70: split it"]


def test_an_exception_is_lowered_when_it_can_be() -> None:
    """What became shorter stays shorter; what needs no exception has none."""
    shorter = complaints([("f", 80)], {"f": 90}, 70, "lines", "split it")
    assert shorter == ["f may have 90 lines and has 80: lower or remove its exception"]
    gone = complaints([], {"f": 90}, 70, "lines", "split it")
    assert gone == ["f may have 90 lines and has at most 70: lower or remove its exception"]
