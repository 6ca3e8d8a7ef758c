"""A second worker in a slot is told of the first one, before it ends it (rule 6)."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from stream.config import InputTopics, KafkaSettings
from stream.kafka import slot_look
from stream.kafka.admin import Admin, GroupClient, GroupState
from stream.kafka.slot_look import SlotLook, in_slot
from tests.kafka.conftest import MakeWorker
from tests.kafka.scripted import wait_for
from tests.kafka.test_transport import assigned

SETTINGS = KafkaSettings("shop", "shop-3", group_protocol="classic", session_timeout_ms=10_000)
STATIC = replace(SETTINGS, group_instance_id="shop-worker-3")
SAME_SLOT = GroupClient("shop-3@host-b", "/10.0.0.7")
OTHERS = [GroupClient("shop-4@host-b", "/10.0.0.7"), GroupClient("shop-check@host-b", "/10.0.0.7", "shop-worker-4")]


def look(monkeypatch: pytest.MonkeyPatch, settings: KafkaSettings, *clients: GroupClient) -> None:
    """With a group of these."""
    state = GroupState("STABLE", {}, clients)
    monkeypatch.setattr(Admin, "__init__", lambda *_: None)
    monkeypatch.setattr(Admin, "group", lambda _, name: state if name == "shop" else None)
    monkeypatch.setattr(slot_look, "_TOLD_WITHIN_S", 30.0)
    SlotLook(settings).tell()


def test_a_member_in_the_same_slot_is_warned_of_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """It may be one that was killed just now, too: nobody can tell, so both are said."""
    look(monkeypatch, SETTINGS, *OTHERS, SAME_SLOT)
    (line,) = logged
    assert (line["log_level"], line["member"], line["host"]) == ("warning", "shop-3@host-b", "/10.0.0.7")
    for said in ("shop-3@host-b", "fenced", "`--slot NAME`", "rule 6", "forgets it within 10 s (session_timeout_ms)"):
        assert said in line["event"]


def test_a_static_member_of_the_same_name_is_what_a_restart_finds(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """Whatever its client is called; one that still runs is ended by the group itself, at once."""
    mine = GroupClient("desk", "/10.0.0.7", "shop-worker-3")
    look(monkeypatch, STATIC, *OTHERS, mine)
    (line,) = logged
    assert (line["log_level"], line["member"]) == ("info", "desk")
    assert "static member" in line["event"]


def test_members_of_other_slots_and_commands_are_nobody_s_business() -> None:
    """Nor is a worker of another app, whose name begins with this one's."""
    assert in_slot([*OTHERS, GroupClient("my-shop-3@host", ""), GroupClient("", "")], STATIC) == []


def test_a_second_worker_of_a_slot_hears_of_the_first_and_the_first_of_nobody(
    worker: MakeWorker, inputs: InputTopics, logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real broker; both are idle, and would not notice otherwise."""
    monkeypatch.setattr(slot_look, "_TOLD_WITHIN_S", 30.0)
    first = worker()
    wait_for(lambda: assigned(first) == {0, 1}, first)
    assert [line for line in logged if "slot" in line["event"]] == []
    worker()
    (line,) = (line for line in logged if "slot" in line["event"])
    assert "has a member in this worker's slot already" in line["event"]
    assert line["log_level"] == "warning"
