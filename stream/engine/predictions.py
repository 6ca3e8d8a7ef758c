"""Predictions become records."""

from collections.abc import Sequence

import numpy as np
import orjson

from stream.engine import prediction_kernel as cells
from stream.engine.effects import OutputBatch
from stream.engine.encoded import EncodedRecord, output_batch
from stream.engine.plan import Plan
from stream.engine.small_avro import decode_small, text_bytes, varint_bytes
from stream.models import Scored, TaskKind
from stream.records import Bytes, ColumnBatch, Floats, Ints, Kind, RecordBatch

_NULL, _SECOND = varint_bytes(0), varint_bytes(1)  # branches of ["null", X]


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
        self._decisions = _decisions(plan)
        self._largest_pieces = 0

    def encode(
        self, batch: RecordBatch, columns: ColumnBatch, times_ms: Ints, scored: Sequence[Scored], now_ms: int
    ) -> OutputBatch:
        """One record per event, under the event's own key, at `now_ms`."""
        scores = np.ascontiguousarray(np.concatenate([model.scores for model in scored], axis=1))
        deciding = scored[self._plan.decision.model]
        rows = self._rows(batch, columns, times_ms, scores)
        pieces, ends = self._pieces(now_ms)
        written = _lengths(rows[:, cells.KEY_START], rows[:, cells.KEY_END])
        written += _lengths(rows[:, cells.ID_START], rows[:, cells.ID_END])
        size = len(rows) * (cells.FIXED_BYTES + self._largest_pieces + 8 * scores.shape[1]) + int(written.sum())
        out = np.empty(size, np.uint8)
        length = cells.write_predictions(
            columns.data, rows, scores, deciding.top_features, deciding.top_contributions, pieces, ends, out
        )
        encoded = OutputBatch(
            self._topic,
            -1,
            out[:length],
            np.ascontiguousarray(rows[:, cells.OUT_KEY_START :]),
            np.ascontiguousarray(rows[:, cells.VALUE_START : cells.VALUE_END + 1]),
            np.full((len(rows), 2), -1, np.int64),
            np.full(len(rows), now_ms, np.int64),
        )
        return _as_json(encoded) if self._is_json else encoded

    def _rows(self, batch: RecordBatch, columns: ColumnBatch, times_ms: Ints, scores: Floats) -> Ints:
        rows = np.empty((len(columns), cells.ROW_CELLS), np.int64)
        rows[:, cells.OFFSET] = batch.offsets[columns.rows]
        rows[:, cells.ID_START : cells.ID_END + 1] = cells.NO_ID
        column = self._plan.events.event_id
        if column is not None:
            present = columns.present[:, column.index]
            if column.kind in (Kind.STRING, Kind.BYTES):
                rows[present, cells.ID_START : cells.ID_END + 1] = columns.cells[present, column.slot : column.slot + 2]
            else:
                rows[present, cells.ID_START] = cells.INTEGER_ID
                rows[present, cells.ID_END] = columns.cells[present, column.slot]
        rows[:, cells.KEY_START : cells.KEY_END + 1] = batch.keys[columns.rows]
        rows[:, cells.EVENT_TIME] = times_ms
        self._decide(rows, scores)
        return rows

    def _decide(self, rows: Ints, scores: Floats) -> None:
        """Which decision, and which score stands for it."""
        first = self._plan.decision.model * self._per_model
        rows[:, cells.DECISION], rows[:, cells.SCORE] = 0, first
        if self._plan.problem.kind is TaskKind.MULTICLASS:
            best = np.argmax(np.nan_to_num(scores[:, first : first + self._per_model], nan=-1.0), axis=1)
            rows[:, cells.DECISION], rows[:, cells.SCORE] = best, first + best
        elif self._plan.problem.kind is not TaskKind.REGRESSION:
            rows[:, cells.DECISION] = scores[:, first] >= self._plan.decision.threshold

    def _pieces(self, now_ms: int) -> tuple[Bytes, Ints]:
        """All pieces in one buffer: piece p from ends[1 + p] to ends[2 + p]; ends[0] counts the decisions."""
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
            threshold,
            varint_bytes(now_ms),
            *map(_optional, self._decisions),
            *names,
            *map(text_bytes, inputs),
        ]
        lengths = [len(piece) for piece in pieces]
        self._largest_pieces = sum(lengths) + 3 * max(lengths)
        ends = np.concatenate(([len(self._decisions), 0], np.cumsum(lengths))).astype(np.int64)
        return np.frombuffer(b"".join(pieces), np.uint8), ends


def _decisions(plan: Plan) -> tuple[str | None, ...]:
    if plan.problem.kind is TaskKind.MULTICLASS:
        return plan.problem.classes
    return (None,) if plan.problem.kind is TaskKind.REGRESSION else ("false", "true")


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _SECOND + text_bytes(text)


def _lengths(starts: Ints, ends: Ints) -> Ints:
    return np.where(starts >= 0, ends - starts, 0)


def _as_json(encoded: OutputBatch) -> OutputBatch:
    """The same predictions as JSON; made from the Avro, so that both say the same."""
    records = []
    for row in range(len(encoded)):
        start, end = encoded.values[row]
        prediction = decode_small("prediction", encoded.data[start:end].tobytes())
        if prediction["key"] is not None:
            prediction["key"] = prediction["key"].decode(errors="replace")
        key_start, key_end = encoded.keys[row]
        key = None if key_start < 0 else encoded.data[key_start:key_end].tobytes()
        records.append(EncodedRecord(key, orjson.dumps(prediction), None, int(encoded.timestamps_ms[row])))
    return output_batch(encoded.topic, encoded.partition, records)
