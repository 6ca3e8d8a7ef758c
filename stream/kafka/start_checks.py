"""What a cluster must be like before a worker joins its group: `stream check` shows it, a worker refuses without it.

Refused is what would lose data or break a promise of docs/guarantees.md; what may be meant that way is only doubtful.
"""

import time
from collections.abc import Iterable, Mapping

from stream.config import InputTopics, KafkaSettings, TopicNames
from stream.kafka.admin import Admin, TopicState
from stream.kafka.broker_checks import check_broker, check_clock
from stream.kafka.checked import Checked, Verdict
from stream.kafka.topic_checks import (
    check_input,
    check_kept_bytes,
    check_owned,
    check_partition_counts,
    check_repartition,
    needed_ms,
)
from stream.kafka.topic_plan import topics_of_app
from stream.records import TopicPartition


def check_start(
    admin: Admin,
    settings: KafkaSettings,
    inputs: InputTopics,
    names: TopicNames,
    snapshot_interval_ms: int,
    event_topic: str = "",
) -> list[Checked]:
    """Compare topics, brokers and clocks with what the protocol needs; topics that are not there are left out.

    Args:
        admin: asks the brokers.
        settings: of the worker.
        inputs: what its tasks read.
        names: of the topics that it writes.
        snapshot_interval_ms: between two snapshots of a task.
        event_topic: of the app, where its tasks are a stage's that reads another one: all stages have its partitions.

    Raises:
        RetriableError: no broker answers.
        ConfigError: a topic may not be described.
    """
    specs = topics_of_app(
        names,
        1,
        keeps_snapshots=bool(inputs.snapshots),
        repartition=inputs.repartition,
        horizon_ms=inputs.horizon_ms,
    )
    states = _there(admin.describe([*filter(None, [event_topic]), *inputs.sources, *(spec.name for spec in specs)]))
    found: list[Checked] = []
    for name in inputs.sources:
        if name in states and name not in inputs.repartition:
            found += check_input(states[name], snapshot_interval_ms)
            found += _check_kept_bytes(admin, states[name], snapshot_interval_ms)
    for spec in specs:
        if spec.name in states:
            check = check_repartition if spec.name in inputs.repartition else check_owned
            found += check(spec, states[spec.name], settings.max_message_bytes)
    of_tasks = [event_topic, *inputs.sources, inputs.journal, inputs.snapshots, inputs.features, names.predictions]
    found += check_partition_counts({name: states[name].partitions for name in of_tasks if name in states})
    found += check_broker(admin.broker_settings(), settings)
    if inputs.journal in states:
        found += _check_clock(admin, states[inputs.journal])
    return found


def refusals(found: Iterable[Checked]) -> list[str]:
    """Why a worker does not start."""
    return [each.text for each in found if each.verdict is Verdict.REFUSED]


def _there(states: Mapping[str, TopicState | None]) -> dict[str, TopicState]:
    return {name: state for name, state in states.items() if state is not None}


def _check_kept_bytes(admin: Admin, state: TopicState, snapshot_interval_ms: int) -> list[Checked]:
    """Where bytes bound what is kept, only the log itself shows for how long that is."""
    if int(state.config.get("retention.bytes", "-1") or -1) < 0:
        return []
    sources = _partitions(state)
    since_ms = int(time.time() * 1000) - needed_ms(snapshot_interval_ms)
    return check_kept_bytes(
        state, admin.log_starts(sources), admin.first_since(sources, since_ms), snapshot_interval_ms
    )


def _check_clock(admin: Admin, journal: TopicState) -> list[Checked]:
    newest = admin.newest_times_ms(_partitions(journal))
    return check_clock(journal.name, max(newest.values(), default=-1), int(time.time() * 1000))


def _partitions(state: TopicState) -> list[TopicPartition]:
    return [TopicPartition(state.name, number) for number in range(state.partitions)]
