"""Records that lie where their key does not belong raise an alert (rule 19)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from stream.engine.protocol import TopicIdentity
from stream.engine.record_partitions import sampled_elsewhere
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.records import RecordBatch
from tests.engine.build import EVENT_SCHEMA, FORMAT, T0, batch, encoded, plan_with_label_field, task_of
from tests.kernels.test_hashing_and_memory import java_murmur2

PARTITIONS = 4
KEYS = [f"card{number}" for number in range(400)]
HERE = [key for key in KEYS if (java_murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS == 0]
THERE = [key for key in KEYS if key not in HERE]


def keyed(keys: Sequence[str | None], first: int = 0) -> RecordBatch:
    """Payments with these record keys, which are their cards."""
    value = {"amount": 10.0, "at": T0, "text": "", "fraud": None}
    records = [
        (key.encode() if key else None, encoded(EVENT_SCHEMA, 1, {**value, "id": f"p{number}", "card": key or "none"}))
        for number, key in enumerate(keys)
    ]
    return batch("payments", records, first)


def live_task(partitions: int) -> Task:
    """A task whose events lie in so many partitions."""
    task = task_of(plan_with_label_field())
    task.topics = {"payments": TopicIdentity("id", partitions)}
    task.end_replay()
    return task


def alerts(task: Task, records: RecordBatch, slice_records: int = 100_000) -> list[dict[str, object]]:
    """Alerts about partitions that these records raise."""
    found = []
    for first in range(0, len(records), slice_records):
        outputs = task.process(records.part(first, min(first + slice_records, len(records))), T0)
        for output in outputs.transactional:
            if output.topic == FORMAT.topics.alerts:
                values = output.values.tolist()
                found += [decode_small("alert", output.data[start + 5 : end].tobytes()) for start, end in values]
    return [alert for alert in found if alert["signal"] == "partitions"]


def test_one_record_in_eight_is_looked_at_by_its_offset() -> None:
    """Whatever the batch; records without a key, and topics of one partition, are not."""
    records = keyed([*(THERE[:1] * 4000), None, None])
    rows, elsewhere = sampled_elsewhere(records, PARTITIONS)
    assert 400 < len(rows) < 600
    assert elsewhere.all()
    parts = [sampled_elsewhere(records.part(at, min(at + 37, len(records))), PARTITIONS) for at in range(0, 4002, 37)]
    assert np.concatenate([rows + 37 * place for place, (rows, _) in enumerate(parts)]).tolist() == rows.tolist()
    # Ends of transactions take offsets as regularly as a producer commits; none of its records may be out of reach.
    steps = replace(records, offsets=np.arange(0, 8 * len(records), 8))
    assert 400 < len(sampled_elsewhere(steps, PARTITIONS)[0]) < 600
    assert len(sampled_elsewhere(keyed([None] * 100), PARTITIONS)[0]) == 0
    assert len(sampled_elsewhere(records, 1)[0]) == 0
    assert len(sampled_elsewhere(records, 0)[0]) == 0


def test_keys_that_are_at_home_are_not_marked() -> None:
    """As Java's formula says, which librdkafka's default does not."""
    rows, elsewhere = sampled_elsewhere(keyed(HERE * 40), PARTITIONS)
    assert len(rows) > 100
    assert not elsewhere.any()


@pytest.mark.parametrize("slice_records", [100_000, 501])
def test_rule_19_records_of_another_partitioner_raise_an_alert(slice_records: int) -> None:
    """One in ten lies here though its key belongs elsewhere: an alert with the share, once 1,000 were looked at."""
    task = live_task(PARTITIONS)
    good = keyed([HERE[number % len(HERE)] for number in range(8_600)], first=1)
    mixed = keyed(
        [THERE[number % 50] if number % 10 == 0 else HERE[number % len(HERE)] for number in range(9_000)], first=8_601
    )
    assert alerts(task, good, slice_records) == []
    (alert,) = alerts(task, mixed, slice_records)
    assert (alert["kind"], alert["detector"], alert["topic"], alert["before"]) == ("OTHER", "share", "payments", 0.0)
    assert 0.05 < float(str(alert["after"])) < 0.15
    assert "set partitioner=murmur2_random" in str(alert["sentence"])
    assert 15_000 < int(str(alert["offset"])) < 17_600
    task.close_cycle()
    assert task._last.partitions == PARTITIONS


def test_without_a_count_or_without_a_key_nothing_is_said() -> None:
    """A task in a test or in an evaluation has no topic; an app without a key has nothing that depends on it."""
    records = keyed([THERE[number % 50] for number in range(9_000)], first=1)
    assert alerts(live_task(0), records) == []
    plan = plan_with_label_field()
    unkeyed = Task(replace(plan, events=replace(plan.events, key=())), 0, 1, FORMAT)
    unkeyed.topics = {"payments": TopicIdentity("id", PARTITIONS)}
    unkeyed.end_replay()
    assert alerts(unkeyed, records) == []


def test_the_same_alert_has_the_same_id() -> None:
    """It names the signal and the record at which it was raised."""
    task = live_task(PARTITIONS)
    (alert,) = alerts(task, keyed([THERE[number % 50] for number in range(9_000)], first=1))
    assert alert["id"] == f"app/payments/0/{alert['offset']}/partitions/share"
