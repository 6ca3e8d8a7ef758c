"""What must hold after a simulation, whatever went wrong: nothing lost, nothing twice, state bit for bit."""

from collections import Counter
from collections.abc import Iterable, Iterator

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

# Confluent's wire format: a zero and the schema id.
_HEADER_BYTES = 5


def check(run: Simulation) -> None:
    """Compare what is committed with a run of the engine over the same journal that never failed.

    Raises:
        SimulationFailed: a record is lost or handled twice, an output is missing, repeated or different, or a living
            task's state is not that of its journal.
    """
    expected: Counter[tuple[str, Stored]] = Counter()
    for partition in range(run.broker.partitions):
        cycles = _journal(run, partition)
        _check_every_record_is_handled_once(run, partition, cycles)
        task, outputs = _replay(run, partition, cycles)
        if run.tasks[partition].state.digest() != task.state.digest():
            raise _failed(run, f"the state of partition {partition} is not that of its journal")
        expected.update(outputs)
    _check_outputs(run, expected)


def _check_outputs(run: Simulation, expected: Counter[tuple[str, Stored]]) -> None:
    """What is committed is what the journal gives; predictions that left at once may stand there more than once."""
    topics = run.format.topics
    found = Counter(
        (source.topic, record)
        for source, log in run.broker.logs.items()
        if source.topic in (topics.predictions, topics.alerts, topics.dead_letters, topics.features)
        for _, record in log.committed()
    )
    surplus = found - expected
    if run.is_immediate:
        known = {_id_of(record) for topic, record in expected if topic == topics.predictions}
        # Scored, crashed, and rejected the second time: the registry's answer was not in the journal yet.
        known |= {_came_from(record) for topic, record in expected if topic == topics.dead_letters}
        repeated = {each for each in surplus if each[0] == topics.predictions and _id_of(each[1]) in known}
        surplus = Counter({each: count for each, count in surplus.items() if each not in repeated})
    for what, outputs in (("missing", expected - found), ("there that no journal gives", surplus)):
        if outputs:
            raise _failed(run, f"{outputs.total()} outputs are {what}, such as one of {next(iter(outputs))[0]}")


def _id_of(record: Stored) -> tuple[int, int]:
    """Partition and offset of the event that a prediction is about."""
    assert record.value is not None
    prediction = decode_small("prediction", record.value[_HEADER_BYTES:])
    return prediction["partition"], prediction["offset"]


def _came_from(letter: Stored) -> tuple[int, int]:
    """Partition and offset of the record that a dead letter is about."""
    headers = dict(unpack(letter.headers or b""))
    return int(headers["stream.partition"] or b""), int(headers["stream.offset"] or b"")


def _failed(run: Simulation, what: str) -> SimulationFailed:
    return SimulationFailed(f"seed {run.seed}: {what}; faults: {'; '.join(run.happened) or 'none'}")


def _journal(run: Simulation, partition: int) -> list[JournalRecord]:
    log = run.broker.logs[TopicPartition(run.broker.journal, partition)]
    cycles = [journal.decode(record.value) for _, record in log.committed() if record.value is not None]
    try:
        journal.check_chain(cycles)
    except TaskCorrupted as error:
        raise _failed(run, f"partition {partition}: {error}") from error
    return cycles


def _check_every_record_is_handled_once(run: Simulation, partition: int, cycles: Iterable[JournalRecord]) -> None:
    """The ranges of the journal are, one behind the other, all committed records of each input partition."""
    for topic in run.broker.inputs:
        source = TopicPartition(topic, partition)
        delivered = [offset for offset, _ in run.broker.logs[source].committed()]
        at = 0
        for taken in (item for cycle in cycles for item in cycle.ranges if item.source == source):
            expected = delivered[at : at + taken.count]
            if not expected or (expected[0], expected[-1]) != (taken.first, taken.last):
                raise _failed(run, f"{topic}[{partition}]: records {taken.first} to {taken.last} were out of turn")
            at += taken.count
        if at < len(delivered):
            raise _failed(run, f"{topic}[{partition}]: records from offset {delivered[at]} on were never handled")


def _replay(run: Simulation, partition: int, cycles: Iterable[JournalRecord]) -> tuple[Task, list[tuple[str, Stored]]]:
    """A task that was never interrupted, and all that it puts out."""
    task = Task(run.plan, partition, 1, run.format)
    outputs: list[tuple[str, Stored]] = []
    for cycle in cycles:
        for place, taken in enumerate(cycle.ranges):
            task.repeat_answers(cycle, place)
            for records in _alike(run.broker.read(taken.source, taken.first, taken.count), cycle):
                for given in _processed(run, task, records, taken.now_ms):
                    batches = given.rows
                    if cycle.backfill is None or records.timestamps_ms[0] >= cycle.backfill.emit_from_ms:
                        batches = (*given.rows, *given.predictions, *given.transactional)
                    outputs += [(batch.topic, record) for batch in batches for record in stored_records(batch)]
        task.repeat_answers(cycle, len(cycle.ranges))
        task.close_replayed(cycle)
    return task, outputs


def _processed(run: Simulation, task: Task, records: RecordBatch, now_ms: int) -> Iterator[Outputs]:
    """What a task makes of records, with the feature rows that their labels want."""
    while len(records):
        given = task.process(records, now_ms)
        if given.needs_schema is not None:
            raise _failed(run, f"partition {task.partition}: the journal lacks the schema {given.needs_schema}")
        if given.needs_rows:
            rows = run.broker.rows(task.partition, given.needs_rows)
            if rows is None:
                raise _failed(run, f"partition {task.partition}: feature rows of labels are missing")
            task.repeat_rows(rows)
        records = records.part(given.taken, len(records))
        yield given


def _alike(batch: RecordBatch, cycle: JournalRecord) -> list[RecordBatch]:
    """One by one in a backfill, which writes the outputs of some records alone; whole otherwise."""
    return [batch] if cycle.backfill is None else [batch.part(row, row + 1) for row in range(len(batch))]
