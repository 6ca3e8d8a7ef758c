"""The declaration: schemas, columns, features, models, detectors, each by itself, so that no mistake hides another."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from stream import avro, features, models
from stream.app import App, compile_app
from stream.app.compile import id_column, model_plan, signals_of, time_column
from stream.app.declaration import Events, SchemaSource
from stream.app.suggest import one_of
from stream.app.target import problem_of, target_plan
from stream.avro import parse_schema
from stream.cli.checks.findings import Findings
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.task import Task
from stream.errors import ConfigError, StreamError
from stream.models.river_adapter import RiverModel
from stream.records import Column, FeatureBatch, FeatureLayout, SparseGroup
from stream.runtime.loading import read_schema
from stream.runtime.settings import Settings

Columns = Mapping[str, Column]
Found = TypeVar("Found")

_SAMPLE_ROWS = 200
_SAMPLE_SEED = 7


def check_declaration(app: App, folder: Path, findings: Findings) -> Plan | None:
    """Look at every part of an app; the plan if all of it compiles."""
    events, labels = app.event_stream, app.label_stream
    texts: dict[str, str] = {}
    event_columns = _columns(events.schema, folder, texts, findings) if events else None
    label_columns = _columns(labels.schema, folder, texts, findings) if labels else None
    if (events and event_columns is None) or (labels and label_columns is None):
        findings.skipped("models", app.name, "looked at once the schemas are there")
        return None
    try:
        plan = compile_app(app, texts)
    except StreamError as error:
        if events and event_columns:
            _check_parts(app, events, event_columns, label_columns, findings)
        if not findings.has_said(str(error)):
            findings.wrong("declaration", app.name, str(error))
        return None
    findings.ok("declaration", app.name, f"{len(plan.features.features)} features, {len(plan.models)} models compile")
    _check_foreign_keys(plan, findings)
    _check_reproducible(plan, findings)
    return plan


def check_task(plan: Plan, settings: Settings, findings: Findings) -> None:
    """Build the engine of one partition, as a worker does: whatever it refuses is known before there is one."""
    header = None if settings.output_format == "json" else avro.header(avro.Framing.CONFLUENT, 0)
    format = OutputFormat(settings.topics(plan.app), header, header, settings.max_message_bytes)
    try:
        Task(plan, 0, 0, format)
    except StreamError as error:
        findings.wrong("declaration", plan.app, str(error))


def _columns(source: SchemaSource, folder: Path, texts: dict[str, str], findings: Findings) -> Columns | None:
    name = source if isinstance(source, str) else "(in the module)"
    try:
        if isinstance(source, str):
            texts[source] = read_schema(source, folder)
            schema = parse_schema(texts[source])
        else:
            schema = parse_schema(source)
    except StreamError as error:
        findings.wrong("schema", name, str(error))
        return None
    return {column.name: column for column in avro.columns_of(schema)}


def _check_parts(app: App, events: Events, columns: Columns, label_columns: Columns | None, findings: Findings) -> None:
    """Each part without the others: what is wrong with one is looked at as if the others were right."""
    named = [*events.key, *(name for name in (events.time, events.id, events.target) if name)]
    _check_names(columns, f"events {events.topic}", named, findings)
    if app.label_stream and label_columns:
        where = f"labels {app.label_stream.topic}"
        _check_names(label_columns, where, [app.label_stream.id, app.label_stream.target], findings)
    if events.time in columns:
        _attempt(partial(time_column, columns, events), "schema", f"events {events.topic}", findings)
    if events.id is not None and events.id in columns:
        _attempt(partial(id_column, columns, events.id, events.topic), "schema", f"events {events.topic}", findings)
    layout = _check_features(events, columns, findings)
    _check_models(app, columns, label_columns, layout, findings)
    for monitor in app.monitors:
        for signal in monitor.signals:
            _attempt(partial(signals_of, app, signal, layout.dense), "monitors", monitor.detector.name, findings)
    if app.decision is not None:
        _attempt(partial(one_of, app.decision.by, app.models, "decide", "model"), "models", app.decision.by, findings)


def _check_names(columns: Columns, where: str, names: list[str], findings: Findings) -> None:
    for name in names:
        _attempt(partial(one_of, name, columns, where, "column"), "schema", where, findings)


def _check_features(events: Events, columns: Columns, findings: Findings) -> FeatureLayout:
    """What models and monitors would see; a feature that is wrong counts as a number there."""
    # A wrong key is another finding: any column stands for it, so that keyed features are not wrong for want of one.
    key = tuple(name for name in events.key if name in columns) or (tuple(columns)[:1] if events.key else None)
    dense: list[str] = []
    sparse: list[SparseGroup] = []
    for name, expression in events.declared.items():
        compiled = _attempt(
            partial(features.compile_features, {name: expression}, tuple(columns.values()), key),
            "features",
            name,
            findings,
        )
        if compiled is None or compiled.layout.dense:
            dense.append(name)
        else:
            base = sparse[-1].base + sparse[-1].size if sparse else 0
            sparse += [replace(group, base=base) for group in compiled.layout.sparse]
    return FeatureLayout(tuple(dense), tuple(sparse))


def _check_models(
    app: App, columns: Columns, label_columns: Columns | None, layout: FeatureLayout, findings: Findings
) -> None:
    events, labels = app.event_stream, app.label_stream
    try:
        target = None
        if labels and label_columns:
            target = target_plan(app, label_columns, labels.target, f"target of {labels.topic}")
        elif events and events.target:
            target = target_plan(app, columns, events.target, f"label of {events.topic}")
        problem = problem_of(app, target)
    except ConfigError as error:
        if not findings.has_said(str(error)):
            findings.wrong("schema", f"events {events.topic}" if events else app.name, str(error))
        findings.skipped("models", app.name, "looked at once there is a target to learn")
        return
    scale_at = models.ScaleAt.ARRIVAL if labels else models.ScaleAt.LABEL
    for name, declared in app.models.items():
        _attempt(partial(model_plan, name, declared, layout, problem, scale_at), "models", name, findings)


def _attempt(what: Callable[[], Found], area: str, subject: str, findings: Findings) -> Found | None:
    try:
        return what()
    except ConfigError as error:
        # A column that two features misspell is two mistakes; a part that fails for another's is none of its own.
        if area == "features" or not findings.has_said(str(error)):
            findings.wrong(area, subject, str(error))
        return None


def _check_foreign_keys(plan: Plan, findings: Findings) -> None:
    for foreign in plan.features.foreign_keys:
        by = ", ".join(foreign.by)
        if foreign.is_local:
            findings.note(
                "features", foreign.feature, f"keyed by {by}, local: each partition keeps its own statistics of a key"
            )


def _check_reproducible(plan: Plan, findings: Findings) -> None:
    """Models of River are trained thrice on random rows: hidden random numbers show up before they cost a restore."""
    for model in plan.models:
        compiled = models.compile_model(model.declaration, plan.features.layout, plan.problem, plan.scale_at)
        if not isinstance(compiled, RiverModel):
            continue
        sample, targets = _sample(plan.features.layout, plan.problem)
        try:
            with np.errstate(all="ignore"):
                found = models.check_reproducible(
                    model.declaration, plan.features.layout, plan.problem, sample, targets, plan.scale_at
                )
        except StreamError as error:
            findings.wrong("models", model.name, str(error))
            continue
        if found.is_reproducible:
            findings.ok("models", model.name, f"River's; learns the same again over {found.rows} random rows")
        else:
            when = "after a save and a load" if found.first_difference is None else "when it is trained again"
            findings.wrong(
                "models",
                model.name,
                f"other scores {when}, from row {found.first_difference or found.first_difference_after_load} of "
                f"{found.rows} on: it draws random numbers of its own (give it a seed), or its state is not all saved",
            )


def _sample(layout: FeatureLayout, problem: models.Task) -> tuple[FeatureBatch, "np.ndarray"]:
    draw = np.random.default_rng(_SAMPLE_SEED)
    groups = len(layout.sparse)
    columns = [group.base + draw.integers(0, group.size, _SAMPLE_ROWS) for group in layout.sparse]
    indices = np.stack(columns, axis=1).reshape(-1) if groups else np.zeros(0, np.int64)
    batch = FeatureBatch(
        draw.normal(size=(_SAMPLE_ROWS, len(layout.dense))),
        np.arange(0, groups * _SAMPLE_ROWS + 1, groups or 1, dtype=np.int64)
        if groups
        else np.zeros(_SAMPLE_ROWS + 1, np.int64),
        indices.astype(np.int64),
        np.ones(len(indices)),
    )
    classes = max(problem.scores, 2)
    is_regression = problem.kind is models.TaskKind.REGRESSION
    targets = draw.normal(size=_SAMPLE_ROWS) if is_regression else draw.integers(0, classes, _SAMPLE_ROWS).astype(float)
    return batch, targets
