"""An app as its users test it: records in, predictions, alerts and dead letters out, crashes between."""

import math
import re
import time

import pytest

from stream import App, col, models
from stream.avro import InvalidValue
from stream.errors import ConfigError
from stream.testing import Driver
from tests.engine.build import T0, declare
from tests.engine.test_moved_labels import declared


def payment(number: int, **other: object) -> dict[str, object]:
    """A payment of card c1; `other` fields replace its own."""
    return {"id": f"p{number}", "card": "c1", "amount": 12.5, "at": T0 + number, "text": "taxi", "fraud": None} | other


@pytest.mark.parametrize("delivery", ["exactly-once", "immediate"])
def test_each_event_is_predicted_and_labels_teach(delivery: str) -> None:
    """What a user looks at: ids, keys and scores, which change once labels have come."""
    driver = Driver(declare(), delivery=delivery)

    driver.send("payments", *(payment(number) for number in range(5)))
    driver.send("chargebacks", *({"id": f"p{number}", "fraud": True} for number in range(5)))
    driver.send("payments", payment(5))

    predictions = driver.predictions()
    assert [prediction["event_id"] for prediction in predictions] == [f"p{number}" for number in range(6)]
    assert {prediction["key"] for prediction in predictions} == {b"c1"}
    assert predictions[5]["score"] > predictions[0]["score"] == 0.5


def test_a_crash_changes_nothing() -> None:
    """Digest and predictions are those of a driver that never crashed."""
    calm, crashing = Driver(declare()), Driver(declare())
    for number in range(0, 40, 10):
        for driver in (calm, crashing):
            driver.send("payments", *(payment(each, amount=float(each)) for each in range(number, number + 10)))
            driver.send("chargebacks", {"id": f"p{number}", "fraud": number % 20 == 0})
        crashing.crash()

    assert crashing.state_digest() == calm.state_digest()
    assert [each["score"] for each in crashing.predictions()] == [each["score"] for each in calm.predictions()]


def declare_by_text() -> App:
    """Payments by card, with a feature by their text, which lies across the partitions."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(alike=col("amount").count("1h", by="text"))
    return app


@pytest.mark.parametrize("delivery", ["exactly-once", "immediate"])
def test_an_app_with_features_by_another_key_runs_on_several_partitions(delivery: str) -> None:
    """Each event passes all stages and is predicted; a rejected one ends at the first."""
    driver = Driver(declare_by_text(), partitions=4, delivery=delivery, start_ms=T0)
    driver.send("payments", *(payment(number, card=f"c{number % 5}", text="taxi") for number in range(24)))
    driver.send("payments", b"\0\0\0\0\1", partition=2)

    predictions = driver.predictions()
    assert sorted(each["event_id"] for each in predictions) == sorted(f"p{number}" for number in range(24))
    assert len({each["partition"] for each in predictions}) > 1
    assert [(dead["stream.error"], dead["stream.partition"]) for dead in driver.dead_letters()] == [("truncated", "2")]
    assert driver.alerts() == []


def test_a_crash_of_all_stages_changes_nothing() -> None:
    """Labels find their events wherever those went; digest and scores are those of a driver that never crashed."""
    calm, crashing = (Driver(declare_by_text(), partitions=4, start_ms=T0) for _ in range(2))
    for number in range(20):
        for driver in (calm, crashing):
            driver.send("payments", payment(number, card=f"c{number % 7}"))
            driver.send("chargebacks", {"id": f"p{number}", "fraud": True})
        if number % 5 == 0:
            crashing.crash()

    assert len({each["partition"] for each in calm.predictions()}) > 1
    assert calm.state_digest() == crashing.state_digest() != calm.state_digest(0)
    assert calm.state_digest(0) != calm.state_digest(1)
    by_id = [{each["event_id"]: each["score"] for each in driver.predictions()} for driver in (calm, crashing)]
    assert by_id[0] == by_id[1]
    assert max(by_id[0].values()) > 0.5  # labels have taught


def test_what_became_of_labels_is_counted() -> None:
    """In time, twice, before its event and behind its horizon of an hour; a crash counts nothing twice."""
    driver = Driver(declare(), start_ms=T0)
    driver.send("payments", payment(0), payment(1))
    for label in ("p0", "p0", "p2"):
        driver.send("chargebacks", {"id": label, "fraud": True})
    driver.send("payments", payment(2))
    driver.advance("2h")
    driver.send("payments", payment(3, at=T0 + 2 * 3_600_000))
    driver.crash()
    driver.send("chargebacks", {"id": "p1", "fraud": True})
    counted = {"learned": 2, "joined": 1, "early": 1, "duplicate": 1, "late": 1, "unknown": 0, "invalid": 0}
    assert driver.labels() == counted

    in_events = Driver(declare(has_label_topic=False), start_ms=T0)
    in_events.send("payments", payment(0, fraud=True), payment(1))
    assert {name: count for name, count in in_events.labels().items() if count} == {"learned": 1}


def test_the_features_of_each_prediction_are_shown() -> None:
    """As they were before the event, and after a crash; a rejected event has none."""
    app = declare()
    assert app.event_stream is not None
    app.event_stream.features(whole=col("text").hash(8))
    driver = Driver(app, start_ms=T0)
    driver.send("payments", payment(0), b"\0\0\0\0\1", payment(1, amount=20.0, text="taxi taxi bar"))
    first, second = driver.features()
    assert first["amount"] == pytest.approx(math.log1p(12.5))
    assert math.isnan(first["unusual"])
    assert (first["spend"], second["spend"], second["unusual"]) == (0.0, 12.5, 20.0 / 12.5)
    assert [sorted(each["words"].values()) for each in (first, second)] == [[1.0], [1.0, 2.0]]
    assert all(0 <= bucket < 64 for bucket in second["words"])
    assert [0 <= bucket < 8 for bucket in second["whole"]] == [True]

    driver.crash()
    driver.send("payments", payment(2))
    assert driver.features()[1] == second
    assert driver.features()[2]["spend"] == 32.5


def test_features_by_another_key_are_those_of_the_last_stage() -> None:
    """By name, in the order of the predictions, wherever they were computed."""
    driver = Driver(declare_by_text(), partitions=4, start_ms=T0)
    for number in range(6):
        driver.send("payments", payment(number, card=f"c{number}"))
    alike = {
        each["event_id"]: found["alike"] for each, found in zip(driver.predictions(), driver.features(), strict=True)
    }
    assert alike == {f"p{number}": float(number) for number in range(6)}
    assert len({each["partition"] for each in driver.predictions()}) > 1


def test_labels_of_another_key_find_their_events() -> None:
    """A stage puts them where their events are, wherever they were sent."""
    driver = Driver(declared(by_text=True), partitions=4, start_ms=T0)
    for number in range(10):
        driver.send("payments", payment(number, card=f"c{number % 3}"))
        label = {"id": f"p{number}", "fraud": True, "owner": f"c{number % 3}"}
        driver.send("chargebacks", label, partition=number % 4, key=b"case")
    assert len(driver.predictions()) == 10
    assert driver.predictions()[9]["score"] > 0.5
    driver.send("chargebacks", {"id": "p1", "fraud": True, "owner": None})
    assert [dead["stream.error"] for dead in driver.dead_letters()] == ["null_key"]


def test_records_go_where_their_key_belongs() -> None:
    """As Kafka's clients place them; nothing is told to lie elsewhere, and who names a partition is obeyed."""
    driver = Driver(declare(), partitions=4)
    for number in range(8):
        driver.send("payments", payment(number, card=f"c{number}", at=driver.now_ms))
    driver.send("payments", payment(8, card="c0", at=driver.now_ms), partition=3)

    by_key = {each["event_id"]: each["partition"] for each in driver.predictions()}
    # Murmur2 of the keys c0 to c7, as org.apache.kafka.common.utils.Utils computes it.
    assert [by_key[f"p{number}"] for number in range(8)] == [2, 3, 1, 1, 2, 3, 3, 3]
    assert by_key["p8"] == 3
    assert driver.alerts() == []


def test_a_broken_producer_makes_dead_letters() -> None:
    """Bytes go as they are."""
    driver = Driver(declare())
    driver.send("payments", b"\0\0\0\0\1", payment(1))

    (dead,) = driver.dead_letters()
    assert (dead["stream.error"], dead["stream.offset"]) == ("truncated", "0")
    assert [prediction["event_id"] for prediction in driver.predictions()] == ["p1"]


def test_the_clock_moves_as_told() -> None:
    """Predictions are stamped with it."""
    driver = Driver(declare())
    began_ms = driver.now_ms
    driver.advance("1h")
    driver.send("payments", payment(1))

    assert driver.now_ms - began_ms >= 3_600_000
    assert driver.predictions()[0]["processing_time"] >= began_ms + 3_600_000


def test_events_of_today_are_predicted() -> None:
    """Without `start_ms` the clock is the wall clock's; with it, an event beyond it and `ahead` is a dead letter."""
    today_ms = time.time_ns() // 1_000_000
    now, in_2023 = Driver(declare()), Driver(declare(), start_ms=T0)
    for driver in (now, in_2023):
        driver.send("payments", payment(1, at=today_ms))

    assert [prediction["event_id"] for prediction in now.predictions()] == ["p1"]
    assert abs(now.now_ms - today_ms) < 600_000
    assert in_2023.predictions() == []
    assert [dead["stream.error"] for dead in in_2023.dead_letters()] == ["time_ahead"]
    assert 0 <= in_2023.now_ms - T0 < 600_000


def test_a_named_schema_is_given_by_its_name() -> None:
    """Without its text the mistake says what to pass; with it the app runs."""
    text = '{"type": "record", "name": "Transfer", "fields": [{"name": "sum", "type": "double"}]}'
    app = App("transfers")
    app.events("transfers", schema="transfer").features(sum=col("sum"))
    app.model("outliers", models.HalfSpaceTrees(seed=1))

    with pytest.raises(ConfigError, match=r'pass schemas=\{"transfer": Path\("transfer.avsc"\).read_text\(\)\}'):
        Driver(app)
    driver = Driver(app, schemas={"transfer": text})
    driver.send("transfers", {"sum": 2.5})

    assert len(driver.predictions()) == 1


def test_mistakes_are_named() -> None:
    """A topic that the app does not read; a value that does not fit."""
    driver = Driver(declare())
    with pytest.raises(ConfigError, match="the app reads payments, chargebacks, not payment"):
        driver.send("payment", payment(1))
    with pytest.raises(InvalidValue, match="amount: expected"):
        driver.send("payments", payment(1, amount="much"))
    with pytest.raises(ConfigError, match="payments has partitions 0 to 0, not 1"):
        driver.send("payments", payment(1), partition=1)


def test_a_field_that_the_schema_has_not_is_refused() -> None:
    """A producer leaves it out without a word; in a test it is a mistake, in records within a record too."""
    driver = Driver(declare(), start_ms=T0)
    with pytest.raises(ConfigError, match=r"payments: there is no field 'amuont'; did you mean 'amount'\?"):
        driver.send("payments", payment(0, amuont=3.0))

    shop = {"type": "record", "name": "Shop", "fields": [{"name": "city", "type": ["null", "string"], "default": None}]}
    fields = [{"name": "sum", "type": "double"}, {"name": "shop", "type": ["null", shop], "default": None}]
    app = App("transfers")
    schema = {"type": "record", "name": "Transfer", "fields": fields}
    app.events("transfers", schema=schema).features(sum=col("sum"))
    app.model("outliers", models.HalfSpaceTrees(seed=1))
    nested = Driver(app)
    with pytest.raises(ConfigError, match="transfers, shop: there is no field 'town'; there are city"):
        nested.send("transfers", {"sum": 2.5, "shop": {"town": "Ulm"}})
    nested.send("transfers", {"sum": 2.5, "shop": {"city": "Ulm"}}, {"sum": 2.5, "shop": {"Shop": {"city": "Ulm"}}})
    assert nested.features() == [{"sum": 2.5}, {"sum": 2.5}]


LINE = {
    "type": "record",
    "name": "Line",
    "namespace": "shop",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "parts", "type": {"type": "array", "items": "Line"}, "default": []},
    ],
}


def lines_of(of: object) -> Driver:
    """Of an app whose orders have a field of this type."""
    app = App("orders")
    fields = [{"name": "sum", "type": "double"}, {"name": "lines", "type": of}]
    schema = {"type": "record", "name": "Order", "fields": fields}
    app.events("orders", schema=schema).features(sum=col("sum"))
    app.model("outliers", models.HalfSpaceTrees(seed=1))
    return Driver(app)


RIGHT, WRONG = {"sku": "a"}, {"sku": "a", "colour": "red"}


@pytest.mark.parametrize(
    ("of", "right", "wrong", "where"),
    [
        ({"type": "array", "items": LINE}, [RIGHT], [RIGHT, WRONG], "orders, lines[1]"),
        ({"type": "array", "items": LINE}, [], ({"sku": "a", "parts": [WRONG]},), "orders, lines[0], parts[0]"),
        ({"type": "map", "values": LINE}, {"x": RIGHT}, {"x": WRONG}, "orders, lines, x"),
        (["null", {"type": "array", "items": ["null", LINE]}], [None, RIGHT], [None, WRONG], "orders, lines[1]"),
        (["null", {"type": "array", "items": LINE}], {"array": [RIGHT]}, {"array": [WRONG]}, "orders, lines[0]"),
        (["string", LINE], {"shop.Line": RIGHT}, {"Line": WRONG}, "orders, lines"),
        ([{"type": "map", "values": "long"}, LINE], {"any": 1}, {"map": {"a": 1}, "b": 2}, ""),
        (
            [LINE, {"type": "record", "name": "Fee", "fields": [{"name": "fee", "type": "int"}]}],
            RIGHT,
            WRONG,
            "orders, lines",
        ),
        (["null", "string"], {"string": "a"}, {"string": 1}, ""),
    ],
)
def test_unknown_fields_are_refused_wherever_a_record_is(of: object, right: object, wrong: object, where: str) -> None:
    """In lists, in maps, in records that hold themselves, with and without the wrappers that JSON has for unions.

    What a union has a map for may have any key; it is the encoder's to say that its values are none of the map's.
    """
    driver = lines_of(of)
    refusal = pytest.raises(ConfigError, match=re.escape(f"{where}: there is no field 'colour'; there are sku, parts"))
    with refusal if where else pytest.raises(InvalidValue):
        driver.send("orders", {"sum": 1.5, "lines": wrong})
    driver.send("orders", {"sum": 1.5, "lines": right})
    assert len(driver.predictions()) == 1


def test_a_label_before_its_event_says_where_it_belongs() -> None:
    """On several partitions nobody else knows: it would wait where its event never comes."""
    driver = Driver(declare(), partitions=4, start_ms=T0)
    with pytest.raises(ConfigError, match="chargebacks: no event 'p0' was sent yet"):
        driver.send("chargebacks", {"id": "p0", "fraud": True})
    with pytest.raises(ConfigError, match="chargebacks has partitions 0 to 3, not -1"):
        driver.send("chargebacks", {"id": "p0", "fraud": True}, partition=-1)
    driver.send("chargebacks", {"id": "p0", "fraud": True}, key=b"c1")
    driver.send("payments", payment(0), payment(1))
    assert driver.predictions()[1]["score"] != 0.5
