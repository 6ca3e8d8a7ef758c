"""What must hold after a simulation, whatever went wrong: nothing lost, nothing twice, state bit for bit."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from stream.engine import journal
from stream.engine.effects import Outputs
from stream.engine.journal import JournalRecord
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.errors import TaskCorrupted
from stream.headers import unpack
from stream.records import RecordBatch, TopicPartition
from stream.testing.partition_log import Stored, stored_records
from stream.testing.simulation import Simulation, SimulationFailed
from stream.testing.stage import SimulatedStage

# Confluent's wire format: a zero and the schema id.
_HEADER_BYTES = 5


def check(run: Simulation) -> None:
    """Compare what is committed with a run of the engine over the same journals that never failed, stage by stage.

    Raises:
        SimulationFailed: a record is lost or handled twice, an output is missing, repeated, different or out of order,
            or a living task's state is not that of its journal.
    """
    expected: Counter[tuple[str, Stored]] = Counter()
    emit_from_ms: dict[int, int] = {}
    for stage in run.stages:
        tasks = run.tasks_of(stage.name)
        for partition in range(run.broker.partitions):
            cycles = _journal(run, stage, partition)
            _check_every_record_is_handled_once(run, stage, partition, cycles)
            task, outputs = _replay(run, stage, partition, cycles)
            if tasks[partition].state.digest() != task.state.digest():
                raise _failed(run, f"the state of partition {partition}{_of(stage)} is not that of its journal")
            expected.update(outputs)
            if cycles and (backfill := cycles[0].backfill):
                emit_from_ms[partition] = backfill.emit_from_ms
    _check_outputs(run, expected)
    _check_every_event_is_told_once(run, expected, emit_from_ms)
    if not run.is_immediate:
        _check_predictions_are_in_order(run)


def _check_outputs(run: Simulation, expected: Counter[tuple[str, Stored]]) -> None:
    """What is committed is what the journals give; predictions that left at once may stand there more than once."""
    topics = run.stages[-1].format.topics
    between = [stage.plan.leaves.topic for stage in run.stages if stage.plan.leaves]
    found = Counter(
        (source.topic, record)
        for source, log in run.broker.logs.items()
        if source.topic in (topics.predictions, topics.alerts, topics.dead_letters, topics.features, *between)
        for _, record in log.committed()
    )
    surplus = found - expected
    if run.is_immediate:
        known = {_id_of(record) for topic, record in expected if topic == topics.predictions}
        # Scored, crashed, and rejected the second time: the registry's answer was not in the journal yet.
        known |= {_came_from(record)[1:] for topic, record in expected if topic == topics.dead_letters}
        repeated = {each for each in surplus if each[0] == topics.predictions and _id_of(each[1]) in known}
        surplus = Counter({each: count for each, count in surplus.items() if each not in repeated})
    for what, outputs in (("missing", expected - found), ("there that no journal gives", surplus)):
        if outputs:
            raise _failed(run, f"{outputs.total()} outputs are {what}, such as one of {next(iter(outputs))[0]}")


def _check_every_event_is_told_once(
    run: Simulation, expected: Counter[tuple[str, Stored]], emit_from_ms: Mapping[int, int]
) -> None:
    """Whatever the journals give: each event has one prediction, or one dead letter, of whichever stage."""
    topics, event_topic = run.stages[-1].format.topics, run.stages[-1].plan.events.topic
    told: Counter[tuple[int, int]] = Counter()
    for (topic, record), count in expected.items():
        if topic == topics.predictions:
            told[_id_of(record)] += count
        elif topic == topics.dead_letters and _came_from(record)[0] == event_topic:
            told[_came_from(record)[1:]] += count
    events = Counter(
        (partition, offset)
        for partition in range(run.broker.partitions)
        for offset, record in run.broker.logs[TopicPartition(event_topic, partition)].committed()
        if record.timestamp_ms >= emit_from_ms.get(partition, 0)
    )
    for what, wrong in (("were neither predicted nor rejected", events - told), ("were told twice", told - events)):
        if wrong:
            partition, offset = min(wrong)
            raise _failed(run, f"{wrong.total()} events {what}, the first is {event_topic}[{partition}] {offset}")


def _check_predictions_are_in_order(run: Simulation) -> None:
    """Rule 34: those of each partition's events leave in the order in which the events came."""
    topic, last = run.stages[-1].format.topics.predictions, dict.fromkeys(range(run.broker.partitions), -1)
    for _, record in run.broker.logs[TopicPartition(topic, 0)].committed():
        partition, offset = _id_of(record)
        if offset <= last[partition]:
            raise _failed(run, f"{topic}: event {offset} of partition {partition} is behind event {last[partition]}")
        last[partition] = offset


def _id_of(record: Stored) -> tuple[int, int]:
    """Partition and offset of the event that a prediction is about."""
    assert record.value is not None
    prediction = decode_small("prediction", record.value[_HEADER_BYTES:])
    return prediction["partition"], prediction["offset"]


def _came_from(letter: Stored) -> tuple[str, int, int]:
    """Topic, partition and offset of the record that a dead letter is about."""
    headers = dict(unpack(letter.headers or b""))
    topic = (headers["stream.topic"] or b"").decode()
    return topic, int(headers["stream.partition"] or b""), int(headers["stream.offset"] or b"")


def _failed(run: Simulation, what: str) -> SimulationFailed:
    return SimulationFailed(f"seed {run.seed}: {what}; faults: {'; '.join(run.happened) or 'none'}")


def _of(stage: SimulatedStage) -> str:
    return f" of stage {stage.name}" if stage.name else ""


def _name(source: TopicPartition) -> str:
    return f"{source.topic}[{source.partition}]"


def _journal(run: Simulation, stage: SimulatedStage, partition: int) -> list[JournalRecord]:
    log = run.broker.logs[TopicPartition(stage.journal, partition)]
    cycles = [journal.decode(record.value) for _, record in log.committed() if record.value is not None]
    try:
        journal.check_chain(cycles)
    except TaskCorrupted as error:
        raise _failed(run, f"partition {partition}{_of(stage)}: {error}") from error
    return cycles


def _check_every_record_is_handled_once(
    run: Simulation, stage: SimulatedStage, partition: int, cycles: Iterable[JournalRecord]
) -> None:
    """The ranges of the journal are, one behind the other, all committed records of each input partition."""
    for source in stage.sources(partition):
        delivered = [offset for offset, _ in run.broker.logs[source].committed()]
        at = 0
        for taken in (item for cycle in cycles for item in cycle.ranges if item.source == source):
            expected = delivered[at : at + taken.count]
            if not expected or (expected[0], expected[-1]) != (taken.first, taken.last):
                raise _failed(
                    run, f"{source.topic}[{partition}]: records {taken.first} to {taken.last} were out of turn"
                )
            at += taken.count
        if at < len(delivered):
            raise _failed(
                run, f"{source.topic}[{partition}]: records from offset {delivered[at]} on were never handled"
            )


def _replay(
    run: Simulation, stage: SimulatedStage, partition: int, cycles: Iterable[JournalRecord]
) -> tuple[Task, list[tuple[str, Stored]]]:
    """A task that was never interrupted, and all that it puts out."""
    task = Task(stage.plan, partition, 1, stage.format)
    outputs: list[tuple[str, Stored]] = []
    for cycle in cycles:
        task.backfill = cycle.backfill
        for place, taken in enumerate(cycle.ranges):
            task.repeat_answers(cycle, place)
            for records in _alike(run.broker.read(taken.source, taken.first, taken.count), cycle):
                is_told = cycle.backfill is None or records.timestamps_ms[0] >= cycle.backfill.emit_from_ms
                # Events that come in another order than they are scored in: the engine leaves out what is not told.
                is_told |= task.is_out_of_order(taken.topic)
                for given in _processed(run, stage, task, records, taken.now_ms):
                    told = (*given.predictions, *given.transactional) if is_told else ()
                    batches = (*given.sent_on, *given.rows, *told)
                    outputs += [(batch.topic, record) for batch in batches for record in stored_records(batch)]
        task.repeat_answers(cycle, len(cycle.ranges))
        task.close_replayed(cycle)
    return task, outputs


def _processed(
    run: Simulation, stage: SimulatedStage, task: Task, records: RecordBatch, now_ms: int
) -> Iterator[Outputs]:
    """What a task makes of records, with the feature rows that their labels want."""
    while len(records):
        given = task.process(records, now_ms)
        if given.needs_schema is not None:
            raise _failed(run, f"partition {task.partition}: the journal lacks the schema {given.needs_schema}")
        if given.needs_rows:
            rows = stage.rows(task.partition, given.needs_rows)
            if rows is None:
                raise _failed(run, f"partition {task.partition}: feature rows of labels are missing")
            task.repeat_rows(rows)
        records = records.part(given.taken, len(records))
        yield given


def _alike(batch: RecordBatch, cycle: JournalRecord) -> list[RecordBatch]:
    """One by one in a backfill, which writes the outputs of some records alone; whole otherwise."""
    return [batch] if cycle.backfill is None else [batch.part(row, row + 1) for row in range(len(batch))]
