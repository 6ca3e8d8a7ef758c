"""Predictions become records."""

from collections.abc import Sequence

import numpy as np
import orjson

from stream.avro.readonly import readonly
from stream.engine import prediction_kernel as cells
from stream.engine.admission import LARGEST_NAME_BYTES
from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small, text_bytes, varint_bytes
from stream.models import Scored, TaskKind
from stream.records import ColumnBatch, Floats, Ints, Kind, RecordBatch

_NULL, _SECOND = varint_bytes(0), varint_bytes(1)  # branches of ["null", X]
_SPARE = bytes(cells.SPARE_BYTES)
# Room that is made at first for the id and the key of an event.
_FIRST_BYTES_A_ROW = 64
# A time as long as any in Avro.
_LATEST_MS = (1 << 63) - 1
# The longest escape of a byte in JSON, \u0001; all names of a prediction's fields; those of a score or a contribution.
_ESCAPE_BYTES, _JSON_BYTES, _JSON_SCORE_BYTES, _CONTRIBUTIONS = 6, 400, 40, 3


class PredictionEncoder:
    """Encodes the predictions of one task.

    Args:
        plan: whose predictions.
        topic: where they go.
        header: what stands before each record: wire format and schema id; None writes JSON instead.
        partition: of the events.
    """

    def __init__(self, plan: Plan, topic: str, header: bytes | None, partition: int) -> None:
        self._plan = plan
        self._topic = topic
        self._header = header or b""
        self._is_json = header is None
        self._partition = partition
        self._per_model = plan.problem.scores
        self._scores = self._per_model * len(plan.models)
        self._decisions = _decisions(plan)
        self._layout = self._layout_cells()
        self._largest_pieces = 0

    @property
    def largest_bytes(self) -> int:
        """More than key and value of any prediction take, as its event was admitted."""
        self._pieces(_LATEST_MS)
        fixed = cells.FIXED_BYTES + self._largest_pieces + 8 * self._scores
        if not self._is_json:
            return fixed + 2 * LARGEST_NAME_BYTES
        escaped = _ESCAPE_BYTES * (fixed + LARGEST_NAME_BYTES) + LARGEST_NAME_BYTES
        return escaped + _JSON_BYTES + _JSON_SCORE_BYTES * (self._scores + _CONTRIBUTIONS)

    def encode(
        self, batch: RecordBatch, columns: ColumnBatch, times_ms: Ints, scored: Sequence[Scored], now_ms: int
    ) -> OutputBatch:
        """One record per event, under the event's own key, at `now_ms`."""
        scores = np.ascontiguousarray(np.concatenate([model.scores for model in scored], axis=1))
        deciding = scored[self._plan.decision.model]
        events = cells.Events(
            readonly(columns.data),
            readonly(columns.cells),
            readonly(columns.present),
            readonly(columns.rows),
            readonly(batch.offsets),
            readonly(batch.keys),
            readonly(times_ms),
        )
        said = cells.Said(scores, self._decide(deciding.scores), deciding.top_features, deciding.top_contributions)
        written, length = self._written(events, said, self._pieces(now_ms))
        encoded = OutputBatch(
            self._topic,
            -1,
            written.data[:length],
            written.keys,
            written.values,
            np.full((len(columns), 2), -1, np.int64),
            np.full(len(columns), now_ms, np.int64),
        )
        return _as_json(encoded) if self._is_json else encoded

    def _written(self, events: cells.Events, said: cells.Said, pieces: cells.Pieces) -> tuple[cells.Written, int]:
        """Write all rows, with more room as often as there is too little."""
        count = len(events.rows)
        row_bytes = cells.FIXED_BYTES + cells.SPARE_BYTES + self._largest_pieces + 8 * said.scores.shape[1]
        out = cells.Written(
            np.empty((count + 1) * (row_bytes + _FIRST_BYTES_A_ROW), np.uint8),
            np.empty((count, 2), np.int64),
            np.empty((count, 2), np.int64),
        )
        row, length = cells.write_predictions(events, said, pieces, row_bytes, out, 0, 0)
        while row < count:
            out = out._replace(data=np.concatenate([out.data, np.empty_like(out.data)]))
            row, length = cells.write_predictions(events, said, pieces, row_bytes, out, row, length)
        return out, length

    def _decide(self, scores: Floats) -> Ints:
        """Number of each row's decision, of the deciding model's scores; UNDECIDED where one is NaN."""
        decisions: Ints
        if self._plan.problem.kind is TaskKind.MULTICLASS:
            decisions = np.argmax(scores, axis=1)
        elif self._plan.problem.kind is TaskKind.REGRESSION:
            decisions = np.zeros(len(scores), np.int64)
        else:
            decisions = (scores[:, 0] >= self._plan.decision.threshold).astype(np.int64)
        decisions[np.isnan(scores).any(axis=1)] = cells.UNDECIDED
        return decisions

    def _pieces(self, now_ms: int) -> cells.Pieces:
        """All pieces in one buffer."""
        plan = self._plan
        deciding = plan.models[plan.decision.model]
        has_threshold = plan.problem.kind in (TaskKind.BINARY, TaskKind.ANOMALY)
        threshold = _SECOND + np.float64(plan.decision.threshold).tobytes() if has_threshold else _NULL
        labels = plan.problem.classes if plan.problem.kind is TaskKind.MULTICLASS else (None,)
        names = [text_bytes(model.name) + _optional(label) for model in plan.models for label in labels]
        layout = plan.features.layout
        inputs = [*layout.dense, *(group.name for group in layout.sparse)]
        pieces = [
            self._header + text_bytes(plan.events.topic) + varint_bytes(self._partition),
            text_bytes(deciding.name) + text_bytes(deciding.digest[:16]),
            varint_bytes(now_ms),
            *(_optional(decision) + threshold + varint_bytes(len(names)) for decision in (None, *self._decisions)),
            *names,
            *map(text_bytes, inputs),
        ]
        lengths = [len(piece) for piece in pieces]
        self._largest_pieces = sum(lengths) + 3 * max(lengths)
        ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return cells.Pieces(readonly(np.frombuffer(b"".join(pieces) + _SPARE, np.uint8)), ends, self._layout)

    def _layout_cells(self) -> Ints:
        column = self._plan.events.event_id
        id_cells = [cells.NO_ID, 0, 0]
        if column is not None:
            is_text = column.kind in (Kind.STRING, Kind.BYTES)
            id_cells = [cells.TEXT_ID if is_text else cells.INTEGER_ID, column.index, column.slot]
        step = 1 if self._plan.problem.kind is TaskKind.MULTICLASS else 0
        first = self._plan.decision.model * self._per_model
        return np.array([*id_cells, len(self._decisions), first, step], np.int64)


def _decisions(plan: Plan) -> tuple[str | None, ...]:
    if plan.problem.kind is TaskKind.MULTICLASS:
        return plan.problem.classes
    return (None,) if plan.problem.kind is TaskKind.REGRESSION else ("false", "true")


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _SECOND + text_bytes(text)


def _as_json(encoded: OutputBatch) -> OutputBatch:
    """The same predictions as JSON; made from the Avro, so that both say the same.

    Of a key each byte becomes the character of that number, as Avro's JSON encoding writes bytes and as JSON events are
    read: ASCII keys are themselves, and no key loses a byte.
    """
    records = []
    for row in range(len(encoded)):
        start, end = encoded.values[row]
        prediction = decode_small("prediction", encoded.data[start:end].tobytes())
        if prediction["key"] is not None:
            prediction["key"] = prediction["key"].decode("latin-1")
        key_start, key_end = encoded.keys[row]
        key = None if key_start < 0 else encoded.data[key_start:key_end].tobytes()
        records.append(EncodedRecord(key, orjson.dumps(prediction), None, int(encoded.timestamps_ms[row])))
    return output_batch(encoded.topic, encoded.partition, records)
