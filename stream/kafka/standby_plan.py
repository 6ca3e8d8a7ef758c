"""Who follows which task (rule 25): all members of a group come to the same plan by the group's description."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stream.kafka.admin import GroupState


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as its group describes it."""

    id: str
    name: str  # its client id, which a restart leaves as it was
    host: str  # of the machine: workers of one are lost together
    partitions: tuple[int, ...]


def members_of(group: GroupState, topic: str) -> tuple[Member, ...]:
    """The members of a group, with their partitions of this topic.

    A worker's host is what its client id has behind the @ (the machine's name, unless `[librdkafka] client.id` says
    something else), or the address that the broker sees.

    Args:
        group: as it is described.
        topic: the event topic.
    """
    names = Counter(client.client_id for client in group.clients)
    found = [
        Member(
            client.member_id,
            client.client_id if names[client.client_id] == 1 else f"{client.client_id} {client.member_id}",
            client.client_id.rpartition("@")[2] if "@" in client.client_id else client.host,
            tuple(number for source, number in partitions if source == topic),
        )
        for client, partitions in zip(group.clients, group.members.values(), strict=True)
    ]
    return tuple(sorted(found, key=lambda member: (member.name, member.id)))


def to_follow(
    members: Sequence[Member], this_member: str, replicas: int, followed: Collection[int], partitions: int
) -> tuple[int, ...]:
    """The partitions that a member of the group follows.

    librdkafka has no assignors of one's own, so that the group does not know who is warm: with two members that is the
    right one always, with more a partition may go to another.

    Args:
        members: of the group.
        this_member: id of the one that asks.
        replicas: how many follow each task.
        followed: by this member, until now. While not every partition has an owner they stay: one may just have died,
            and what the group gives to whom is still to come.
        partitions: how many there are.
    """
    is_settled = sum(len(member.partitions) for member in members) == partitions
    if not is_settled or all(member.id != this_member for member in members):
        return tuple(sorted(followed))
    plan = followers(members, replicas)
    return tuple(sorted(partition for partition, chosen in plan.items() if this_member in chosen))


def followers(members: Sequence[Member], replicas: int) -> dict[int, tuple[str, ...]]:
    """Ids of the members that follow each partition: never its owner, as many as there are replicas, or others.

    As long as there are other hosts, each follower is on another one than the owner and the followers before it. No
    member follows more than its share, rounded up, unless the hosts leave no choice. Each partition has an order of
    preference among members (rendezvous hashing: Thaler and Ravishankar, 1998), whoever has it, so that few move where
    a member joins or leaves.
    """
    owners = {partition: member for member in members for partition in member.partitions}
    chosen: dict[int, tuple[Member, ...]] = dict.fromkeys(owners, ())
    for replica in range(1, min(replicas, len(members) - 1) + 1):
        choices = {number: _choices(number, (owner, *chosen[number]), members) for number, owner in owners.items()}
        room = -(-len(owners) * replica // len(members))
        held = Counter(member.id for each in chosen.values() for member in each)
        for partition, member in _matched(choices, room, held).items():
            chosen[partition] += (member,)
    return {partition: tuple(member.id for member in each) for partition, each in chosen.items()}


def _choices(partition: int, taken: Sequence[Member], members: Sequence[Member]) -> list[Member]:
    """Whom a partition may get beside those that have it, the one that it prefers first."""
    hosts = {member.host for member in taken}
    others = [member for member in members if member not in taken]
    elsewhere = [member for member in others if member.host not in hosts] or others
    return sorted(elsewhere, key=lambda member: hashlib.blake2b(f"{partition} {member.name}".encode()).digest())


def _matched(choices: Mapping[int, Sequence[Member]], room: int, held: Mapping[str, int]) -> dict[int, Member]:
    """One of its choices for each partition, so that nobody holds more than there is room for, if that can be.

    Augmenting paths (Kuhn, 1955): where all choices of a partition are full, others make room. Where that cannot be,
    as with three workers on one machine and one on another, it is one more than there is room for.

    Args:
        choices: by partition, the best first.
        room: partitions that a member should hold at most.
        held: how many each holds already.
    """
    given: dict[str, list[int]] = {member.id: [] for each in choices.values() for member in each}

    def has_place(partition: int, most: int, seen: set[str]) -> bool:
        for member in choices[partition]:
            if held[member.id] + len(given[member.id]) < most:
                given[member.id].append(partition)
                return True
        for member in choices[partition]:
            if member.id in seen:
                continue
            seen.add(member.id)
            for other in given[member.id]:
                if has_place(other, most, seen):
                    given[member.id].remove(other)
                    given[member.id].append(partition)
                    return True
        return False

    # By `most`: members from which no path leads to room, nor will: what is added there has its choices there.
    # (Without, three workers on one machine, one on another and 512 partitions took 2 s; twice as many, 16 s.)
    full: defaultdict[int, set[str]] = defaultdict(set)
    for partition in sorted(choices):
        most = room
        while not has_place(partition, most, seen := set(full[most])):
            full[most] = seen
            most += 1
    by_id = {member.id: member for each in choices.values() for member in each}
    return {partition: by_id[name] for name, partitions in given.items() for partition in partitions}
