"""A new project works as it is with every command that needs no broker."""

import errno
import json
import re
from pathlib import Path

import pytest

from stream.cli.dead_letters.letters import parse_offsets
from stream.cli.producing.schemas import find_schema
from stream.cli.templates import orders
from stream.errors import ConfigError
from tests.cli.commands import run

SMALL = ["bad.py:app", "--offline", "--json"]
BAD_APP = """
from stream import App, col, drift, models
app = App("bad")
events = app.events("shop-orders", schema="order", key="custmer", time="amount", id="order_id", label="returned")
events.features(a=col("amont").log1p(), b=col("country").log1p(), c=col("amount"))
app.model("forest", models.AdaptiveRandomForest(n_models=3))
app.monitor(drift.ADWIN(), on=["erorr"])
app.decide(by="forst")
"""


def test_init_writes_a_project_and_overwrites_nothing(project: Path) -> None:
    """Module, schema, settings, data, README; a second one of that name is refused and changes nothing."""
    names = sorted(path.name for path in project.iterdir())
    assert names == ["README.md", "order.avsc", "orders.csv", "shop.py", "stream.toml"]
    assert "@" not in (project / "README.md").read_text() + (project / "shop.py").read_text()
    (project / "shop.py").write_text("mine")
    refused = run("init", "shop", "--in", str(project.parent))
    assert (refused.exit_code, (project / "shop.py").read_text()) == (1, "mine")
    assert "is there already" in str(refused.exception)


@pytest.mark.parametrize("name", ["Shop", "1shop", "../shop", "class", "stream"])
def test_a_name_that_is_no_module_is_refused(name: str, tmp_path: Path) -> None:
    """Before anything is written."""
    refused = run("init", name, "--in", str(tmp_path))
    assert isinstance(refused.exception, ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_the_new_project_has_nothing_wrong(project: Path) -> None:
    """And shows what its features cost and where its settings come from."""
    done = run("check", "shop.py:app", "--offline", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["problems"]) == (0, 0)
    assert found["settings"]["bootstrap_servers"]["origin"] == "stream.toml"
    assert found["settings"]["delivery"] == {"value": "exactly-once", "origin": "default"}
    by_feature = {cost["feature"]: cost for cost in found["costs"]["features"]}
    assert by_feature["orders_7d"]["event_bytes"] == 24
    assert found["costs"]["key_bytes"] == sum(cost["key_bytes"] for cost in by_feature.values())


def test_check_finds_everything_that_is_wrong_at_once(project: Path) -> None:
    """A column, a time, a feature's column and type, a seed, a signal, a model's name: none hides another."""
    (project / "bad.py").write_text(BAD_APP)
    done = run("check", *SMALL)
    found = [each for each in json.loads(done.stdout)["findings"] if each["status"] == "wrong"]
    assert done.exit_code == 1
    assert [(each["area"], each["subject"]) for each in found] == [
        ("schema", "events shop-orders"),
        ("schema", "events shop-orders"),
        ("features", "a"),
        ("features", "b"),
        ("models", "forest"),
        ("monitors", "ADWIN"),
        ("models", "forst"),
    ]
    said = [
        "there is no column 'custmer'; did you mean 'customer'?",
        "column 'amount' is double; a long with logicalType timestamp-millis or timestamp-micros is wanted",
        "feature 'a': there is no column 'amont'; did you mean 'amount'?",
        "feature 'b': log1p expects a number, but column 'country' is text",
        "model 'forest': ARFClassifier.seed is None",
        "there is no signal 'erorr'; did you mean 'error'?",
        "there is no model 'forst'; did you mean 'forest'?",
    ]
    assert [text in each["text"] for text, each in zip(said, found, strict=True)] == [True] * 7


def test_an_id_that_no_label_can_name_is_told(project: Path) -> None:
    """Beside whatever else is wrong."""
    (project / "bad.py").write_text(BAD_APP.replace('id="order_id"', 'id="amount"'))
    found = json.loads(run("check", *SMALL).stdout)["findings"]
    texts = [each["text"] for each in found if each["status"] == "wrong"]
    assert "id of shop-orders: column 'amount' is double; a string or a long is wanted" in texts
    assert len(texts) == 8


def test_check_builds_what_a_worker_builds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only an engine of one partition notices is found before there is one: predictions larger than the topic's
    records."""
    monkeypatch.setenv("STREAM_MAX_MESSAGE_BYTES", "20000")
    monkeypatch.setenv("STREAM_OUTPUT_FORMAT", "json")
    done = run("check", "shop.py:app", "--offline", "--json")
    (wrong,) = [each for each in json.loads(done.stdout)["findings"] if each["status"] == "wrong"]
    assert done.exit_code == 1
    assert "max_message_bytes: a prediction of this app may take" in wrong["text"]


def test_check_ends_with_what_it_found(project: Path) -> None:
    """Behind settings and costs, so that nobody scrolls for it."""
    lines = run("check", "shop.py:app", "--offline").stdout.splitlines()
    assert lines[-2:] == ["ok\tdeclaration\tshop\t8 features, 2 models compile", "nothing is wrong"]
    assert lines[0].startswith("bootstrap_servers\t")


def test_check_tells_misspelt_variables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be ignored, and nothing else would say so."""
    monkeypatch.setenv("STREAM_COMIT_INTERVAL_MS", "50")
    done = run("check", "shop.py:app", "--offline")
    said = "STREAM_COMIT_INTERVAL_MS is no setting; did you mean STREAM_COMMIT_INTERVAL_MS?"
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "1 problem"
    assert f"wrong\tsettings\tenvironment\t{said}" in done.stdout


def test_a_target_that_cannot_be_learned_is_told(project: Path) -> None:
    """With what to declare; the models wait for it, the monitors do not."""
    (project / "bad.py").write_text(
        BAD_APP.replace('label="returned"', 'label="country"').replace("custmer", "customer")
    )
    found = json.loads(run("check", *SMALL).stdout)["findings"]
    texts = [each["text"] for each in found if each["status"] == "wrong"]
    assert any("'country' is a text; say what it means: app.target(" in text for text in texts)
    assert any("did you mean 'error'?" in text for text in texts)
    assert [each["subject"] for each in found if each["status"] == "skipped"] == ["bad"]


def test_check_tells_each_mistake_once(project: Path) -> None:
    """A misspelt key and a misspelt column: what fails because of them is no further finding."""
    text = (project / "shop.py").read_text()
    (project / "bad.py").write_text(
        text.replace('key="customer"', 'key="custmer"').replace('col("items")', 'col("item")')
    )
    found = json.loads(run("check", *SMALL).stdout)["findings"]
    assert [(each["area"], each["subject"], each["text"]) for each in found if each["status"] == "wrong"] == [
        ("schema", "events shop-orders", "events shop-orders: there is no column 'custmer'; did you mean 'customer'?"),
        ("features", "items", "feature 'items': there is no column 'item'; did you mean 'items'?"),
    ]


def test_a_module_that_fails_is_one_finding_with_its_line(project: Path) -> None:
    """No traceback."""
    (project / "broken.py").write_text("\nx = 1 / 0\n")
    done = run("check", "broken.py:app", "--offline")
    assert done.exit_code == 1
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "broken.py:2)" in done.stdout


def test_the_plan_of_topics_is_for_an_administrator(project: Path) -> None:
    """Commands of Kafka's tools, or JSON; no broker is asked."""
    said = run(
        "topics", "create", "shop.py:app", "--plan", "--partitions", "6", "--replication", "3", "--inputs"
    ).stdout
    assert "--create --if-not-exists --topic shop-orders --partitions 6 --replication-factor 3" in said
    assert "--topic shop.journal --partitions 6 --replication-factor 3 --config cleanup.policy=delete" in said
    assert "--operation Write --transactional-id shop-0" in said
    assert "--operation Write --transactional-id shop-backfill" in said
    made = json.loads(run("topics", "create", "shop.py:app", "--plan", "--json").stdout)
    assert [topic["name"] for topic in made["topics"]][:2] == ["shop.predictions", "shop.alerts"]
    assert {"kind": "topic", "name": "shop-orders", "operation": "Read"} in made["acls"]
    assert {"kind": "group", "name": "shop.backfill", "operation": "Read"} in made["backfill"]["acls"]


def test_the_plan_has_what_the_control_plane_needs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a principal of its own: it reads alerts, owns three topics, and is a group; all with the prefix."""
    monkeypatch.setenv("STREAM_TOPIC_PREFIX", "eu.")
    said = run("topics", "create", "shop.py:app", "--plan", "--partitions", "6").stdout
    control = json.loads(run("topics", "create", "shop.py:app", "--plan", "--partitions", "6", "--json").stdout)[
        "control"
    ]
    assert "--topic eu.shop-control-alerts-changelog --partitions 6 --config cleanup.policy=compact" in said
    assert "--allow-principal User:stream-control --operation Create --topic eu.shop-control-commands" in said
    assert [(topic["name"], topic["partitions"]) for topic in control["topics"]] == [
        ("eu.shop-control-commands", 6),
        ("eu.shop-control-alerts-changelog", 6),
        ("eu.shop-control-__assignor-__leader", 1),
    ]
    assert {(acl["kind"], acl["name"], acl["operation"]) for acl in control["acls"]} >= {
        ("topic", "eu.shop.alerts", "Read"),
        ("group", "eu.shop-control", "Read"),
    }


def test_a_preview_needs_no_broker(project: Path) -> None:
    """The first records as they would be sent, with their keys."""
    said = run("produce", "orders.csv", "--topic", "t", "--schema", "order", "--key", "customer", "--preview").stdout
    first = said.splitlines()[1].split("\t")
    assert (first[0], json.loads(first[2])["customer"]) == ("1", first[1])


@pytest.mark.parametrize(("limit", "shown"), [([], 5), (["--limit", "2"], 2), (["--limit", "7"], 7)])
def test_a_preview_shows_as_many_as_the_limit_says(limit: list[str], shown: int, project: Path) -> None:
    """Behind a line about the file."""
    said = run("produce", "orders.csv", "--topic", "t", "--schema", "order", "--preview", *limit).stdout
    assert len(said.splitlines()) == 1 + shown


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("payee", "--key payee: it is a record, which has no text. Name fields of it: payee.name, payee.bank"),
        ("tags", "--key tags: it is an array, which has no text"),
    ],
)
def test_a_key_without_a_text_is_told(key: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records go by other keys than what Python calls them."""
    monkeypatch.chdir(tmp_path)
    texts = [{"name": name, "type": "string"} for name in ("name", "bank")]
    payee = {"name": "payee", "type": ["null", {"type": "record", "name": "Payee", "fields": texts}]}
    tags = {"name": "tags", "type": {"type": "array", "items": "string"}}
    (tmp_path / "pay.avsc").write_text(json.dumps({"type": "record", "name": "Pay", "fields": [payee, tags]}))
    (tmp_path / "rows.jsonl").write_text('{"payee": {"name": "a", "bank": "b"}, "tags": []}\n')
    done = run("produce", "rows.jsonl", "--topic", "t", "--schema", "pay", "--key", key, "--preview")
    assert (done.exit_code, said in str(done.exception)) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5-2", "--offsets 5-2: the first comes after the last; did you mean 2-5?"),
        ("x", "--offsets x: an offset or FIRST-LAST was expected"),
    ],
)
def test_offsets_that_are_none_are_told(text: str, said: str) -> None:
    """Instead of no dead letters."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_offsets(text)
    assert parse_offsets("2-5") == (2, 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--schema", "ordr"],
            "schema 'ordr' was not found: looked for ordr, ordr.avsc, schemas/ordr.avsc; did you mean 'order'?",
        ),
        (["--schema", "./odrer.avsc"], "odrer.avsc.avsc; did you mean 'order.avsc'?"),
        (["--schema", "order", "--key", "custmer"], "--key: there is no field 'custmer'; did you mean 'customer'?"),
        (["--schema", "order", "--framing", "avro"], "--framing: there is no format 'avro'"),
    ],
)
def test_wrong_options_of_produce_are_told(options: list[str], said: str, project: Path) -> None:
    """Before a broker is asked."""
    framing = [] if "--framing" in options else ["--framing", "json"]
    done = run("produce", "orders.csv", "--topic", "t", *options, *framing, "--preview")
    assert (done.exit_code, said in str(done.exception)) == (1, True)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("order-value", ", and asked the registry for that subject; did you mean 'orders-value'?"),
        ("oder", ", and asked the registry for that subject; did you mean 'order'?"),
        ("refunds-value.avsc", "schemas/refunds-value.avsc.avsc"),
    ],
)
def test_a_misspelt_schema_is_told_with_the_one_that_is_near(name: str, end: str, project: Path) -> None:
    """Files of the folder and subjects of the registry; the name of a file is no subject."""
    with pytest.raises(ConfigError) as caught:
        find_schema(name, lambda subject: None, lambda: ["orders-value", "refunds-value"])
    assert str(caught.value).endswith(end)


def test_a_project_that_cannot_be_written_is_not_left_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full before the last file: the folder is named and gone, so that the next try may have its name."""

    def no_space(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(orders, "write_orders", no_space)
    failed = run("init", "shop", "--in", str(tmp_path)).exception
    assert isinstance(failed, OSError)
    assert (failed.errno, failed.filename) == (errno.ENOSPC, str(tmp_path / "shop"))
    assert list(tmp_path.iterdir()) == []
