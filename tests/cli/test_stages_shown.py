"""What `stream check` and `stream topics create` say of an app with stages, before there is a broker (rules 34, 35)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stream.app import compile_app, compile_stages
from stream.cli.checks import cluster
from stream.cli.checks.findings import Findings, Status
from stream.cli.checks.stages import hops_text, note_left_behind
from stream.kafka.admin import TopicState
from stream.runtime.loading import LoadedApp, load_app
from stream.runtime.settings import Settings
from tests.cli.commands import project, run
from tests.runtime.staged_app import declare_staged

__all__ = ["project"]

HOPS = "2 hops: entry > by-country > last. Each takes about a commit interval"


@pytest.fixture
def by_country(project: Path) -> Path:
    """The new project with a feature by another key than the customer's."""
    text = (project / "shop.py").read_text().replace('amount.count("7d")', 'amount.count("7d", by="country")')
    (project / "shop.py").write_text(text)
    return project


def check(*options: str) -> dict[str, Any]:
    """What `stream check --offline` found."""
    found: dict[str, Any] = json.loads(run("check", "shop.py:app", "--offline", "--json", *options).stdout)
    return found


def notes(found: dict[str, Any]) -> list[str]:
    """What is worth knowing."""
    return [each["text"] for each in found["findings"] if each["status"] == "note"]


def test_rule_35_hops_are_said_without_a_broker(by_country: Path) -> None:
    """As many as there would be: nobody knows of partitions here."""
    found = check()
    assert found["problems"] == 0
    assert any(text.startswith(f"where the event topic has several partitions, {HOPS}") for text in notes(found))


def test_labels_that_are_keyed_otherwise_take_a_hop_of_their_own() -> None:
    """Not one of the events: no prediction waits for it."""
    told = hops_text(compile_stages(declare_staged("x"), {}, 2))
    assert told.startswith("2 hops: entry > by-shop > last. ")
    assert told.endswith("; labels take one hop, to the partitions of their events (rule 19)")


def test_an_app_of_one_stage_has_no_hops(project: Path) -> None:
    """By the events' key, or local: nothing travels."""
    assert not any("hops" in text for text in notes(check()))
    assert check()["costs"]["stages"] == []
    text = (project / "shop.py").read_text()
    (project / "shop.py").write_text(text.replace('amount.count("7d")', 'amount.count("7d", by="country", local=True)'))
    assert not any("hops" in text for text in notes(check()))


def test_what_several_partitions_would_not_take_is_a_note_without_a_broker(by_country: Path) -> None:
    """A feature by country of one by customer: one partition has both."""
    text = (by_country / "shop.py").read_text()
    nested = 'amount.count("7d", by="country")', '(amount / amount.mean("7d")).sum("7d", by="country")'
    (by_country / "shop.py").write_text(text.replace(*nested))
    (told,) = [text for text in notes(check()) if "several partitions" in text]
    assert "this would be wrong: feature 'orders_7d': window by country reads window" in told


def test_each_stage_has_its_own_budget_of_state(by_country: Path) -> None:
    """The stage by country keeps its count's events, the last one what is by customer."""
    shop, last = check()["costs"]["stages"]
    assert (shop["stage"], shop["event_bytes"], last["stage"]) == ("by-country", 24, "last")
    assert min(shop["keys_at_most"], last["keys_at_most"]) > 0
    said = run("check", "shop.py:app", "--offline").stdout
    kept = f"takes {shop['key_bytes']} bytes a key, 24 an event and {shop['fixed_bytes']} a partition, and has room for"
    assert f"stage by-country {kept}" in said


def test_a_share_by_category_is_state_of_the_stage_that_counts_it(project: Path) -> None:
    """16 bytes a bucket, in any case; a stage without keys has no room to tell of."""
    text = (project / "shop.py").read_text()
    declared = 'country_risk=col("country").target_mean(local=False),\n    items_risk=col("items").target_mean(),'
    (project / "shop.py").write_text(text.replace('orders_7d=amount.count("7d"),', declared))
    costs = check()["costs"]
    by_feature = {cost["feature"]: cost["fixed_bytes"] for cost in costs["features"]}
    assert (by_feature["country_risk"], by_feature["items_risk"]) == (16 * 2**14, 16 * 2**14)
    first = costs["stages"][0]
    assert (first["stage"], first["fixed_bytes"], first["keys_at_most"]) == ("by-country", 262_144, None)
    assert costs["fixed_bytes"] == sum(by_feature.values())
    said = run("check", "shop.py:app", "--offline").stdout
    assert re.search(r"^state +bytes a key +bytes an event +bytes a partition$", said, re.MULTILINE)
    assert re.search(r"^country_risk +0 +0 +262144$", said, re.MULTILINE)
    assert "stage by-country takes 0 bytes a key, 0 an event and 262,144 a partition\n" in said


def test_rules_that_are_cited_are_found(by_country: Path) -> None:
    """A number alone says nothing; where none is cited, no page is."""
    said = run("check", "shop.py:app", "--offline").stdout.splitlines()
    assert "(rule 35)" in said[-3]
    assert said[-2:] == ["rules are those of docs/guarantees.md", "nothing is wrong"]
    (by_country / "shop.py").write_text((by_country / "shop.py").read_text().replace(', by="country"', ""))
    assert "docs/guarantees.md" not in run("check", "shop.py:app", "--offline").stdout


def test_the_plan_of_topics_has_those_of_all_stages(by_country: Path) -> None:
    """Journal and snapshots of each; a repartition topic is written by one stage, read and trimmed by the next."""
    made = json.loads(run("topics", "create", "shop.py:app", "--plan", "--partitions", "4", "--json").stdout)
    topics = {topic["name"]: topic for topic in made["topics"]}
    assert list(topics) == [
        *("shop.predictions", "shop.alerts", "shop.dead-letters", "shop.entry.journal", "shop.entry.snapshots"),
        *("shop.by-country.journal", "shop.by-country.repartition", "shop.by-country.snapshots"),
        *("shop.journal", "shop.repartition", "shop.snapshots"),
    ]
    assert {topic["partitions"] for topic in made["topics"]} == {4}
    assert topics["shop.repartition"]["config"] == topics["shop.by-country.repartition"]["config"]
    assert topics["shop.repartition"]["config"] == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.before.max.ms": "9223372036854775807",
        "message.timestamp.after.max.ms": "9223372036854775807",
    }
    acls = {(acl["kind"], acl["name"], acl["operation"]) for acl in made["acls"]}
    between = ("shop.by-country.repartition", "shop.repartition")
    rights = ("Write", "Read", "Describe", "DescribeConfigs", "Delete")
    assert acls >= {("topic", name, right) for name in between for right in rights}
    assert {name for kind, name, _ in acls if kind == "group"} == {"shop", "shop.entry", "shop.by-country"}
    assert {name for kind, name, _ in acls if kind == "transactional-id"} == {
        *("shop-0", "shop.entry-0", "shop.by-country-0")
    }


def test_one_partition_needs_no_topics_between(by_country: Path) -> None:
    """It sees the events of every key."""
    made = json.loads(run("topics", "create", "shop.py:app", "--plan", "--json").stdout)
    assert not any("repartition" in topic["name"] or "entry" in topic["name"] for topic in made["topics"])


class Cluster:
    """A cluster with some topics, of two partitions each."""

    def __init__(self, *names: str) -> None:
        self.states = {name: TopicState(name, 2, 1, {}) for name in names}

    def describe(self, names: list[str]) -> dict[str, TopicState | None]:
        """None for those that are not there."""
        return {name: self.states.get(name) for name in names}

    def topics(self) -> tuple[str, ...]:
        """Names of those that are there."""
        return tuple(self.states)

    def brokers(self) -> tuple[str, ...]:
        """One."""
        return ("broker:9092",)

    def broker_settings(self) -> dict[str, str]:
        """They may not be read."""
        return {}


def not_there(monkeypatch: pytest.MonkeyPatch, admin: Cluster, app: LoadedApp | None = None) -> dict[Status, list[str]]:
    """The topics that `stream check` says are missing, by how bad that is."""
    monkeypatch.setattr(cluster, "reachable_admin", lambda settings: admin)
    findings = Findings()
    cluster.check_cluster(app or load_app("shop.py:app"), Settings(), "shop.py:app", findings)
    missing = [each for each in findings.found if "is not there" in each.text]
    assert all("`stream topics create shop.py:app" in each.text for each in missing)
    return {status: [each.subject for each in missing if each.status is status] for status in Status}


OF_ONE = ["shop.predictions", "shop.alerts", "shop.dead-letters", "shop.journal", "shop.snapshots"]
OF_SEVERAL = [
    *("shop.entry.journal", "shop.entry.snapshots"),
    *("shop.by-country.repartition", "shop.by-country.journal", "shop.by-country.snapshots", "shop.repartition"),
]


def test_before_there_is_an_event_topic_the_topics_of_all_stages_are_named(
    by_country: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an administrator creates in one go: what is needed in any case is wrong, what several partitions need a
    note."""
    missing = not_there(monkeypatch, Cluster())
    assert sorted(missing[Status.WRONG]) == sorted(["shop-orders", *OF_ONE])
    assert sorted(missing[Status.NOTE]) == sorted(OF_SEVERAL)

    rest = not_there(monkeypatch, Cluster("shop.entry.journal", "shop.repartition", "shop.alerts"))
    assert sorted(rest[Status.WRONG] + rest[Status.NOTE]) == sorted(
        {"shop-orders", *OF_ONE, *OF_SEVERAL} - {"shop.entry.journal", "shop.repartition", "shop.alerts"}
    )


def test_once_partitions_are_known_what_is_missing_is_wrong(by_country: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two: all stages are needed."""
    missing = not_there(monkeypatch, Cluster("shop-orders"))
    assert (sorted(missing[Status.WRONG]), missing[Status.NOTE]) == (sorted(OF_ONE + OF_SEVERAL), [])


def test_labels_that_are_there_say_how_many_partitions_the_events_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many: a task reads the same number of each (rule 13)."""
    app = declare_staged("x")
    loaded = LoadedApp(app, compile_app(app, {}), Path(), {})
    assert loaded.plan.labels is not None
    missing = not_there(monkeypatch, Cluster(loaded.plan.labels.topic), loaded)
    assert {"x.entry.journal", "x.by-shop.repartition", loaded.plan.events.topic} <= set(missing[Status.WRONG])
    assert missing[Status.NOTE] == []


def test_an_app_of_one_stage_misses_no_more_than_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many partitions there will be."""
    missing = not_there(monkeypatch, Cluster())
    assert (sorted(missing[Status.WRONG]), missing[Status.NOTE]) == (sorted(["shop-orders", *OF_ONE]), [])


def test_what_stages_that_are_no_more_have_left_is_named() -> None:
    """Topics and group of each; those of stages that are, of the app itself and of others are not."""
    plans = compile_stages(declare_staged("x"), {}, 2)
    there = [f"x.{stage}.{kind}" for stage in ("labels", "entry", "by-shop") for kind in ("journal", "snapshots")]
    others = [
        "x.repartition",
        "x.journal",
        "x.by-shop.repartition",
        "xy.by-city.journal",
        "x.by-city.orders",
        "by-city",
    ]
    findings = Findings()
    note_left_behind(plans, Settings(), [*there, *others], findings)
    assert findings.found == []

    left = ["x.by-city.journal", "x.by-city.repartition", "x.by-a.b.snapshots"]
    note_left_behind(plans, Settings(), [*there, *others, *left], findings)
    assert [(each.status, each.subject) for each in findings.found] == [
        (Status.NOTE, "x.by-a.b"),
        (Status.NOTE, "x.by-city"),
    ]
    assert "has left x.by-city.journal, x.by-city.repartition and the group x.by-city." in findings.found[1].text


def test_names_that_were_chosen_are_known_of_what_is_left() -> None:
    """A prefix, and topics that settings name."""
    plans = compile_stages(declare_staged("x"), {}, 1)[-1:]
    findings, settings = Findings(), Settings(topic_prefix="eu-", journal_topic="book", group_id="team")
    there = ["book", "book.entry", "eu-x.entry.snapshots", "x.entry.snapshots", "book.keeping"]
    note_left_behind(plans, settings, there, findings)
    assert [each.text.partition(". ")[0] for each in findings.found] == [
        "stage entry is no more, and has left book.entry, eu-x.entry.snapshots and the group team.entry"
    ]
