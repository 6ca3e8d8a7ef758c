"""Labels on their way back to a stage whose features count them by another key than the stream's (rule 34)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream import avro
from stream.engine.effects import OutputBatch
from stream.engine.plan import SentBack
from stream.features import key_hashes
from stream.records import Bools, ColumnBatch, Floats, Ints, RecordBatch, Rejection
from stream.resources import schema_text

_SCHEMA = avro.parse_schema(schema_text("learned-label"))
_HEADER = np.frombuffer(avro.header(avro.Framing.SINGLE_OBJECT, _SCHEMA.fingerprint), np.uint8)


@dataclass(frozen=True, slots=True)
class LearnedLabels:
    """Labels that came back, and records that say they are some and are none."""

    rows: Ints  # (n,): of the batch that was opened
    keys: Ints  # (n,): hashes
    targets: Floats  # (n,)
    rejections: tuple[Rejection, ...]


class LabelsBack:
    """Of the last stage: writes labels for the stages that count them.

    Args:
        to: where they go.
        partition: of the task that learned them.
    """

    def __init__(self, to: Sequence[SentBack], partition: int) -> None:
        self._to = tuple(to)
        self._partition = partition
        self._encoder = avro.Encoder(_SCHEMA, avro.Framing.SINGLE_OBJECT, _SCHEMA.fingerprint)

    def keys(self, columns: ColumnBatch) -> Ints:
        """Hashes (n, stages) of the keys by which labels of these events are counted; 0 is null."""
        found = np.zeros((len(columns), len(self._to)), np.int64)
        for place, to in enumerate(self._to):
            found[:, place] = key_hashes(to.key, columns)
        return found

    def seal(self, keys: Ints, targets: Floats, offsets: Ints, timestamps_ms: Ints) -> tuple[OutputBatch, ...]:
        """Records of labels for each stage that has a key for them.

        Args:
            keys: (n, stages) as `keys` gave them.
            targets: (n,) that were learned.
            offsets: (n,) of the events.
            timestamps_ms: (n,) of the records of the labels.
        """
        known = [np.flatnonzero(keys[:, place]) for place in range(len(self._to))]
        return tuple(
            self._sealed(to.topic, keys[rows, place], targets[rows], offsets[rows], timestamps_ms[rows])
            for place, (to, rows) in enumerate(zip(self._to, known, strict=True))
            if len(rows)
        )

    def _sealed(self, topic: str, keys: Ints, targets: Floats, offsets: Ints, timestamps_ms: Ints) -> OutputBatch:
        count = len(keys)
        partitions = np.full(count, self._partition, np.int64)
        values = {"key": keys, "target": targets, "partition": partitions, "offset": offsets}
        encoded = self._encoder.encode(avro.column_batch(self._encoder.columns, values, {}, count))
        data = np.concatenate([encoded.data, keys.astype(">i8").view(np.uint8)])
        starts = len(encoded.data) + 8 * np.arange(count, dtype=np.int64)
        spans, none = np.stack([starts, starts + 8], axis=1), np.full((count, 2), -1, np.int64)
        return OutputBatch(topic, -1, data, spans, np.ascontiguousarray(encoded.values), none, timestamps_ms)


class LabelReader:
    """Of a stage that counts labels: reads those among the records of its repartition topic."""

    def __init__(self) -> None:
        self._decoder = avro.Decoder(_SCHEMA, None, avro.Framing.SINGLE_OBJECT)
        self._decoder.add_writer(_SCHEMA.fingerprint, _SCHEMA)
        self._columns = {column.name: column for column in self._decoder.columns}

    def are_labels(self, batch: RecordBatch) -> Bools:
        """Which of the records (n,) say that they are labels."""
        starts, ends = batch.values[:, 0], batch.values[:, 1]
        found = (starts >= 0) & (ends - starts >= len(_HEADER))
        heads = batch.data[starts[found, None] + np.arange(len(_HEADER))]
        found[found] = (heads == _HEADER).all(axis=1)
        return found

    def open(self, batch: RecordBatch, rows: Ints) -> LearnedLabels:
        """The labels in these rows of a batch, all of which say that they are some."""
        decoded = self._decoder.decode(batch.chosen(rows))
        cells, columns = decoded.columns.cells, self._columns
        targets = np.ascontiguousarray(cells[:, columns["target"].slot]).view(np.float64)
        keys = np.ascontiguousarray(cells[:, columns["key"].slot])
        rejections = tuple(replace(each, row=int(rows[each.row])) for each in decoded.rejections)
        return LearnedLabels(rows[decoded.columns.rows], keys, targets, rejections)
