"""The tutorial works: its commands are typed as they stand, and say what the text says that they do."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream import models
from stream.cli.broker.local import LocalBroker
from stream.cli.guard import Guard
from stream.engine.snapshot_format import FORMAT
from tests.conftest import ROOT
from tests.control.processes import free_port
from tests.docs.terminal import Said, Terminal, sections
from tests.runtime.waiting import wait_until

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
SECTIONS = sections(TUTORIAL)
ADDRESSES = 'bootstrap_servers = "{0.bootstrap_servers}"\nregistry_url = "{0.registry_url}"\n'


def test_the_blocks_are_those_that_are_typed_here() -> None:
    """A further section or block wants a test; the first block makes the environment, as `make install` says."""
    blocks = {name: len(blocks) for name, blocks in SECTIONS.items()}
    assert blocks == {"1.": 1, "2.": 3, "3.": 5, "4.": 3, "5.": 1, "6.": 7, "7.": 4, "Before": 0}
    assert "make install " in TUTORIAL.partition("## ")[0]
    assert re.search(r"^install:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.slow
def test_the_sections_without_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project, its check, its evaluation, a mistake and what is said of it; then data of one's own."""
    terminal = Terminal(tmp_path, monkeypatch)
    assert [said.status for said in terminal.type(SECTIONS["1."][0])] == [0, 0, 0]
    files = set(re.findall(r"^\| (\w+\.\w+) ", TUTORIAL, re.MULTILINE))
    assert files == {path.name for path in Path.cwd().iterdir()} - {"README.md"}

    check, evaluate, check_again = SECTIONS["2."]
    (checked,), (evaluated,) = terminal.type(check), terminal.type(evaluate)
    assert checked.status == 0
    assert "nothing is wrong" in checked.text
    assert re.search(r"^orders_7d +\d+ +24 +\d+$", checked.text, re.MULTILINE)
    assert evaluated.status == 0
    rows = re.findall(r"^\(?([a-z-]+)\)? +(?:0\.|-)", evaluated.text, re.MULTILINE)
    assert rows == ["champion", "challenger", "no-change", "majority", "prior"]

    right = Path("shop.py").read_text()
    Path("shop.py").write_text(right.replace('col("amount")', 'col("amont")'))
    (broken,) = terminal.type(check_again)
    assert broken.status == 1
    assert "feature 'amount': there is no column 'amont'; did you mean 'amount'?" in broken.text
    Path("shop.py").write_text(right)
    assert terminal.type(check_again)[0].status == 0

    own = terminal.type(SECTIONS["5."][0])
    assert [said.status for said in own] == [0] * 4
    assert re.search(r"^tip +\d\.\d+ ", own[-1].text, re.MULTILINE)
    assert " mae " in own[-1].text
    assert models.HoeffdingAdaptiveTreeRegressor(seed=1) is not None


@dataclass
class Followed:
    """A reader of the sections with a broker, when the worker has ended."""

    terminal: Terminal
    said: dict[str, list[Said]]  # by section
    last_words: str  # of the worker


@pytest.fixture(scope="module")
def followed(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Sections 1, 3 and 4 on the tests' Kafka, whose address goes into stream.toml; orders are sent faster.

    Behind them come so many records that are none that an alert is due.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAM_METRICS_PORT", "-1")
        terminal = Terminal(tmp_path_factory.mktemp("tutorial"), patch)
        terminal.type(SECTIONS["1."][0])
        Path("stream.toml").write_text(ADDRESSES.format(broker))
        up, topics, run, produce, tail = SECTIONS["3."]
        mistakes, replay, down = SECTIONS["4."]
        assert (up.split()[:3], down.split()[:3]) == (["stream", "broker", "up"], ["stream", "broker", "down"])
        said = {"3.": terminal.type(topics)}
        with worker(run) as log:
            said["3."] += terminal.type(produce.replace("--rate 500", "--rate 5000"))
            wait_until(lambda: is_handled(broker), "the orders are handled", log.read_text)
            said["3."] += terminal.type(tail)
            *sent, listed = mistakes.splitlines(keepends=True)
            said["4."] = terminal.type("".join(sent))
            wait_until(lambda: is_handled(broker), "the mistakes are handled", log.read_text)
            said["4."] += terminal.type(listed + replay)
            terminal.type("stream produce orders.csv --topic shop-orders --schema order --framing json --limit 2500")
            wait_until(lambda: is_handled(broker), "what is no order is handled", log.read_text)
        yield Followed(terminal, said, log.read_text())


@contextmanager
def worker(command: str) -> Iterator[Path]:
    """`stream run` in a second terminal, which ends with Ctrl-C; the value is its log."""
    log = Path("worker.log").absolute()
    with log.open("wb") as file:
        words = [sys.executable, "-m", "stream.cli.main", *shlex.split(command)[1:]]
        process = subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True)
    guard = Guard([process.pid], signal.SIGKILL)
    try:
        yield log
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        guard.release()


def is_handled(broker: LocalBroker) -> bool:
    """Whether the worker's group has committed all orders that were sent."""
    with closing(Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "shop"})) as consumer:
        places = [TopicPartition("shop-orders", number) for number in range(2)]
        ends = [consumer.get_watermark_offsets(place, timeout=60)[1] for place in places]
        return [place.offset for place in consumer.committed(places, timeout=60)] == ends


def test_the_sections_with_a_broker(followed: Followed) -> None:
    """Topics, a worker, orders, predictions; then what does not fit, and what becomes of it."""
    missing, created, right, preview, produced, predictions, alerts = followed.said["3."]
    assert (missing.status, created.status, right.status) == (1, 0, 0)
    assert "topic shop-orders is not there" in missing.text
    assert "nothing is wrong" in right.text
    assert preview.text.startswith("orders.csv; columns: order_id, customer, ")
    assert "produced 5,000 records to shop-orders" in produced.text
    assert len(predictions.text.splitlines()) == 3
    for word in ('"decision":', '"scores":[{"model":"champion",', '"contributions":[{"feature":'):
        assert predictions.text.count(word) == 3
    assert (alerts.status, alerts.text) == (0, "shop.alerts is empty\n")

    _, _, one_of_three, not_avro, listed, dry = followed.said["4."]
    assert one_of_three.status == 1
    assert re.search(r"1 x ordered_at: expected .*, got 'yesterday' \(row 3\)", one_of_three.text)
    assert Path("rejects.jsonl").exists()
    assert not_avro.status == 0
    assert [line.split("\t")[1] for line in listed.text.splitlines()[:2]] == ["framing", "framing"]
    assert "2 dead letters" in listed.text
    assert "would send 2 records back to shop-orders" in dry.text
    assert "Traceback" not in followed.last_words


def tail(followed: Followed, topic: str) -> tuple[dict[str, Any], str]:
    """The last record of a topic as `stream tail` shows it to programs, and to people."""
    (as_json,) = followed.terminal.type(f"stream tail {topic} -n 1 --json")
    (as_line,) = followed.terminal.type(f"stream tail {topic} -n 1")
    return json.loads(as_json.text), as_line.text


def test_tail_makes_sense_of_every_topic_of_an_app(followed: Followed) -> None:
    """Predictions, alerts and dead letters, and of what a worker remembers as much as is for people."""
    prediction, line = tail(followed, "shop.predictions")
    assert (prediction["format"], prediction["key"]) == ("avro", prediction["value"]["key"])
    assert prediction["value"]["processing_time"].endswith("Z")
    assert set(prediction["value"]) >= {"event_id", "model", "version", "score", "decision", "scores", "contributions"}

    alert, line = tail(followed, "shop.alerts")
    assert (alert["format"], alert["value"]["app"], alert["value"]["kind"]) == ("avro", "shop", "REJECTIONS")
    assert alert["value"]["sentence"] in line

    letter, line = tail(followed, "shop.dead-letters")
    assert letter["format"] == "json"  # that is what was wrong with it
    assert letter["value"]["order_id"].startswith("o-")
    assert {name: letter["headers"][f"stream.{name}"] for name in ("error", "expected", "got", "topic", "app")} == {
        "error": "framing",
        "expected": "a byte 00 and a schema id (5 bytes)",
        "got": "a byte 7B",
        "topic": "shop-orders",
        "app": "shop",
    }
    assert int(letter["headers"]["stream.offset"]) > 0
    assert "stream.error=framing stream.field= stream.expected=a byte 00 and a schema id (5 bytes)" in line

    cycle, line = tail(followed, "shop.journal")
    assert cycle["format"] == "avro"
    taken = cycle["value"]["ranges"][-1]
    assert taken["topic"] == "shop-orders"
    assert 0 < taken["count"] <= taken["last"] - taken["first"] + 1

    manifest, line = tail(followed, "shop.snapshots")
    assert manifest["key"] in ("manifest-a", "manifest-b")
    assert f"stream-snapshot {FORMAT} " in line


@pytest.fixture
def shop(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A reader in the project of section 1, on the tests' Kafka."""
    monkeypatch.setenv("STREAM_METRICS_PORT", str(free_port()))
    terminal = Terminal(tmp_path, monkeypatch)
    terminal.type(SECTIONS["1."][0])
    Path("stream.toml").write_text(ADDRESSES.format(broker))
    return terminal


def metric(name: str, **labels: str) -> float:
    """What the worker says of a metric with these labels, all others summed; 0 while it says nothing."""
    try:
        with urlopen(f"http://127.0.0.1:{os.environ['STREAM_METRICS_PORT']}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    except URLError:
        return 0
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))


@pytest.mark.slow
def test_the_sections_about_labels_and_other_keys(shop: Terminal) -> None:
    """Orders, outcomes later, and a model that has learned from them; then features by country, over three stages."""
    files, topics, run, first, outcomes, later, judged = SECTIONS["6."]
    judged = judged.replace("9464", os.environ["STREAM_METRICS_PORT"])
    said = shop.type(files + topics.replace("stream broker up\n", ""))
    assert [each.status for each in said] == [0] * len(said)
    assert "labels: 5,000 joined" in said[2].text
    with worker(run) as log:
        shop.type(first)
        wait_until(lambda: metric("stream_events_total") == 2_000, "the first orders are handled", log.read_text)
        (untaught,) = shop.type(first.splitlines()[-1])
        shop.type(outcomes)
        wait_until(lambda: metric("stream_learned_total") == 2_000, "the outcomes are learned", log.read_text)
        shop.type(later)
        wait_until(lambda: metric("stream_events_total") == 5_000, "the other orders are handled", log.read_text)
        (taught,) = shop.type(later.splitlines()[-1])
        sent, _ = shop.type(judged)
        wait_until(lambda: metric("stream_labels_total") == 5_000, "the other outcomes are handled", log.read_text)
        (counted,) = shop.type(judged.splitlines()[-1])
    assert scores(untaught) == [0.5]
    assert len(set(scores(taught))) == 3
    assert taught.text.count('"contributions":[{"feature":') == 3
    assert sent.status == 0
    assert 'stream_labels_total{outcome="joined"} 4440.0' in counted.text
    assert 'stream_labels_total{outcome="late"} 560.0' in counted.text
    assert counted.text.count('metric="roc_auc"') == 4

    declared, topics, run, looked = SECTIONS["7."]
    _, checked = shop.type(declared)
    told = re.search(r"^note +features +countries +(.*) \.\.\.$", TUTORIAL, re.MULTILINE)
    assert told
    assert f"note\tfeatures\tcountries\t{told[1]}" in checked.text
    (created,) = shop.type(topics)
    assert created.text.count("created countries.") == 11
    for name in re.findall(r"`(countries\.[a-z.-]+)`", TUTORIAL):
        assert f"created {name}, 4 partitions\n" in created.text
    with worker(run) as log:
        handled = partial(metric, "stream_events_total", stage="last")
        wait_until(lambda: handled() == 5_000, "the orders have passed the stages", log.read_text)
        (predicted, shown) = shop.type(looked)
    assert len(scores(predicted)) == 1
    assert re.findall(r"^(\S+) +\d+ .* countries\.", shown.text, re.MULTILINE)
    assert [line.split()[0] for line in shown.text.splitlines()[1:13]] == ["entry"] * 4 + ["by-country"] * 4 + [
        "last"
    ] * 4


def scores(said: Said) -> list[float]:
    """Of the predictions that a command has shown."""
    return [float(score) for score in re.findall(r'"score":([0-9.]+),"decision"', said.text)]
