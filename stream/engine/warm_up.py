"""Run every kernel of a plan once, so that compilation is over before a worker joins its group."""

from dataclasses import replace

import numpy as np
import orjson

from stream import avro
from stream.avro.schema import Array, EnumType, Fixed, Map, Primitive, Record, Type, Union
from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.envelope import Sealer, Travellers
from stream.engine.learned_labels import LabelsBack
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Hop, Plan, SentBack
from stream.engine.protocol import RowsFetched, SchemaFetched, TopicIdentity
from stream.engine.row_segments import Sealed
from stream.engine.task import Task
from stream.records import RecordBatch

_ZEROS: dict[str, object] = {
    "null": None,
    "boolean": False,
    "int": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "bytes": b"",
    "string": "",
}
_SCHEMA_ID = 1


def warm_up(plan: Plan, format: OutputFormat) -> None:
    """Put events and labels of zeros through a task that is thrown away, and restore it from its own checkpoint.

    Compiles what the cache does not have, so that nothing is left to compile once records come. Where rows spill, so do
    those of the events.
    """
    task = Task(plan, 0, 0, format)
    # As many partitions as make a worker look where keys belong (rule 19).
    task.topics = {plan.input_topic: TopicIdentity("", 2)}
    task.end_replay()
    streams = [(plan.events.topic, plan.events.schema, plan.events.framing)]
    if plan.labels is not None:
        streams.append((plan.labels.topic, plan.labels.schema, plan.labels.framing))
    spilled: list[Sealed] = []
    for topic, schema, framing in streams:
        batch = _batch(topic, _record(schema, framing))
        if plan.arrives is not None and topic == plan.events.topic:
            batch = _between_stages(plan.arrives, batch)
        given = task.process(batch, 0)
        if given.needs_schema is not None:
            task.answer_schema(SchemaFetched(_SCHEMA_ID, schema.text))
            given = task.process(batch, 0)
        if given.needs_rows:
            task.answer_rows(RowsFetched(0, {each.name: each.content for each in spilled}))
            task.process(batch, 0)
        labels = task.state.labels
        if plan.labels is not None and plan.labels.spilled_bytes and not spilled and labels and labels.waiting:
            spilled = labels.seal(0)
    if plan.counts_labels:
        task.process(_label_that_came_back(plan), 0)
    task.close_cycle()
    task.load(task.checkpoint(0))


def _record(schema: avro.Schema, framing: avro.Framing) -> bytes:
    zero = _zero(schema.type)
    if framing is avro.Framing.JSON:
        return orjson.dumps(zero, default=lambda value: value.decode())
    schema_id = schema.fingerprint if framing is avro.Framing.SINGLE_OBJECT else _SCHEMA_ID
    return avro.header(framing, schema_id) + avro.encode_one(schema, zero)


def _batch(topic: str, value: bytes) -> RecordBatch:
    return _fetched(output_batch(topic, 0, [EncodedRecord(b"", value, None, 0)] * 2))


def _between_stages(hop: Hop, batch: RecordBatch) -> RecordBatch:
    """The events as another stage sends them on."""
    count = len(batch)
    features = np.zeros((count, hop.features))
    (sent,) = Sealer(replace(hop, key=())).seal(
        Travellers(batch, np.zeros(count, np.int64), np.arange(count), features),
        np.zeros(count, np.int64),
        np.zeros(count, np.bool_),
    )
    return _fetched(sent)


def _label_that_came_back(plan: Plan) -> RecordBatch:
    """As the last stage sends it."""
    nothing, to = np.zeros(1, np.int64), SentBack(plan.input_topic, plan.features.columns[0])
    (sent,) = LabelsBack([to], 0).seal(np.ones((1, 1), np.int64), np.ones(1), nothing, nothing)
    return _fetched(sent)


def _fetched(sent: OutputBatch) -> RecordBatch:
    """Records that were sent, as a task gets them."""
    offsets = np.arange(len(sent))
    return RecordBatch(sent.topic, 0, sent.data, sent.keys, sent.values, offsets, sent.timestamps_ms, sent.headers)


def _zero(of: Type) -> object:
    """A value of the type, as empty as it can be; the first branch that is not null of a union, so that keys exist."""
    match of:
        case Primitive():
            return _ZEROS[of.type]
        case Fixed():
            return b"\0" * of.size
        case EnumType():
            return of.symbols[0]
        case Array():
            return []
        case Map():
            return {}
        case Union():
            return _zero(next((branch for branch in of.branches if not _is_null(branch)), of.branches[0]))
        case Record():
            return {field.name: _zero(field.type) for field in of.fields}


def _is_null(of: Type) -> bool:
    return (isinstance(of, Primitive) and of.type == "null") or isinstance(of, Record)
