"""Whose tasks a member of the group follows (rule 25)."""

import pytest

from stream.kafka.standby_plan import to_follow

THREE = {"a": [0, 1], "b": [2, 3], "c": [4]}


@pytest.mark.parametrize(
    ("this_member", "replicas", "wanted"),
    [
        ("b", 1, (0, 1)),
        ("a", 1, (4,)),
        ("a", 2, (2, 3, 4)),
        ("a", 9, (2, 3, 4)),
        ("not joined yet", 1, ()),
    ],
)
def test_the_next_members_of_the_ring_follow_each_one(this_member: str, replicas: int, wanted: tuple[int, ...]) -> None:
    """Each task has as many followers as there are replicas, or others."""
    assert to_follow(THREE, this_member, replicas, ()) == wanted


def test_the_ring_does_not_go_by_what_ids_begin_with() -> None:
    """In classic groups the client's name, with slot and machine: a machine would take the only follower along."""
    members = {"shop-0@a-01": [0], "shop-1@a-03": [1], "shop-2@b-02": [2], "shop-3@b-04": [3]}
    assert to_follow(members, "shop-2@b-02", 1, ()) == (0,)
    assert to_follow(members, "shop-1@a-03", 1, ()) == (2,)


def test_a_member_alone_follows_nobody() -> None:
    """There is nobody to follow."""
    assert to_follow({"a": [0, 1]}, "a", 1, ()) == ()


def test_tasks_that_nobody_has_stay_followed() -> None:
    """Their owner has died, and the group is about to give them to somebody: perhaps to who is warm."""
    assert to_follow({"b": [2, 3], "c": [4]}, "b", 1, (0, 1)) == (0, 1, 4)
    assert to_follow({"b": [2, 3], "c": [4, 0]}, "b", 1, (0, 1)) == (0, 1, 4)
    assert to_follow({"b": [2, 3, 0, 1], "c": [4]}, "b", 1, (0, 1)) == (4,)
