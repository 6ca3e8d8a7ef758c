"""Payments and chargebacks on several partitions as a simulation produces them."""

import random
from functools import cache

import orjson

from stream import App, col
from stream.app import compile_stages
from stream.engine.plan import Plan
from stream.records import TopicPartition
from stream.testing.partition_log import partition_of
from stream.testing.simulation import InputRecord, Simulation
from tests.engine.build import (
    EVENT_SCHEMA,
    LABEL_SCHEMA,
    T0,
    chargebacks,
    declare,
    encoded,
    payments,
    plan_that_spills,
    plan_with_labels,
)
from tests.engine.test_moved_labels import KEYED_LABEL
from tests.engine.test_moved_labels import PARTITIONS as MOVED_PARTITIONS
from tests.engine.test_moved_labels import SCHEMAS as MOVED_SCHEMAS
from tests.engine.test_moved_labels import stages as stages_with_moved_labels

PARTITIONS = 4
SCHEMAS = {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()}
UNSENDABLE = b"unsendable"
_OF_NO_SCHEMA = b"\0\0\0\0\x09?"


def records(
    seed: int,
    count: int = 200,
    has_unsendable: bool = False,
    latest_ms: int = 80,
    partitions: int = PARTITIONS,
) -> list[InputRecord]:
    """Payments, a few of them poison, with labels that come early, late, twice or never."""
    draw = random.Random(seed)
    found: list[InputRecord] = []
    truths = chargebacks(range(count), seed)
    for number, (key, value) in enumerate(payments(count, seed)):
        partition = draw.randrange(partitions)
        value = _OF_NO_SCHEMA if draw.random() < 0.01 else value
        key = UNSENDABLE if has_unsendable and number == count // 2 else key
        found.append(InputRecord(TopicPartition("payments", partition), key, value, T0 + number))
        for _ in range(draw.choice((0, 1, 1, 2))):
            at_ms = T0 + number + draw.randint(-5, latest_ms)
            found.append(InputRecord(TopicPartition("chargebacks", partition), *truths[number], at_ms))
    return sorted(found, key=lambda record: record.timestamp_ms)


def simulation(seed: int, kind: type[Simulation] = Simulation) -> Simulation:
    """One seed's run; every third keeps 16 waiting rows in memory and the rest in a topic, every fourth
    delivers immediately, every fifth has a record whose outputs are refused."""
    spills = seed % 3 == 1
    return kind(
        plan_that_spills() if spills else plan_with_labels(),
        SCHEMAS,
        records(seed, has_unsendable=seed % 5 == 0, latest_ms=200 if spills else 80),
        seed,
        partitions=PARTITIONS,
        is_immediate=seed % 4 == 3,
        unsendable=[UNSENDABLE],
    )


STAGED_PARTITIONS = 3


def declare_staged() -> App:
    """Payments with features by their text as well."""
    app = declare()
    assert app.event_stream is not None
    amount = col("amount")
    app.event_stream.features(
        alike=amount.count("1m", by="text"),
        dear=amount / amount.ewm_mean("1h", by="text"),
        charged_back=col("text").target_mean(local=False),
    )
    return app


@cache
def stages() -> tuple[Plan, ...]:
    """Of payments with features by another key: three."""
    return compile_stages(declare_staged(), {}, STAGED_PARTITIONS)


def staged_simulation(seed: int, kind: type[Simulation] = Simulation) -> Simulation:
    """One seed's run of an app in three stages; seeds deliver and refuse as those of one stage do."""
    return kind(
        stages(),
        SCHEMAS,
        records(seed, 80, seed % 5 == 0, partitions=STAGED_PARTITIONS),
        seed,
        partitions=STAGED_PARTITIONS,
        is_immediate=seed % 4 == 3,
        unsendable=[UNSENDABLE],
    )


def _records_with_moved_labels(seed: int, count: int) -> list[InputRecord]:
    """Payments where their cards belong, and labels that say the card and lie anywhere; a few do not know it."""
    draw = random.Random(seed)
    found: list[InputRecord] = []
    for number, (key, value) in enumerate(payments(count, seed)):
        partition = 0 if key is None else partition_of(key, MOVED_PARTITIONS)
        found.append(InputRecord(TopicPartition("payments", partition), key, value, T0 + number))
        owner = None if key is None or draw.random() < 0.05 else key.decode()
        label = encoded(KEYED_LABEL, 2, {"id": f"p{number}", "fraud": draw.random() < 0.3, "owner": owner})
        source = TopicPartition("chargebacks", draw.randrange(MOVED_PARTITIONS))
        found.append(InputRecord(source, b"case", label, T0 + number + draw.randint(-5, 80)))
    return sorted(found, key=lambda record: record.timestamp_ms)


def moved_simulation(seed: int) -> Simulation:
    """One seed's run of an app whose labels a stage puts where their events are; every other has four stages."""
    plans = stages_with_moved_labels(seed % 2 == 1)
    records = _records_with_moved_labels(seed, 60)
    return Simulation(plans, MOVED_SCHEMAS, records, seed, partitions=MOVED_PARTITIONS, is_immediate=seed % 4 == 3)
