"""Whether topics keep what a restore needs: policy, retention, partition counts, largest record. Pure."""

from collections.abc import Callable, Mapping

from stream.kafka.admin import TopicState
from stream.kafka.checked import Checked, Verdict
from stream.kafka.topic_plan import TopicSpec
from stream.records import TopicPartition

_DAY_MS = 86_400_000
# A restore reads on from a snapshot, and the older of the two that are kept is up to two intervals old. The other eight
# are for what comes on top: a snapshot that failed, a backlog (records are as old as they waited), and a worker that is
# away. The horizon of labels adds nothing: what waits for its label is in the snapshot.
RETENTION_INTERVALS = 10
# A worker that stands still over a night must find its records in the morning.
_DOUBTFUL_BELOW_MS = _DAY_MS
# Between stages a record holds an event of up to 900,000 bytes (stream.engine.admission), and what they add to it.
_LIMITS_OF_TIMES = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")  # since Kafka 3.6
_LARGEST_BETWEEN_STAGES = 1_000_000


def needed_ms(snapshot_interval_ms: int) -> int:
    """For how long an input must keep its records at least."""
    return snapshot_interval_ms * RETENTION_INTERVALS


def check_input(state: TopicState, snapshot_interval_ms: int) -> list[Checked]:
    """An event or label topic: records leave it by age alone, and not before a restore can do without them."""
    if not state.config:
        return [_unreadable(state)]
    found = []
    policy = state.config.get("cleanup.policy", "")
    if policy not in ("delete", ""):
        found.append(
            Checked(
                Verdict.REFUSED,
                state.name,
                f"topic {state.name} is compacted (cleanup.policy={policy}): records that the journal names would be "
                "gone when it is replayed. Set cleanup.policy=delete (rule 20)",
            )
        )
    kept_ms, least_ms = int(state.config.get("retention.ms", "-1") or -1), needed_ms(snapshot_interval_ms)
    if 0 <= kept_ms < least_ms:
        found.append(
            Checked(
                Verdict.REFUSED,
                state.name,
                f"topic {state.name} keeps records for {kept_ms:,} ms (retention.ms); a restart needs those since "
                f"the older of two snapshots: at least {RETENTION_INTERVALS} snapshot intervals, {least_ms:,} ms "
                "(rule 20). Raise retention.ms, or lower snapshot_interval_s",
            )
        )
    elif 0 <= kept_ms < _DOUBTFUL_BELOW_MS:
        found.append(
            Checked(
                Verdict.DOUBTFUL,
                state.name,
                f"topic {state.name} keeps records for {kept_ms / 3_600_000:.3g} hours (retention.ms): a worker that "
                "is away, or behind, for longer than that cannot go on (rule 20). A day or more is usual",
            )
        )
    if not found:
        kept = "for ever" if kept_ms < 0 else f"for {kept_ms / _DAY_MS:.3g} days"
        found.append(_fine(state, f", kept {kept}"))
    return found


def check_kept_bytes(
    state: TopicState,
    log_starts: Mapping[TopicPartition, int],
    first_since: Mapping[TopicPartition, int],
    snapshot_interval_ms: int,
) -> list[Checked]:
    """Where retention.bytes holds: whether the oldest records are younger than a restore may need.

    Args:
        state: of an input whose retention.bytes is set.
        log_starts: the first offset of every partition.
        first_since: the first offset of the time that a restore may need, -1 where there is none.
        snapshot_interval_ms: between two snapshots of a task.
    """
    short = [source.partition for source, start in log_starts.items() if 0 < start == first_since[source]]
    if not short:
        return []
    return [
        Checked(
            Verdict.DOUBTFUL,
            state.name,
            f"topic {state.name} is cut to {int(state.config['retention.bytes']):,} bytes a partition "
            f"(retention.bytes), and records of the last {needed_ms(snapshot_interval_ms):,} ms are gone already from "
            f"partition {', '.join(map(str, short))}: a restart may not find those since the older of two snapshots "
            "(rule 20). Raise retention.bytes",
        )
    ]


def check_owned(spec: TopicSpec, state: TopicState, max_message_bytes: int) -> list[Checked]:
    """A topic that the app writes.

    Args:
        spec: as it should be.
        state: as it is.
        max_message_bytes: the largest record that a worker sends.
    """
    return _check_written(spec, state, max_message_bytes, _differs)


def check_repartition(spec: TopicSpec, state: TopicState, max_message_bytes: int) -> list[Checked]:
    """A topic between two stages (rule 34); arguments as of `check_owned`."""
    found = _check_written(spec, state, max_message_bytes, _differs_between_stages)
    if max_message_bytes < _LARGEST_BETWEEN_STAGES:
        text = (
            f"max_message_bytes = {max_message_bytes:,}: an app with stages needs {_LARGEST_BETWEEN_STAGES:,}, since "
            "records between stages hold whole events and what is computed of them: a larger one would stop its "
            f"partition (rule 12). Set max_message_bytes to {_LARGEST_BETWEEN_STAGES:,} or more"
        )
        found.append(Checked(Verdict.REFUSED, "max_message_bytes", text))
    return found


def _check_written(
    spec: TopicSpec, state: TopicState, max_message_bytes: int, differs: Callable[[str, str, str, str], Checked]
) -> list[Checked]:
    if not state.config:
        return [_unreadable(state)]
    found = [
        differs(spec.name, name, state.config.get(name, ""), wanted)
        for name, wanted in spec.config.items()
        if not _holds(name, wanted, state)
    ]
    largest = int(state.config.get("max.message.bytes", max_message_bytes))
    if largest < max_message_bytes:
        found.append(
            Checked(
                Verdict.REFUSED,
                state.name,
                f"topic {state.name} takes records of {largest:,} bytes (max.message.bytes), a worker may send "
                f"{max_message_bytes:,}: one in between would stop its partition (rule 12). Raise max.message.bytes, "
                "or lower max_message_bytes",
            )
        )
    return found or [_fine(state, "")]


def check_partition_counts(counts: Mapping[str, int]) -> list[Checked]:
    """The topics of a task; counts by name, the events' first."""
    text = unequal_partitions(counts)
    return [Checked(Verdict.REFUSED, "partitions", text)] if text else []


def unequal_partitions(counts: Mapping[str, int]) -> str:
    """Why these topics cannot be those of a task; "" if they can. Counts by name, the events' first."""
    (events, expected), *others = counts.items() or [("", 0)]
    different = [f"topic {name} has {count} partitions" for name, count in others if count != expected]
    if not different:
        return ""
    return (
        f"the partition counts differ: {', '.join(different)}, {events} has {expected}: a task reads the partition of "
        "the same number of each (rule 13). Make them equal, or create the app's topics anew under another "
        "topic_prefix; `stream topics create --plan` shows how"
    )


def _differs(topic: str, name: str, got: str, wanted: str) -> Checked:
    if name == "message.timestamp.type" and wanted == "LogAppendTime":
        return Checked(
            Verdict.DOUBTFUL,
            topic,
            f"topic {topic} has {name}={got}: with {wanted} a worker whose clock is ahead of the broker's notices it; "
            "what is learned does not depend on it (rule 2)",
        )
    if name == "retention.ms" and int(wanted) > 0:
        return Checked(
            Verdict.REFUSED,
            topic,
            f"topic {topic} has {name}={got}: features wait there for the horizon of their labels and a day in which a "
            f"worker may be away, at least {wanted} ms (rule 36). Raise it, or lower the horizon",
        )
    return Checked(
        Verdict.REFUSED,
        topic,
        f"topic {topic} has {name}={got}, {wanted} is needed to restore from it (rule 23)",
    )


def _differs_between_stages(topic: str, name: str, got: str, wanted: str) -> Checked:
    """Every setting is of consequence: records have the events' times, and go once no restore can need them."""
    why = {
        "message.timestamp.type": "events and labels take turns by their times, which these records keep",
        "message.timestamp.before.max.ms": "a broker would refuse events that are older, and their stage would stop",
        "message.timestamp.after.max.ms": "a broker would refuse events from ahead, and their stage would stop",
        "cleanup.policy": "a restore reads from it, whatever the keys of its records",
    }.get(name, "a restore reads from it, and its records have the events' times, which may be old")
    return Checked(
        Verdict.REFUSED,
        topic,
        f"topic {topic} carries events between stages and has {name}={got}: {wanted} is needed: {why} (rule 23). "
        f"Set {name}={wanted}",
    )


def _holds(name: str, wanted: str, state: TopicState) -> bool:
    got = state.config.get(name, "")
    if name == "min.compaction.lag.ms":
        return int(got or 0) >= int(wanted)
    if name == "retention.ms" and int(wanted) > 0:
        return not 0 <= int(got or -1) < int(wanted)
    if name in _LIMITS_OF_TIMES and name not in state.config:
        return True
    return got == wanted


def _fine(state: TopicState, more: str) -> Checked:
    text = f"{state.partitions} partitions, {state.replication} replicas{more}"
    return Checked(Verdict.OK, state.name, text)


def _unreadable(state: TopicState) -> Checked:
    return Checked(
        Verdict.UNKNOWN,
        state.name,
        f"the settings of topic {state.name} may not be read (the right DescribeConfigs is missing): its retention, "
        "cleanup policy and largest record were not looked at. `stream topics create --plan` shows all rights",
    )
