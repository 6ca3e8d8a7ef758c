"""The commands of a newcomer's first hour, on a real Kafka and registry."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from stream.cli.broker.local import LocalBroker
from stream.cli.connection import kafka_settings, quick_registry, reachable_admin
from stream.engine.dead_letters import dead_letters
from stream.errors import ConfigError, RetriableError
from stream.kafka.producing import produce_batch
from stream.kafka.topic_plan import TopicSpec
from stream.records import RecordBatch, Rejection, RejectReason
from tests.cli.commands import run
from tests.conftest import MakeTopic
from tests.engine.build import batch


@pytest.fixture
def shop(broker: LocalBroker, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The new project under a name of its own, with settings for the session's broker; its event topic."""
    name = f"shop{uuid.uuid4().hex[:8]}"
    text = (project / "shop.py").read_text()
    (project / "shop.py").write_text(
        text.replace('App("shop")', f'App("{name}")').replace("shop-orders", f"{name}-orders")
    )
    (project / "stream.toml").unlink()
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("STREAM_REGISTRY_URL", broker.registry_url)
    return name


@pytest.fixture
def producer(broker: LocalBroker) -> Iterator[Producer]:
    """A plain producer."""
    one = Producer({"bootstrap.servers": broker.bootstrap_servers})
    yield one
    one.close()


def produce(*options: str, topic: str) -> dict[str, object]:
    """Run `stream produce orders.csv` and give its JSON."""
    done = run("produce", "orders.csv", "--topic", topic, "--schema", "order", "--json", *options)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found: dict[str, object] = json.loads(done.stdout)
    return found


def tail(topic: str, *options: str) -> list[dict[str, object]]:
    """Run `stream tail --json` and give its records."""
    done = run("tail", topic, "--json", *options)
    assert done.exit_code == 0, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_topics_are_created_and_then_nothing_is_wrong(shop: str) -> None:
    """First the missing topics are findings, then they are created with the partitions of the events, once."""
    before = run("check", "shop.py:app", "--json")
    missing = [each["text"] for each in json.loads(before.stdout)["findings"] if "is not there" in each["text"]]
    assert (before.exit_code, len(missing)) == (1, 6)
    assert all("`stream topics create shop.py:app" in text for text in missing)

    refused = run("topics", "create", "shop.py:app")
    created = json.loads(run("topics", "create", "shop.py:app", "--inputs", "--partitions", "2", "--json").stdout)
    again = json.loads(run("topics", "create", "shop.py:app", "--json").stdout)
    narrower = run("topics", "create", "shop.py:app", "--partitions", "3")
    after = run("check", "shop.py:app", "--json")

    assert "say --partitions N, or --inputs" in str(refused.exception)
    assert (len(created["created"]), created["created"][0]) == (6, f"{shop}-orders")
    assert (again["created"], again["partitions"]) == ([], 2)
    assert "has 2, and the topics of an app have as many as its events" in str(narrower.exception)
    assert json.loads(after.stdout)["problems"] == 0


def test_check_explains_topics_that_will_not_do(shop: str, project: Path) -> None:
    """Other partition counts, a compacted journal."""
    journal = TopicSpec(f"{shop}.journal", 1, 1, {"cleanup.policy": "compact"})
    reachable_admin(kafka_settings(None)).create([TopicSpec(f"{shop}-orders", 2, 1), journal])
    done = run("check", "shop.py:app", "--json")
    wrong = [each["text"] for each in json.loads(done.stdout)["findings"] if each["status"] == "wrong"]
    assert any(
        "the partition counts differ" in text and f"topic {shop}.journal has 1 partitions" in text for text in wrong
    )
    assert any(f"{shop}.journal has cleanup.policy=compact, delete is needed" in text for text in wrong)


def test_topics_of_all_stages_are_created_and_looked_at(
    shop: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feature by another key over two partitions: what is missing, the hops, and what stages need of settings."""
    text = (project / "shop.py").read_text().replace('amount.count("7d")', 'amount.count("7d", by="country")')
    (project / "shop.py").write_text(text)
    before = json.loads(run("check", "shop.py:app", "--json").stdout)["findings"]
    several = "where the event topic has several partitions, 2 hops: entry > by-country > last"
    assert len([each for each in before if each["status"] == "note" and each["text"].startswith(several)]) == 1
    created = run("topics", "create", "shop.py:app", "--inputs", "--partitions", "2").stdout
    assert f"created {shop}.by-country.repartition, 2 partitions" in created
    assert f"created {shop}.entry.journal, 2 partitions" in created
    assert "is there already" in run("topics", "create", "shop.py:app").stdout
    found = json.loads(run("check", "shop.py:app", "--json").stdout)
    assert found["problems"] == 0
    hops = [each["text"] for each in found["findings"] if each["text"].startswith("2 hops: entry > by-country > last")]
    assert len(hops) == 1

    monkeypatch.setenv("STREAM_MAX_MESSAGE_BYTES", "999999")
    narrow = json.loads(run("check", "shop.py:app", "--json").stdout)
    (wrong,) = [each for each in narrow["findings"] if each["status"] == "wrong"]
    assert wrong["subject"] == "max_message_bytes"
    assert "an app with stages needs 1,000,000" in wrong["text"]


def test_check_explains_inputs_that_lose_what_a_restart_needs(shop: str) -> None:
    """Events kept for a second, and compacted ones: each is a finding that names the setting; a day is enough."""
    events = f"{shop}-orders"
    keeps_little = {"retention.ms": "1000", "cleanup.policy": "compact,delete"}
    reachable_admin(kafka_settings(None)).create([TopicSpec(events, 1, 1, keeps_little)])
    done = run("check", "shop.py:app", "--json")
    found = [each for each in json.loads(done.stdout)["findings"] if each["subject"] == events]
    assert (done.exit_code, [each["status"] for each in found]) == (1, ["wrong", "wrong"])
    assert "is compacted" in found[0]["text"]
    assert "Set cleanup.policy=delete" in found[0]["text"]
    assert "keeps records for 1,000 ms" in found[1]["text"]
    assert "at least 10 snapshot intervals, 600,000 ms" in found[1]["text"]


def test_check_explains_schemas_that_do_not_go_together(shop: str, project: Path) -> None:
    """What producers registered cannot be read as the app's schema."""
    from stream.cli.connection import kafka_settings
    from stream.kafka.registry import Registry

    other = {"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "long"}]}
    with Registry(kafka_settings(None)) as registry:
        registry.register(f"{shop}-orders-value", json.dumps(other))
    done = run("check", "shop.py:app", "--json")
    wrong = [each["text"] for each in json.loads(done.stdout)["findings"] if each["area"] == "schemas"]
    assert f"what is registered for {shop}-orders cannot be read as the app's schema" in wrong[0]


def test_what_is_produced_is_what_tail_prints(topic: MakeTopic, shop: str, broker: LocalBroker) -> None:
    """Avro with the registered schema, keyed; the same key goes to the partition that Java would choose."""
    name = topic("orders", 3)
    sent = produce("--key", "customer", "--limit", "100", topic=name)
    everything = tail(name, "--from", "beginning")
    last = tail(name, "-n", "5")
    assert (sent["produced"], sent["rejected"], len(everything), len(last)) == (100, 0, 100, 5)
    first = next(each for each in everything if each["value"]["order_id"] == "o-00001")  # type: ignore[index]
    assert first["format"] == "avro"
    assert first["value"]["ordered_at"] == "2025-01-01T00:06:33.187000Z"  # type: ignore[index]
    assert first["key"] == first["value"]["customer"]  # type: ignore[index]
    # Java's Utils.toPositive(Utils.murmur2(key)) % 3 of these keys.
    partitions = {each["key"]: each["partition"] for each in everything}
    assert {key: partitions[key] for key in partitions} == {key: java_partition(str(key), 3) for key in partitions}


def java_partition(key: str, count: int) -> int:
    """Kafka's DefaultPartitioner, from org.apache.kafka.common.utils.Utils.murmur2."""
    data, mask = key.encode(), 0xFFFFFFFF
    hashed = (0x9747B28C ^ len(data)) & mask
    for place in range(0, len(data) - len(data) % 4, 4):
        word = int.from_bytes(data[place : place + 4], "little") * 0x5BD1E995 & mask
        word = (word ^ word >> 24) * 0x5BD1E995 & mask
        hashed = (hashed * 0x5BD1E995 & mask) ^ word
    rest = data[len(data) - len(data) % 4 :]
    if rest:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & mask
    hashed = (hashed ^ hashed >> 13) * 0x5BD1E995 & mask
    return ((hashed ^ hashed >> 15) & 0x7FFFFFFF) % count


@pytest.mark.parametrize(("framing", "format"), [("json", "json"), ("single-object", "avro")])
def test_other_framings_need_no_registry(
    framing: str, format: str, topic: MakeTopic, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local schemas of this folder are enough to read them."""
    monkeypatch.setenv("STREAM_REGISTRY_URL", "http://127.0.0.1:9")
    name = topic("orders")
    produce("--framing", framing, "--limit", "3", topic=name)
    found = tail(name)
    assert [each["format"] for each in found] == [format] * 3
    assert found[0]["value"]["order_id"] == "o-00001"  # type: ignore[index]


def test_rows_that_do_not_fit_are_left_out_and_kept(topic: MakeTopic, shop: str, project: Path) -> None:
    """Status 1, a report by field, the rows in a file; --loop sends the others again up to --limit."""
    lines = (project / "orders.csv").read_text().splitlines()[:4]
    (project / "orders.csv").write_text("\n".join([*lines[:3], lines[3].replace(",card,", ",cash,")]) + "\n")
    name = topic("orders")
    done = run(
        *("produce", "orders.csv", "--topic", name, "--schema", "order"),
        "--rejects",
        "rejects.jsonl",
        "--loop",
        "--limit",
        "6",
    )
    assert done.exit_code == 1
    assert "2 x payment: expected one of card, invoice, voucher, got 'cash' (row 3)" in done.stderr
    assert [json.loads(line)["row"] for line in (project / "rejects.jsonl").read_text().splitlines()] == [3, 3]
    assert len(tail(name)) == 4


def test_tail_says_that_there_is_nothing(topic: MakeTopic, shop: str) -> None:
    """On stderr, beside what programs read."""
    name = topic("orders")
    empty = run("tail", name, "--json")
    produce("--limit", "1", topic=name)
    behind = run("tail", name, "--from", "1000")
    assert (empty.stdout, empty.stderr) == ("", f"{name} is empty\n")
    assert (behind.stdout, behind.stderr) == ("", f"{name} has no record there\n")


def test_a_rate_is_held(topic: MakeTopic, shop: str) -> None:
    """From the first of 40 records at 80/s to the last it is half a second, however long the start took."""
    orders = topic("orders")
    produce("--rate", "80", "--limit", "40", topic=orders)
    stamps = [datetime.fromisoformat(str(record["timestamp"])) for record in tail(orders, "--from", "beginning")]
    assert len(stamps) == 40
    assert 0.4 < (stamps[-1] - stamps[0]).total_seconds() < 1.5


def test_a_missing_topic_and_a_missing_broker_are_one_error(
    topic: MakeTopic, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name that is near, and within seconds."""
    name = topic("orders")
    near = run("tail", name[:-1])
    assert isinstance(near.exception, ConfigError)
    assert f"did you mean {name!r}?" in str(near.exception)
    monkeypatch.setenv("STREAM_REGISTRY_URL", "http://127.0.0.1:9")
    registry = run("produce", "orders.csv", "--topic", name, "--schema", "order")
    assert isinstance(registry.exception, RetriableError)
    assert "`stream broker up` starts one" in str(registry.exception)
    monkeypatch.setenv("STREAM_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr("stream.cli.connection.BROKER_TIMEOUT_S", 1.0)
    broker = run("tail", name)
    assert isinstance(broker.exception, RetriableError)
    assert "no answer from 127.0.0.1:9" in str(broker.exception)


def recent(records: RecordBatch) -> RecordBatch:
    """With timestamps of now: the broker deletes by them, whatever is older than a topic's retention."""
    return replace(records, timestamps_ms=np.full(len(records), time.time() * 1000, np.int64))


def rejected(source: str, values: list[bytes]) -> tuple[RecordBatch, list[Rejection]]:
    """Records of partition 0 of a topic, and why each was rejected."""
    records = recent(batch(source, [(f"k{place}".encode(), value) for place, value in enumerate(values)], first=10))
    reasons = [RejectReason.TRUNCATED if place % 2 == 0 else RejectReason.FRAMING for place in range(len(values))]
    return records, [Rejection(place, reason, "amount", "8 bytes", "3") for place, reason in enumerate(reasons)]


def test_dead_letters_go_back_once(shop: str, producer: Producer) -> None:
    """As they were, to the partition they came from; whatever is asked again, no letter goes twice."""
    run("topics", "create", "shop.py:app", "--inputs", "--partitions", "2")
    records, rejections = rejected(f"{shop}-orders", [b"one", b"two", b"three"])
    letters = dead_letters(f"{shop}.dead-letters", shop, records, rejections, 1_700_000_000_000, 1_000_000)
    produce_batch(producer, letters)
    assert producer.flush(20) == 0

    listed = [json.loads(line) for line in run("dead-letters", "list", "shop.py:app", "--json").stdout.splitlines()]
    by_place = {each["source_offset"]: each for each in listed}
    shown = json.loads(run("dead-letters", "show", "shop.py:app", by_place[10]["id"], "--json").stdout)
    dry = json.loads(run("dead-letters", "replay", "shop.py:app", "--dry-run", "--json").stdout)
    some = json.loads(
        run("dead-letters", "replay", "shop.py:app", "--error", "truncated", "--offsets", "11-12", "--json").stdout
    )
    all_of_them = json.loads(run("dead-letters", "replay", "shop.py:app", "--json").stdout)
    again = json.loads(run("dead-letters", "replay", "shop.py:app", "--json").stdout)
    back = tail(f"{shop}-orders", "--from", "beginning")
    marked = [json.loads(line) for line in run("dead-letters", "list", "shop.py:app", "--json").stdout.splitlines()]

    assert sorted(by_place) == [10, 11, 12]
    assert (by_place[11]["error"], by_place[11]["field"], by_place[11]["replayed"]) == ("framing", "amount", False)
    assert (shown["key"], shown["value"], shown["expected"]) == ("k0", "one", "8 bytes")
    assert (dry["chosen"], dry["sent"]) == (3, 0)
    assert (some["chosen"], some["sent"]) == (1, 1)
    assert (all_of_them["sent"], all_of_them["replayed_before"]) == (2, 1)
    assert (again["sent"], again["replayed_before"]) == (0, 3)
    assert {(each["partition"], each["key"], each["value"]) for each in back} == {
        (0, "k0", "one"),
        (0, "k1", "two"),
        (0, "k2", "three"),
    }
    assert (len(back), [each["headers"] for each in back]) == (3, [{}] * 3)
    assert all(each["replayed"] for each in marked)


def test_records_too_large_for_a_dead_letter_come_from_their_source(shop: str, producer: Producer) -> None:
    """Their letters have only checksums: the source's records go back, one of a large value, one of a large key."""
    run("topics", "create", "shop.py:app", "--inputs", "--partitions", "1")
    source = f"{shop}-orders"
    producer.produce(source, b"x" * 3000, b"key", 0)
    producer.produce(source, b"small", b"k" * 3000, 0, headers=[("trace", b"7")])
    assert producer.flush(20) == 0
    records = recent(batch(source, [(b"key", b"x" * 3000), (b"k" * 3000, b"small")]))
    why = [Rejection(row, RejectReason.TRUNCATED, "amount", "8 bytes", "3") for row in (0, 1)]
    letters = dead_letters(f"{shop}.dead-letters", shop, records, why, 1_700_000_000_000, 2000)
    produce_batch(producer, letters)
    assert producer.flush(20) == 0

    assert len(letters.data) < 4000
    assert json.loads(run("dead-letters", "replay", "shop.py:app", "--json").stdout)["sent"] == 2
    back = tail(source, "--from", "beginning")
    whole = [("key", "x" * 3000, {}), ("k" * 3000, "small", {"trace": "7"})]
    assert [(each["key"], each["value"], each["headers"]) for each in back] == whole * 2


def test_keys_may_be_avro(topic: MakeTopic, shop: str) -> None:
    """One field: its own type, registered as the topic's key; two: a record of them. `tail` reads both."""
    single, composite = topic("single"), topic("composite")

    produce("--key", "customer", "--key-encoding", "avro", "--limit", "3", topic=single)
    produce("--key", "customer,ordered_at", "--key-encoding", "avro", "--limit", "3", topic=composite)

    with quick_registry(kafka_settings(None)) as registry:
        latest = registry.latest(f"{single}-key")
        assert latest is not None
        assert json.loads(latest.schema) == "string"
    for record in tail(single):
        assert record["key"] == record["value"]["customer"]  # type: ignore[index]
    for record in tail(composite):
        key, value = record["key"], record["value"]
        assert key["customer"] == value["customer"]  # type: ignore[index]
        assert str(key["ordered_at"]).isdigit()  # type: ignore[index]


def test_a_key_that_cannot_be_avro_is_told(topic: MakeTopic, shop: str) -> None:
    """No fields, another encoding, or JSON values: each is one error."""
    name = topic()
    mistakes: dict[tuple[str, ...], str] = {
        ("--key-encoding", "avro"): "say with --key which fields the key is made of",
        ("--key", "customer", "--key-encoding", "avr"): "did you mean 'avro'",
        ("--key", "customer", "--key-encoding", "avro", "--framing", "json"): "keys of JSON records are utf8",
    }
    for options, sentence in mistakes.items():
        done = run("produce", "orders.csv", "--topic", name, "--schema", "order", *options)
        assert sentence in str(done.exception)


def test_tail_says_that_the_registry_does_not_answer(
    topic: MakeTopic, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not bytes in place of what could be read, without a word; bytes where no registry is named."""
    name = topic()
    produce("--limit", "1", topic=name)
    monkeypatch.setenv("STREAM_REGISTRY_URL", "http://127.0.0.1:9")
    assert "check registry_url, or leave it out" in str(run("tail", name).exception)
    monkeypatch.setenv("STREAM_REGISTRY_URL", "")
    assert [record["format"] for record in tail(name)] == ["hex"]
