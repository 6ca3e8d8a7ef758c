"""Events on their way between stages (rule 34): each as it was fetched, where it came from, and what it gathered."""

from dataclasses import dataclass

import numpy as np

from stream import avro
from stream.engine.effects import OutputBatch
from stream.engine.plan import Hop
from stream.records import Bools, Column, ColumnBatch, Floats, Ints, RecordBatch, Rejection, RejectReason
from stream.resources import schema_text

_SCHEMA = avro.parse_schema(schema_text("repartition"))
_NO_HEADERS = (-1, -1)


@dataclass(frozen=True, slots=True)
class Travellers:
    """Events between two stages, row after row."""

    batch: RecordBatch  # as fetched from the event topic; its `partition` holds for none: see `partitions`
    partitions: Ints  # (n,): of the event topic
    sequences: Ints  # (n,): accepted events of that partition before this one
    features: Floats  # (n, f): of the stages so far; NaN is missing

    def __len__(self) -> int:
        return len(self.sequences)


@dataclass(frozen=True, slots=True)
class Opened:
    """What arrived, and the records that are no envelopes: somebody else wrote them."""

    travellers: Travellers
    rows: Ints  # (n,): of each traveller in the batch that was opened
    rejections: tuple[Rejection, ...]


class Opener:
    """Reads the records of a repartition topic.

    Args:
        event_topic: that the events are of.
        hop: where they arrive.
    """

    def __init__(self, event_topic: str, hop: Hop) -> None:
        self._event_topic = event_topic
        self._hop = hop
        self._decoder = avro.Decoder(_SCHEMA, None, avro.Framing.SINGLE_OBJECT)
        self._decoder.add_writer(_SCHEMA.fingerprint, _SCHEMA)
        self._columns = {column.name: column for column in self._decoder.columns}

    def open(self, batch: RecordBatch) -> Opened:
        """The events in these records. Features of another layout, as behind an upgrade, are missing."""
        decoded = self._decoded(batch)
        columns = decoded.columns
        arrived = RecordBatch(
            topic=self._event_topic,
            partition=batch.partition,
            data=columns.data,
            keys=self._spans(columns, "key"),
            values=self._spans(columns, "value"),
            offsets=self._numbers(columns, "offset"),
            timestamps_ms=self._numbers(columns, "timestamp"),
            headers=self._spans(columns, "headers"),
        )
        travellers = Travellers(
            arrived, self._numbers(columns, "partition"), self._numbers(columns, "sequence"), self._features(columns)
        )
        return Opened(travellers, columns.rows, decoded.rejections)

    def _decoded(self, batch: RecordBatch) -> avro.Decoded:
        """All records: those of a schema that this release does not know are rejected one by one."""
        decoded, unknown = self._decoder.decode(batch), []
        while decoded.needs is not None:
            unknown.append(decoded.needs)
            message = "a record that no stage of this release wrote"
            self._decoder.refuse(decoded.needs, RejectReason.UNKNOWN_SCHEMA, message)
            decoded = self._decoder.decode(batch)
        for schema_id in unknown:
            self._decoder.forget(schema_id)
        return decoded

    def _numbers(self, columns: ColumnBatch, name: str) -> Ints:
        return np.ascontiguousarray(columns.cells[:, self._columns[name].slot])

    def _spans(self, columns: ColumnBatch, name: str) -> Ints:
        column: Column = self._columns[name]
        spans = columns.cells[:, column.slot : column.slot + 2]
        return np.where(columns.present[:, column.index, None], spans, -1)

    def _features(self, columns: ColumnBatch) -> Floats:
        bounds = self._spans(columns, "features")
        is_known = self._numbers(columns, "layout") == self._hop.layout
        is_known &= bounds[:, 1] - bounds[:, 0] == self._hop.features
        features = np.full((len(columns), self._hop.features), np.nan)
        items = columns.items["features"][:, 0].copy().view(np.float64)
        places = bounds[is_known, 0, None] + np.arange(self._hop.features)
        features[is_known] = items[places]
        return features


class Sealer:
    """Writes the records of a repartition topic.

    Args:
        hop: where they go.
    """

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self._encoder = avro.Encoder(_SCHEMA, avro.Framing.SINGLE_OBJECT, _SCHEMA.fingerprint)

    def seal(self, travellers: Travellers, keys: Ints, has_key: Bools) -> tuple[OutputBatch, ...]:
        """One record for each event, with the event's timestamp.

        Args:
            travellers: the events.
            keys: (n,) hashes of the columns that the topic is keyed by; not looked at where it is by partition.
            has_key: (n,) whether none of those is null; records without a key lie anywhere.
        """
        if not len(travellers):
            return ()
        encoded = self._encoder.encode(self._columns(travellers))
        count, base = len(travellers), len(encoded.data)
        data = np.concatenate([encoded.data, keys.astype(">i8").view(np.uint8)])
        starts = base + 8 * np.arange(count, dtype=np.int64)
        spans = np.where(has_key[:, None], np.stack([starts, starts + 8], axis=1), -1)
        if self._hop.key:
            places = [(-1, np.arange(count))]
        else:
            numbers = np.unique(travellers.partitions)
            places = [(int(number), np.flatnonzero(travellers.partitions == number)) for number in numbers]
        return tuple(
            OutputBatch(
                self._hop.topic,
                partition,
                data,
                np.ascontiguousarray(spans[rows]),
                np.ascontiguousarray(encoded.values[rows]),
                np.full((len(rows), 2), _NO_HEADERS, np.int64),
                travellers.batch.timestamps_ms[rows],
            )
            for partition, rows in places
        )

    def _columns(self, travellers: Travellers) -> ColumnBatch:
        batch, count = travellers.batch, len(travellers)
        width = travellers.features.shape[1]
        return avro.column_batch(
            self._encoder.columns,
            {
                "partition": travellers.partitions,
                "offset": batch.offsets,
                "sequence": travellers.sequences,
                "timestamp": batch.timestamps_ms,
                "key": avro.Texts(batch.data, batch.keys),
                "value": avro.Texts(batch.data, batch.values),
                "headers": avro.Texts(batch.data, batch.headers),
                "layout": np.full(count, self._hop.layout, np.int64),
                "features": avro.Lists(np.full(count, width, np.int64), travellers.features.reshape(-1)),
            },
            {"key": batch.keys[:, 0] >= 0, "headers": batch.headers[:, 0] >= 0},
            count,
        )
