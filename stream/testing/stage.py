"""One stage of an app on a simulated broker: its group, and what is remembered of its tasks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stream.config import TopicNames
from stream.engine import journal
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import RowsFetched, TaskFound, TopicIdentity
from stream.engine.restore import committed_cycles
from stream.engine.snapshot import Checkpoint
from stream.records import TopicPartition
from stream.testing.broker import SimulatedBroker
from stream.testing.group import SimulatedGroup

_KEPT_SNAPSHOTS = 2


class SimulatedStage:
    """Outlives all workers, as the broker does. To Kafka each stage is an app of its own.

    Args:
        broker: where its topics lie.
        plan: of the stage, or of an app that has one.
        session_ms: how long a member of its group may be without a heartbeat.
    """

    def __init__(self, broker: SimulatedBroker, plan: Plan, session_ms: int) -> None:
        self.broker = broker
        self.plan = plan
        self.inputs = (plan.input_topic, *([plan.labels.topic] if plan.labels else []))
        own = TopicNames.of(plan.name)
        topics = replace(TopicNames.of(plan.app), journal=own.journal, snapshots=own.snapshots)
        self.format = OutputFormat(topics, b"\0\0\0\0\x01", b"\0\0\0\0\x02")
        self.journal = own.journal
        self.group = SimulatedGroup(broker.partitions, session_ms)
        self.checkpoints: dict[int, list[Checkpoint]] = defaultdict(list)  # in two slots, in no order
        self.damaged: dict[int, set[str]] = defaultdict(set)  # digests of snapshots that cannot be read
        self._journal_begins: dict[int, int] = defaultdict(int)

    @property
    def name(self) -> str:
        """Of the stage; "" for the last."""
        return self.plan.stage

    def sources(self, partition: int) -> tuple[TopicPartition, ...]:
        """The input partitions of a task, the events' first."""
        return tuple(TopicPartition(topic, partition) for topic in self.inputs)

    def find(self, partition: int, without: Mapping[str, str]) -> TaskFound | None:
        """What is remembered of a task, but for snapshots of these digests; None while it is not stable, or not both of
        offsets and journal to be read.
        """
        sources = self.sources(partition)
        committed = self.broker.committed(sources)
        if committed is None:
            return None
        log = self.broker.logs[TopicPartition(self.journal, partition)]
        begin = self._journal_begins[partition]
        records = [record.value for _, record in log.committed(begin) if record.value is not None]
        if not (cycles := committed_cycles(committed)):
            if log.has_open_transaction:
                return None
        elif not records or _cycle_of(records[-1]) not in cycles:
            return None
        kept, damaged = self.checkpoints[partition], self.damaged[partition]
        by_cycle = sorted(kept, key=lambda each: each.cycle)
        return TaskFound(
            partition=partition,
            committed=committed,
            journal=tuple(records),
            checkpoints=tuple(each for each in reversed(by_cycle) if each.digest not in damaged | without.keys()),
            damaged=(
                *without.values(),
                *(f"cycle {each.cycle} is damaged" for each in kept if each.digest in damaged),
            ),
            beginnings=dict.fromkeys(sources, 0),
            ends={source: self.broker.logs[source].end for source in sources},
            topics={topic: TopicIdentity(f"id of {topic}", self.broker.partitions) for topic in self.inputs},
        )

    def rows(self, partition: int, names: Iterable[int]) -> RowsFetched | None:
        """Segments of feature rows (rule 36); None while one of them is not to be read yet."""
        log = self.broker.logs[TopicPartition(self.format.topics.features, partition)]
        found = {int(record.key or b""): record.value for _, record in log.committed()}
        return RowsFetched(partition, {name: found[name] for name in names}) if found.keys() >= set(names) else None

    def publish(self, checkpoint: Checkpoint, seen: Sequence[Checkpoint]) -> None:
        """Write a snapshot over the older of those that its writer has seen, whatever stands there by now."""
        kept = self.checkpoints[checkpoint.partition]
        if len(seen) < _KEPT_SNAPSHOTS:
            kept[len(seen) :] = [checkpoint]
        else:
            kept[min(range(len(seen)), key=lambda slot: seen[slot].cycle)] = checkpoint

    def journal_end(self, partition: int) -> int:
        """Where a task's journal ends now."""
        return self.broker.logs[TopicPartition(self.journal, partition)].end

    def journal_begin(self, partition: int) -> int:
        """Where a task's journal begins, since it was trimmed."""
        return self._journal_begins[partition]

    def trim_journal(self, partition: int, end: int) -> None:
        """No task finds what lies before `end` any more; whoever checks a run still reads it."""
        self._journal_begins[partition] = max(end, self._journal_begins[partition])


def _cycle_of(value: bytes) -> tuple[int, str]:
    record = journal.decode(value)
    return record.cycle, record.digest
