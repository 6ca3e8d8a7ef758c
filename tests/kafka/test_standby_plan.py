"""Who follows which task (rule 25)."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.admin import GroupClient, GroupState
from stream.kafka.standby_plan import Member, followers, members_of, to_follow


def group(*hosts: str, partitions: int) -> tuple[Member, ...]:
    """Workers on these hosts, who have taken partitions in turn."""
    own = [tuple(range(number, partitions, len(hosts))) for number in range(len(hosts))]
    return tuple(Member(f"id-{n}", f"shop-{n}@{host}", host, own[n]) for n, host in enumerate(hosts))


def described_group(members: Mapping[str, tuple[tuple[str, int], ...]]) -> GroupState:
    """By client id, address and member id."""
    parts = [each.rsplit(" ", 2) for each in members]
    return GroupState("STABLE", members, tuple(GroupClient(name, host, "", identity) for name, host, identity in parts))


@st.composite
def groups(draw: st.DrawFn) -> tuple[Member, ...]:
    """Up to nine workers on up to four hosts; partitions lie where they happen to."""
    hosts = draw(st.lists(st.sampled_from("wxyz"), min_size=1, max_size=9))
    members = group(*hosts, partitions=0)
    owners = draw(st.lists(st.integers(0, len(hosts) - 1), max_size=24))
    return tuple(
        replace(member, partitions=tuple(number for number, each in enumerate(owners) if each == place))
        for place, member in enumerate(members)
    )


def host_of(members: Sequence[Member]) -> dict[str, str]:
    """By member."""
    return {member.id: member.host for member in members}


@given(groups(), st.integers(0, 4))
def test_rule_25_each_task_is_followed_by_as_many_others_as_there_are_replicas_on_as_many_hosts_as_can_be(
    members: tuple[Member, ...], replicas: int
) -> None:
    """Never by its owner; with its owner they are on one host each, until all hosts have one."""
    host, plan = host_of(members), followers(members, replicas)

    assert plan.keys() == {number for member in members for number in member.partitions}
    for owner in members:
        for chosen in (plan[number] for number in owner.partitions):
            have_it = {owner.id, *chosen}
            assert len(chosen) == min(replicas, len(members) - 1)
            assert len(have_it) == len(chosen) + 1
            assert len({host[each] for each in have_it}) == min(len(have_it), len(set(host.values())))


@given(groups(), st.integers(1, 3), st.randoms())
def test_every_member_comes_to_the_same_plan_in_whatever_order_the_group_names_them(
    members: tuple[Member, ...], replicas: int, random: Random
) -> None:
    """They do not talk to each other."""
    shuffled = list(members)
    random.shuffle(shuffled)

    assert followers(shuffled, replicas) == followers(members, replicas)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 30), st.integers(1, 3))
def test_where_hosts_have_equally_many_workers_all_follow_equally_many_tasks(
    hosts: int, workers: int, partitions: int, replicas: int
) -> None:
    """Or one more: each takes the memory of a task."""
    members = group(*"wxyz"[:hosts] * workers, partitions=partitions)
    plan = followers(members, replicas)
    load = Counter(member for chosen in plan.values() for member in chosen)

    assert max(load.values(), default=0) <= -(-partitions * min(replicas, len(members) - 1) // len(members))


def test_who_follows_whom_is_soon_known_however_lopsided_the_hosts_are() -> None:
    """It is asked every 3 s beside the worker's own work: 0.1 s of it, and half a minute without a memory."""
    members = group("big", "big", "big", "small", partitions=1024)
    began_s = time.process_time()
    load = Counter(member for chosen in followers(members, 1).values() for member in chosen)

    assert time.process_time() - began_s < 5
    assert load["id-3"] == 768


def test_where_a_host_has_most_of_the_workers_the_others_follow_their_tasks() -> None:
    """Its loss would otherwise be that of task and standby; its own are followed by that one."""
    members = group("big", "big", "big", "small", partitions=12)
    load = Counter(member for chosen in followers(members, 1).values() for member in chosen)

    assert load["id-3"] == 9
    assert max(load["id-0"], load["id-1"], load["id-2"]) <= 3


@pytest.mark.parametrize("hosts", [("w",) * 6, ("w", "x", "y") * 2, ("u", "v", "w", "x", "y", "z")])
@pytest.mark.parametrize("partitions", [24, 60])
def test_few_tasks_move_where_a_worker_restarts_and_not_most_where_one_joins(
    hosts: tuple[str, ...], partitions: int
) -> None:
    """None at all once a restarted worker is back under another id; where a seventh joins, who takes a seventh of all
    tasks, a fifth to a third of the followers change."""
    members = group(*hosts, partitions=partitions)
    plan = followers(members, 1)
    restarted = (replace(members[0], id="another"), *members[1:])
    renamed = {number: tuple("another" if each == "id-0" else each for each in plan[number]) for number in plan}
    assert followers(restarted, 1) == renamed

    taken = {member.id: member.partitions[: partitions // 42 + 1] for member in members}
    joined = Member("new", "shop-6@w", "w", tuple(number for each in taken.values() for number in each))
    others = (replace(each, partitions=tuple(set(each.partitions) - set(taken[each.id]))) for each in members)
    after = followers((*others, joined), 1)
    moved = sum(plan[number] != after[number] for number in plan) / partitions
    assert moved <= 0.35


@pytest.mark.parametrize("hosts", [("w",) * 6, ("w", "x", "y") * 2])
def test_where_a_task_changes_hands_nearly_all_keep_their_followers(hosts: tuple[str, ...]) -> None:
    """Whom a partition prefers has nothing to do with who has it: 53 of 60 at least, whichever task goes."""
    members = group(*hosts, partitions=60)
    plan = followers(members, 1)
    for old in members:
        for new in (each for each in members if each is not old):
            number = old.partitions[0]
            taken = {old.id: old.partitions[1:], new.id: (*new.partitions, number)}
            after = followers([replace(each, partitions=taken.get(each.id, each.partitions)) for each in members], 1)
            assert sum(plan[each] == after[each] for each in plan) >= 53


def test_two_workers_of_one_machine_do_not_follow_each_other_where_there_is_another() -> None:
    """As the group describes them: the machine stands in their client ids, behind the @."""
    described = {
        "shop-0@m1 /10.0.0.1 a-01": (("payments", 0), ("payments", 1)),
        "shop-1@m1 /10.0.0.1 a-03": (("payments", 2), ("chargebacks", 2)),
        "shop-2@m2 /10.0.0.2 b-02": (("payments", 3),),
    }
    members = members_of(described_group(described), "payments")

    assert [member.partitions for member in members] == [(0, 1), (2,), (3,)]
    assert to_follow(members, "b-02", 1, (), 4) == (0, 1, 2)
    assert sorted(to_follow(members, "a-01", 1, (), 4) + to_follow(members, "a-03", 1, (), 4)) == [3]


def test_without_a_machine_in_client_ids_addresses_are_the_hosts() -> None:
    """Where `[librdkafka] client.id` is set, and the same for all: the ids of members tell them apart."""
    described = {
        "shop /10.0.0.1 a": (("payments", 0),),
        "shop /10.0.0.1 b": (("payments", 1),),
        "shop /10.0.0.2 c": (("payments", 2),),
    }
    members = members_of(described_group(described), "payments")

    assert [member.host for member in members] == ["/10.0.0.1", "/10.0.0.1", "/10.0.0.2"]
    assert len({member.name for member in members}) == 3
    assert to_follow(members, "c", 1, (), 3) == (0, 1)


def test_a_client_id_may_be_of_several_words() -> None:
    """Ids of members in classic groups begin with it."""
    client = GroupClient("desk 1@m1", "/10.0.0.1", "", "desk 1@m1-3f2a")
    (member,) = members_of(GroupState("STABLE", {"one": (("payments", 0),)}, (client,)), "payments")
    assert (member.id, member.host, member.partitions) == ("desk 1@m1-3f2a", "m1", (0,))


def test_a_member_alone_follows_nobody_and_one_that_has_not_joined_what_it_followed() -> None:
    """There is nobody to follow."""
    assert to_follow(group("w", partitions=2), "id-0", 1, (), 2) == ()
    assert to_follow(group("w", "x", partitions=2), "", 1, (), 2) == ()
    assert to_follow(group("w", "x", partitions=2), "expelled", 1, (1,), 2) == (1,)


def test_while_tasks_have_no_owner_those_that_are_followed_stay_so() -> None:
    """An owner has died, and the group is about to give them to somebody: perhaps to who is warm."""
    members = group("v", "w", "x", partitions=6)
    left = members[1:]
    assert to_follow(left, "id-1", 1, (0, 3), 6) == (0, 3)

    settled = (replace(left[0], partitions=(1, 4, 0)), replace(left[1], partitions=(2, 5, 3)))
    assert to_follow(settled, "id-1", 1, (0, 3), 6) == (2, 3, 5)
