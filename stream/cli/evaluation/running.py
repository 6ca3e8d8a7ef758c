"""The engine over recorded events and labels, as a worker would run it, without a broker."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from stream.cli.evaluation.loading import LabelStream, Loaded
from stream.cli.evaluation.recorded import Recorded
from stream.config import TopicNames
from stream.engine.dead_letters import reason_of
from stream.engine.effects import OutputBatch
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.row_archive import RowArchive
from stream.engine.task import Task
from stream.engine.warm_up import warm_up
from stream.headers import unpack
from stream.records import Floats, RecordBatch

_BATCH_RECORDS = 8192
_CYCLE_RECORDS = 65_536
_SHOWN_DEAD_LETTERS = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """What the engine did with a file."""

    scores: Floats  # (n, models * scores a model); NaN where an event was rejected
    targets: Floats  # (n,): of events that carry their label
    seconds: float  # in the engine alone
    compile_seconds: float
    alerts: tuple[Mapping[str, Any], ...]
    rejections: Mapping[str, int]  # dead letters by reason
    dead_letters: tuple[Mapping[str, str], ...]  # the headers of the first few
    labels: Mapping[str, int]  # labels by what became of them
    state_bytes: int


class OfflineRun:
    """One task over one file.

    Args:
        plan: the app.
        advance: hears the number of events done.
    """

    def __init__(self, plan: Plan, advance: Callable[[int], None]) -> None:
        names = TopicNames.of(plan.app)
        # Predictions are encoded as live; alerts as JSON, to be read here.
        output_format = OutputFormat(names, b"\0\0\0\0\1", None)
        began = time.perf_counter()
        with np.errstate(all="ignore"):
            warm_up(plan, output_format)
        self._compile_seconds = time.perf_counter() - began
        self._plan = plan
        self._names = names
        self._advance = advance
        self._task = Task(plan, 0, 1, output_format)
        self._rows = RowArchive()
        self._texts = {plan.events.topic: plan.events.schema.text}
        if plan.labels is not None:
            self._texts[plan.labels.topic] = plan.labels.schema.text
        self._seconds = 0.0
        self._in_cycle = 0
        self._alerts: list[Mapping[str, Any]] = []
        self._dead_letters: list[Mapping[str, str]] = []
        self._rejections: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._state_bytes = 0

    def run(self, loaded: Loaded) -> Ran:
        """Events and labels in the order of their times."""
        width = len(self._plan.models) * self._plan.problem.scores
        self._scores = np.full((len(loaded.events), width), np.nan)
        self._targets = np.full(len(loaded.events), np.nan)
        labels = loaded.labels
        cuts = [0, len(loaded.events)] if labels is None else _cuts(labels, len(loaded.events))
        for first, end in pairwise(cuts):
            if labels is not None:
                self._release(labels, first)
            self._events(loaded.events, first, end)
        if labels is not None:
            self._release(labels, len(loaded.events))
        self._close_cycle()
        return Ran(
            scores=self._scores,
            targets=self._targets,
            seconds=self._seconds,
            compile_seconds=self._compile_seconds,
            alerts=tuple(self._alerts),
            rejections=dict(self._rejections),
            dead_letters=tuple(self._dead_letters),
            labels=dict(self._labels),
            state_bytes=self._state_bytes,
        )

    def _events(self, events: Recorded, first: int, end: int) -> None:
        for start in range(first, end, _BATCH_RECORDS):
            self._feed(events.batch(start, min(start + _BATCH_RECORDS, end)))
            self._advance(min(start + _BATCH_RECORDS, end))

    def _release(self, labels: LabelStream, place: int) -> None:
        """The labels that arrive before the event of this number."""
        first, end = np.searchsorted(labels.places, [place, place + 1]).tolist()
        if end > first:
            self._feed(labels.records.batch(first, end))

    def _feed(self, batch: RecordBatch) -> None:
        now_ms = int(batch.timestamps_ms.max())
        with np.errstate(all="ignore"):
            while len(batch):
                began = time.perf_counter()
                outputs = self._task.process(batch, now_ms)
                self._seconds += time.perf_counter() - began
                self._note(batch, outputs.transactional)
                self._rows.keep(outputs.rows)
                batch = batch.part(outputs.taken, len(batch))
                if outputs.needs_schema is not None:
                    self._task.answer_schema(SchemaFetched(outputs.needs_schema, self._texts[batch.topic]))
                if outputs.needs_rows:
                    self._task.answer_rows(self._rows.fetch(0, outputs.needs_rows))
                self._in_cycle += outputs.taken
        if self._in_cycle >= _CYCLE_RECORDS:
            self._close_cycle()

    def _note(self, batch: RecordBatch, told: tuple[OutputBatch, ...]) -> None:
        observed = self._task.observed
        if batch.topic == self._plan.events.topic and observed is not None:
            self._scores[observed.offsets] = observed.scores
            self._targets[observed.offsets] = observed.targets
        for output in told:
            data = output.data.tobytes()
            if output.topic == self._names.alerts:
                self._alerts += [orjson.loads(data[start:end]) for start, end in output.values.tolist()]
            elif output.topic == self._names.dead_letters:
                self._note_dead_letters(data, output)

    def _note_dead_letters(self, data: bytes, output: OutputBatch) -> None:
        for start, end in output.headers.tolist():
            reason = reason_of(unpack(data[start:end]))
            self._rejections[reason["error"]] += 1
            if len(self._dead_letters) < _SHOWN_DEAD_LETTERS:
                self._dead_letters.append(reason)

    def _close_cycle(self) -> None:
        if self._task.has_open_cycle:
            self._task.close_cycle()
            self._labels.update({outcome.value: count for outcome, count in self._task.metrics.labels.items()})
            self._state_bytes = self._task.state.state_bytes
        self._in_cycle = 0


def _cuts(labels: LabelStream, count: int) -> list[int]:
    """The events before which labels arrive, with both ends."""
    return sorted({0, count, *np.unique(labels.places[labels.places < count]).tolist()})
