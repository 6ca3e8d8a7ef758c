"""Labels of a topic that is keyed otherwise than the events: put where their events are (rule 19)."""

import numpy as np

from stream.engine.effects import OutputBatch, Outputs
from stream.engine.forwarding import Forwarding
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.records import Column, ColumnBatch, Ints, Kind, RecordBatch, Rejection, RejectReason

_SEPARATOR = b"|"  # between the parts of a composite key, as in events' keys


class LabelRelay(Forwarding):
    """Sends labels on as they came, under the key of their event: Java's partitioner puts both into one partition.

    Args:
        plan: of the stage; what it calls events are labels.
        partition: of the task.
        format: where outputs go and in which format.
    """

    def __init__(self, plan: Plan, partition: int, format: OutputFormat) -> None:
        super().__init__(plan, partition, format)
        assert plan.leaves is not None
        self._topic, self._key = plan.leaves.topic, plan.leaves.key

    def process(self, batch: RecordBatch, now_ms: int, emit_from_ms: int | None) -> Outputs:
        """Send on the labels of the records up to the first whose writer's schema is unknown."""
        accepted = self._upstream.take(batch, self.state, now_ms)
        columns = accepted.columns
        self._counts.events += len(columns)
        told = self._told(accepted, now_ms)
        has_key = columns.present[:, [column.index for column in self._key]].all(axis=1)
        if not has_key.all():
            names = ", ".join(column.name for column in self._key)
            keyless = [
                Rejection(int(row), RejectReason.NULL_KEY, names, "the key of the label's event", "null")
                for row in columns.rows[~has_key]
            ]
            told.append(self._letters(accepted.batch, keyless, now_ms))
        on = () if self.is_replaying else self._keyed(accepted.batch, columns, np.flatnonzero(has_key))
        return Outputs((), tuple(told), accepted.taken, accepted.needs, on)

    def _keyed(self, batch: RecordBatch, columns: ColumnBatch, rows: Ints) -> tuple[OutputBatch, ...]:
        """The labels in these rows of columns, under their keys."""
        if not len(rows):
            return ()
        keys = [_SEPARATOR.join(_text(column, columns, row) for column in self._key) for row in rows.tolist()]
        ends = len(batch.data) + np.cumsum([len(key) for key in keys])
        spans = np.stack([ends - [len(key) for key in keys], ends], axis=1)
        sent = batch.chosen(columns.rows[rows])
        data = np.concatenate([batch.data, np.frombuffer(b"".join(keys), np.uint8)])
        return (OutputBatch(self._topic, -1, data, spans, sent.values, sent.headers, sent.timestamps_ms),)


def _text(column: Column, columns: ColumnBatch, row: int) -> bytes:
    """A part of a key as it stands in the key of an event (`key_encoding="utf8"`)."""
    cell = int(columns.cells[row, column.slot])
    if column.kind is Kind.LONG:
        return str(cell).encode()
    return columns.data[cell : int(columns.cells[row, column.slot + 1])].tobytes()
