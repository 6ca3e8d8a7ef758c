"""Whose tasks a worker follows (rule 25)."""

from collections.abc import Collection, Mapping


def to_follow(
    members: Mapping[str, Collection[int]], this_member: str, replicas: int, followed: Collection[int]
) -> tuple[int, ...]:
    """The partitions that a member of the group follows.

    Members stand in a ring, by their ids; each is followed by the next `replicas` ones. librdkafka has no assignors of
    one's own, so that the group does not know who is warm: with two members that is the right one always, with more a
    partition may go to another.

    Args:
        members: the group's, with the partitions of each.
        this_member: id of the one that asks.
        replicas: how many follow each task.
        followed: by this member, until now: those that nobody has stay, for their owner may just have died.
    """
    # From its end an id is a random number: classic groups begin it with the client's name, by which workers of one
    # machine, which die together, would stand beside each other.
    ring = sorted(members, key=lambda member: member[::-1])
    owned = {partition for partitions in members.values() for partition in partitions}
    kept = set(followed) - owned
    if this_member not in members:
        return tuple(sorted(kept))
    place = ring.index(this_member)
    before = {ring[(place - step) % len(ring)] for step in range(1, min(replicas, len(ring) - 1) + 1)}
    return tuple(sorted(kept.union(*(members[name] for name in before)) if before else sorted(kept)))
