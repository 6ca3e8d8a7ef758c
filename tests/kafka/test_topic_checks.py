"""What topics must be like for a restore to find its records, as a truth table; nothing is asked of a broker."""

import pytest

from stream.config import KafkaSettings, TopicNames
from stream.kafka.admin import TopicState
from stream.kafka.broker_checks import check_broker, check_clock
from stream.kafka.checked import Checked, Verdict
from stream.kafka.topic_checks import (
    check_input,
    check_kept_bytes,
    check_owned,
    check_partition_counts,
    check_repartition,
)
from stream.kafka.topic_plan import TopicSpec, topics_of_app
from stream.records import TopicPartition

MINUTE_MS = 60_000
DAY_MS = 86_400_000
INPUT = {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}
JOURNAL = TopicSpec(
    "journal", 1, 1, {"cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}
)
SNAPSHOTS = TopicSpec("snapshots", 1, 1, {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"})
BROKER = {
    "transaction.max.timeout.ms": "900000",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
}


def state(name: str = "events", **changes: str) -> TopicState:
    """A topic of two partitions; settings are given with `_` for `.`."""
    return TopicState(name, 2, 1, {**INPUT, **{key.replace("_", "."): value for key, value in changes.items()}})


def verdicts(found: list[Checked]) -> list[Verdict]:
    """Of all that was looked at."""
    return [each.verdict for each in found]


@pytest.mark.parametrize(
    ("retention_ms", "expected"),
    [
        ("-1", Verdict.OK),
        ("604800000", Verdict.OK),
        ("86400000", Verdict.OK),  # a day
        ("86399999", Verdict.DOUBTFUL),
        ("600000", Verdict.DOUBTFUL),  # ten snapshot intervals
        ("599999", Verdict.REFUSED),
    ],
)
def test_an_input_must_keep_ten_snapshot_intervals(retention_ms: str, expected: Verdict) -> None:
    """Two for the older snapshot, eight for a backlog, a failed snapshot and a worker that is away; a day is usual."""
    assert verdicts(check_input(state(retention_ms=retention_ms), MINUTE_MS)) == [expected]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("delete", Verdict.OK), ("compact", Verdict.REFUSED), ("compact,delete", Verdict.REFUSED), ("", Verdict.OK)],
)
def test_rule_20_an_input_must_not_be_compacted(policy: str, expected: Verdict) -> None:
    """Its records leave by age alone, or (Kafka 4.1 on) never."""
    (found,) = check_input(state(cleanup_policy=policy), MINUTE_MS)
    assert found.verdict is expected
    assert expected is Verdict.OK or "Set cleanup.policy=delete (rule 20)" in found.text


@pytest.mark.parametrize(
    ("start", "first_since", "expected"),
    [
        (0, 0, []),  # nothing was deleted yet, however young the topic is
        (500, 700, []),  # older records than needed are there
        (500, 500, [Verdict.DOUBTFUL]),  # the oldest record is younger than needed
        (500, -1, []),  # all records are older
    ],
)
def test_bytes_that_cut_a_log_too_early_are_seen_in_the_log(
    start: int, first_since: int, expected: list[Verdict]
) -> None:
    """How long a number of bytes lasts depends on the traffic: the oldest record that is left tells."""
    source = TopicPartition("events", 1)
    found = check_kept_bytes(state(retention_bytes="1000"), {source: start}, {source: first_since}, MINUTE_MS)
    assert verdicts(found) == expected


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        (JOURNAL, {"retention_ms": "-1", "message_timestamp_type": "LogAppendTime"}, Verdict.OK),
        (JOURNAL, {"message_timestamp_type": "LogAppendTime"}, Verdict.REFUSED),  # kept for a week
        (JOURNAL, {"retention_ms": "-1", "message_timestamp_type": "CreateTime"}, Verdict.DOUBTFUL),
        (SNAPSHOTS, {"cleanup_policy": "compact", "min_compaction_lag_ms": "7200000"}, Verdict.OK),
        (SNAPSHOTS, {"cleanup_policy": "compact", "min_compaction_lag_ms": "0"}, Verdict.REFUSED),
        (SNAPSHOTS, {"cleanup_policy": "delete", "min_compaction_lag_ms": "7200000"}, Verdict.REFUSED),
    ],
)
def test_rule_23_journal_and_snapshots_are_kept_as_a_restore_needs(
    spec: TopicSpec, changes: dict[str, str], expected: Verdict
) -> None:
    """The journal never goes by age, snapshots are compacted behind an hour; other clocks are only a pity."""
    (found,) = check_owned(spec, state(spec.name, **changes), 1_000_000)
    assert found.verdict is expected
    assert expected is Verdict.OK or "(rule " in found.text


BETWEEN = next(
    spec for spec in topics_of_app(TopicNames.of("a"), 2, repartition=("a.repartition",)) if "repart" in spec.name
)
KEPT = {"retention_ms": "-1", "message_timestamp_type": "CreateTime"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (KEPT, ""),
        ({**KEPT, "retention_ms": "604800000"}, "has retention.ms=604800000: -1 is needed"),
        ({**KEPT, "retention_bytes": "1000"}, "has retention.bytes=1000: -1 is needed"),
        ({**KEPT, "cleanup_policy": "compact"}, "has cleanup.policy=compact: delete is needed"),
        (
            {**KEPT, "message_timestamp_type": "LogAppendTime"},
            "=LogAppendTime: CreateTime is needed: events and labels",
        ),
        ({**KEPT, "message_timestamp_before_max_ms": "86400000"}, "before.max.ms=86400000: 9223372036854775807 is "),
        ({**KEPT, "message_timestamp_after_max_ms": "3600000"}, "after.max.ms=3600000: 9223372036854775807 is needed"),
        ({**KEPT, "message_timestamp_after_max_ms": "9223372036854775807"}, ""),
    ],
)
def test_rule_23_a_topic_between_stages_is_kept_with_the_times_of_events(changes: dict[str, str], told: str) -> None:
    """Each setting is refused with the topic, the setting and the rule."""
    (found,) = check_repartition(BETWEEN, state(BETWEEN.name, **changes), 1_000_000)
    assert found.verdict is (Verdict.REFUSED if told else Verdict.OK)
    if told:
        assert found.text.startswith("topic a.repartition carries events between stages and has ")
        assert told in found.text
        assert "(rule 23). Set " in found.text


def test_rule_12_an_app_with_stages_sends_records_of_a_million_bytes() -> None:
    """An event of 900,000 bytes goes through a topic between stages in one record."""
    fine, small = check_repartition(BETWEEN, state(BETWEEN.name, **KEPT), 999_999)
    assert (fine.verdict, small.verdict) == (Verdict.OK, Verdict.REFUSED)
    assert "max_message_bytes = 999,999: an app with stages needs 1,000,000" in small.text
    assert "(rule 12). Set max_message_bytes to" in small.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"retention_ms": "-1"}, Verdict.OK),
        ({"retention_ms": str(31 * DAY_MS)}, Verdict.OK),
        ({"retention_ms": str(31 * DAY_MS - 1)}, Verdict.REFUSED),
        ({"retention_ms": "-1", "retention_bytes": "1000"}, Verdict.REFUSED),
        ({"retention_ms": "-1", "cleanup_policy": "compact"}, Verdict.REFUSED),
    ],
)
def test_rule_36_features_are_kept_for_the_horizon_and_a_day(changes: dict[str, str], expected: Verdict) -> None:
    """A horizon of 30 days: on the last one, and on the day after it, in which a worker may be away."""
    names = TopicNames.of("fraud")
    (spec,) = [each for each in topics_of_app(names, 1, horizon_ms=30 * DAY_MS) if each.name == names.features]
    (found,) = check_owned(spec, state(spec.name, **changes), 1_000_000)
    assert found.verdict is expected


def test_rule_12_a_topic_that_takes_smaller_records_than_a_worker_sends_is_refused() -> None:
    """Whatever is between the two sizes would stop its partition."""
    (found,) = check_owned(TopicSpec("predictions", 1), state("predictions", max_message_bytes="999999"), 1_000_000)
    assert found.verdict is Verdict.REFUSED
    assert "takes records of 999,999 bytes (max.message.bytes), a worker may send 1,000,000" in found.text
    (fits,) = check_owned(TopicSpec("predictions", 1), state("predictions", max_message_bytes="1000000"), 1_000_000)
    assert fits.verdict is Verdict.OK


def test_rule_13_the_topics_of_a_task_have_equal_partitions() -> None:
    """The events' count is what the others are compared with; every other one is named."""
    assert check_partition_counts({"events": 2, "labels": 2}) == []
    assert check_partition_counts({}) == []
    (found,) = check_partition_counts({"events": 2, "labels": 3, "journal": 2, "snapshots": 1})
    assert found.verdict is Verdict.REFUSED
    assert "topic labels has 3 partitions, topic snapshots has 1 partitions, events has 2" in found.text


def test_settings_that_may_not_be_read_are_said_and_no_hindrance() -> None:
    """A worker's rights need not include them."""
    closed = TopicState("events", 2, 1, {})
    assert verdicts(check_input(closed, MINUTE_MS)) == [Verdict.UNKNOWN]
    assert verdicts(check_owned(SNAPSHOTS, closed, 1_000_000)) == [Verdict.UNKNOWN]
    assert verdicts(check_broker({}, KafkaSettings("g", "t"))) == [Verdict.UNKNOWN]


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({}, {}, [Verdict.OK, Verdict.OK]),
        ({"transaction.max.timeout.ms": "9999"}, {}, [Verdict.REFUSED, Verdict.OK]),
        ({}, {"transaction_timeout_ms": 5_000}, [Verdict.DOUBTFUL, Verdict.OK]),  # 5 s, and 105 ms before them
        ({"group.min.session.timeout.ms": "10001"}, {}, [Verdict.OK, Verdict.REFUSED]),
        ({"group.max.session.timeout.ms": "9999"}, {}, [Verdict.OK, Verdict.REFUSED]),
        ({"group.max.session.timeout.ms": "9999"}, {"group_protocol": "consumer"}, [Verdict.OK]),
    ],
)
def test_brokers_must_allow_the_transactions_and_sessions_of_a_worker(
    changes: dict[str, str], settings: dict[str, object], expected: list[Verdict]
) -> None:
    """A transaction of 10 s within the brokers' most, a session of 10 s between their bounds (classic groups only)."""
    worker = KafkaSettings("g", "t", **settings)  # type: ignore[arg-type]
    found = check_broker({**BROKER, **changes}, worker)
    assert verdicts(found) == expected
    assert all("(rule" in each.text for each in found if each.verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("newest_ms", "expected"),
    [(-1, []), (99_000, [Verdict.OK]), (105_000, [Verdict.OK]), (105_001, [Verdict.DOUBTFUL])],
)
def test_a_time_of_the_brokers_in_the_future_tells_that_clocks_differ(newest_ms: int, expected: list[Verdict]) -> None:
    """By more than 5 s; an empty journal tells nothing."""
    found = check_clock("journal", newest_ms, 100_000)
    assert verdicts(found) == expected
    if expected == [Verdict.DOUBTFUL]:
        assert "5.0 s ahead of this machine's clock" in found[0].text
        assert "(rule 2)" in found[0].text
