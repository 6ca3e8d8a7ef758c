"""What is evaluated: the rows of a file as events, and the labels with the time at which each becomes known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream.app.suggest import one_of
from stream.cli.evaluation.recorded import Recorded, Recorder, milliseconds, places_by_time
from stream.cli.files.encoding import Misfit, RowEncoder
from stream.cli.files.misfits import MisfitReport
from stream.cli.files.opening import Row, RowFile, open_rows
from stream.cli.producing.keys import key_bytes
from stream.engine.plan import EventPlan, LabelPlan, Plan
from stream.errors import ConfigError
from stream.features.duration import duration_ms
from stream.records import Floats, Ints

# Where neither a field nor a column has the time: as if one event came each second.
_STEP_MS = 1000


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Where the labels of an app with a label topic come from."""

    file: Path | None = None  # of their own; None: the events' file
    column: str = ""  # the target's; the target field's name where empty
    time: str = ""  # column with the time at which each became known
    delay: str = ""  # or: so long after its event; at once where both are empty


@dataclass(frozen=True, slots=True)
class LabelStream:
    """Labels in the order in which they arrive."""

    records: Recorded
    places: Ints  # (m,): each arrives before the event of this number
    events: Ints  # (m,): the event each belongs to; -1 where there is none
    targets: Floats  # (m,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Events and labels of a file."""

    events: Recorded
    labels: LabelStream | None
    truths: Floats | None  # (n,): of an app without labels, where a column was named


def load_events(
    plan: Plan,
    file: RowFile,
    columns: Mapping[str, str],
    labels: LabelSource,
    report: MisfitReport,
    advance: Callable[[int], None],
) -> Loaded:
    """Encode the rows of a file as the app reads them.

    Args:
        plan: the app.
        file: the events'.
        columns: column by field, as for RowEncoder.
        labels: where the labels come from; unused where the events carry them.
        report: gets the rows that do not fit.
        advance: hears the number of rows done.

    Raises:
        ConfigError: a column that is needed is not there.
    """
    recorder = Recorder(plan.events.topic, plan.events.schema, plan.events.framing)
    encoder = RowEncoder(plan.events.schema, file, columns)
    beside = _BesideEvents(plan, file, columns, labels)
    time_ms = -_STEP_MS
    for row in file.rows():
        advance(row.number)
        fitted = encoder.encode(row)
        if isinstance(fitted, Misfit):
            report.add(fitted, encoder.as_json(row))
            continue
        time_ms = _event_time(plan.events, fitted.value, time_ms)
        key = key_bytes([_field(fitted.value, column.name) for column in plan.events.key])
        recorder.add(row.number, key, fitted.data, time_ms)
        beside.add(row, _field(fitted.value, plan.events.event_id.name) if plan.events.event_id else None, time_ms)
    events = recorder.recorded()
    if not len(events):
        raise ConfigError(f"{file.path} gave no event: {report.count:,} rows did not fit the schema of the app")
    return Loaded(events, beside.labels(events, report), beside.truths())


class _BesideEvents:
    """What is read of each row besides its event: the label, or the truth of an app that learns without labels."""

    def __init__(self, plan: Plan, file: RowFile, columns: Mapping[str, str], source: LabelSource) -> None:
        self._plan = plan
        self._source = source
        self._ids: dict[str, int] = {}
        self._count = 0
        self._truths: list[float] | None = None
        self._own: _LabelReader | None = None
        labels = plan.labels
        if labels is None and source.column and plan.events.target is None:
            one_of(source.column, file.columns, "--label", "column")
            self._truths = []
        elif labels is None and (source.column or source.file or source.time or source.delay):
            raise ConfigError(
                f"--label...: the events of {plan.app} carry their labels in {_target_of(plan)!r}; "
                "these options are for apps with a label topic (app.labels(...))"
            )
        elif labels is not None and source.file is None:
            assert plan.events.event_id is not None
            event_id = plan.events.event_id.name
            chosen = columns.get(event_id, event_id)
            self._own = _LabelReader(labels, file, chosen, source)

    def add(self, row: Row, event_id: Any, time_ms: int) -> None:
        """The row of the next event."""
        if self._truths is not None:
            self._truths.append(_number(row.values.get(self._source.column)))
        if event_id is not None:
            self._ids.setdefault(str(event_id), self._count)
        if self._own is not None:
            self._own.add(row, self._count, time_ms)
        self._count += 1

    def truths(self) -> Floats | None:
        """The truths (n,) of an app without labels."""
        return None if self._truths is None else np.array(self._truths)

    def labels(self, events: Recorded, report: MisfitReport) -> LabelStream | None:
        """All labels, in the order of their arrival."""
        if self._plan.labels is None:
            return None
        reader = self._own
        if reader is None:
            assert self._source.file is not None
            file = open_rows(self._source.file)
            reader = _LabelReader(self._plan.labels, file, self._plan.labels.event_id.name, self._source)
            for row in file.rows():
                reader.add_from_file(row, self._ids, events.times_ms)
        for misfit, record in reader.misfits:
            report.add(misfit, record)
        return reader.stream(np.maximum.accumulate(events.times_ms))


class _LabelReader:
    """Reads labels from rows.

    Args:
        plan: of the label topic.
        file: whose rows.
        id_column: that holds the event's id.
        source: which columns hold target and time.
    """

    def __init__(self, plan: LabelPlan, file: RowFile, id_column: str, source: LabelSource) -> None:
        target = source.column or plan.target.column.name
        if source.column:
            one_of(source.column, file.columns, "--label", "column")
        elif target not in file.columns:
            or_file = "" if source.file else ", or with --labels the file that has the labels"
            raise ConfigError(
                f"{file.path.name} has no column {target!r}, which is what {plan.topic} is about: say with --label "
                f"which column holds it{or_file}. There are {', '.join(file.columns)}"
            )
        one_of(id_column, file.columns, f"{file.path.name} (labels of {plan.topic})", "column")
        if source.time:
            one_of(source.time, file.columns, "--label-time", "column")
        self._plan = plan
        self._time = source.time
        self._delay_ms = duration_ms(source.delay, "--label-delay") if source.delay else 0
        others = {column.name for column in plan.schema.type.fields} if hasattr(plan.schema.type, "fields") else set()
        chosen = {name: name for name in others if name in file.columns}
        chosen |= {plan.event_id.name: id_column, plan.target.column.name: target}
        self._encoder = RowEncoder(plan.schema, file, chosen)
        self._recorder = Recorder(plan.topic, plan.schema, plan.framing)
        self._events: list[int] = []
        self._targets: list[float] = []
        self.misfits: list[tuple[Misfit, Any]] = []  # with its row, as JSON has it

    def add_from_file(self, row: Row, ids: Mapping[str, int], event_times_ms: Ints) -> None:
        """A row of a label file."""
        fitted = self._encoder.encode(row)
        if isinstance(fitted, Misfit):
            self._reject(fitted, row)
            return
        event = ids.get(str(_field(fitted.value, self._plan.event_id.name)), -1)
        self.add(row, event, int(event_times_ms[event]) if event >= 0 else 0)

    def add(self, row: Row, event: int, event_time_ms: int) -> None:
        """A row that holds the label of this event; one without a target has no label."""
        fitted = self._encoder.encode(row)
        if isinstance(fitted, Misfit):
            self._reject(fitted, row)
            return
        time_ms: int | None = event_time_ms + self._delay_ms
        if self._time:
            value = row.values.get(self._time)
            if value is None or value == "":
                return  # never became known
            time_ms = milliseconds(value, "timestamp-millis")
        if time_ms is None:
            self._reject(Misfit(row.number, self._time, "a time", repr(row.values.get(self._time))), row)
            return
        self._recorder.add(row.number, None, fitted.data, time_ms)
        self._events.append(event)
        self._targets.append(self._target(_field(fitted.value, self._plan.target.column.name)))

    def stream(self, clock_ms: Ints) -> LabelStream:
        """The labels by arrival."""
        records, events = self._recorder.recorded(), np.array(self._events, np.int64)
        places = places_by_time(clock_ms, records.times_ms, events)
        order = np.lexsort((np.arange(len(places)), records.times_ms, places))
        return LabelStream(
            records.ordered(order), places[order], events[order], np.array(self._targets, np.float64)[order]
        )

    def _reject(self, misfit: Misfit, row: Row) -> None:
        self.misfits.append((misfit, self._encoder.as_json(row)))

    def _target(self, value: Any) -> float:
        classes = self._plan.target.classes
        return float(classes.index(value)) if value in classes else _number(value)


def _event_time(events: EventPlan, value: Mapping[str, Any], before_ms: int) -> int:
    if events.time is None:
        return before_ms + _STEP_MS
    found = milliseconds(_field(value, events.time.name), events.time.logical or "")
    return max(before_ms, 0) if found is None else found


def _field(value: Mapping[str, Any], name: str) -> Any:
    found: Any = value
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return {"true": 1.0, "false": 0.0}.get(str(value).lower(), float("nan"))


def _target_of(plan: Plan) -> str:
    return plan.events.target.column.name if plan.events.target else "no field"
