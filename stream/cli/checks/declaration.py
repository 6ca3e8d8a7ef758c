"""The declaration: schemas, columns, features, models, detectors, each by itself, so that no mistake hides another."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np

from stream import avro, features, models
from stream.app import App, compile_app
from stream.app.declaration import Events, SchemaSource
from stream.app.suggest import one_of
from stream.avro import Schema, parse_schema
from stream.cli.checks.findings import Findings
from stream.engine.plan import Plan
from stream.errors import ConfigError, StreamError
from stream.models.river_adapter import RiverModel
from stream.records import FeatureBatch, FeatureLayout
from stream.runtime.loading import read_schema

_SAMPLE_ROWS = 200
_SAMPLE_SEED = 7


def check_declaration(app: App, folder: Path, findings: Findings) -> Plan | None:
    """Look at every part of an app; the plan if all of it compiles."""
    events, labels = app.event_stream, app.label_stream
    texts: dict[str, str] = {}
    event_schema = _schema(events.schema, folder, texts, findings) if events else None
    label_schema = _schema(labels.schema, folder, texts, findings) if labels else None
    if events and event_schema:
        _check_events(events, event_schema, findings)
    if labels and label_schema:
        names = [column.name for column in avro.columns_of(label_schema)]
        _check_names(names, f"labels {labels.topic}", (labels.id, labels.target), findings)
    if (events and event_schema is None) or (labels and label_schema is None):
        findings.skipped("models", app.name, "looked at once the schemas are there")
        return None
    try:
        plan = compile_app(app, texts)
    except StreamError as error:
        if not findings.has_said(str(error)):
            findings.wrong("declaration", app.name, str(error))
        _check_parts(app, texts, findings)
        return None
    findings.ok("declaration", app.name, f"{len(plan.features.features)} features, {len(plan.models)} models compile")
    _check_foreign_keys(plan, findings)
    _check_reproducible(plan, findings)
    return plan


def _schema(source: SchemaSource, folder: Path, texts: dict[str, str], findings: Findings) -> Schema | None:
    name = source if isinstance(source, str) else "(in the module)"
    try:
        if not isinstance(source, str):
            return parse_schema(source)
        texts[source] = read_schema(source, folder)
        return parse_schema(texts[source])
    except StreamError as error:
        findings.wrong("schema", name, str(error))
        return None


def _check_events(events: Events, schema: Schema, findings: Findings) -> None:
    columns = {column.name: column for column in avro.columns_of(schema)}
    named = [*events.key, *(name for name in (events.time, events.id, events.target) if name)]
    _check_names(list(columns), f"events {events.topic}", named, findings)
    # A wrong key is another finding: any column stands for it, so that keyed features are not wrong for want of one.
    key = tuple(name for name in events.key if name in columns) or (tuple(columns)[:1] if events.key else None)
    for name, expression in events.declared.items():
        compiled = partial(features.compile_features, {name: expression}, tuple(columns.values()), key)
        _attempt(compiled, "features", name, findings)


def _check_parts(app: App, texts: Mapping[str, str], findings: Findings) -> None:
    """Each model and each detector without the others."""
    for name, model in app.models.items():
        alone = copy(app)
        alone.models, alone.monitors, alone.decision = {name: model}, [], None
        _attempt(partial(compile_app, alone, texts), "models", name, findings)
    for monitor in app.monitors:
        alone = copy(app)
        alone.monitors, alone.decision = [monitor], None
        _attempt(partial(compile_app, alone, texts), "monitors", monitor.detector.name, findings)
    if app.decision is not None:
        _attempt(partial(one_of, app.decision.by, app.models, "decide", "model"), "models", app.decision.by, findings)


def _check_names(columns: list[str], where: str, names: tuple[str, ...] | list[str], findings: Findings) -> None:
    for name in names:
        _attempt(partial(one_of, name, columns, where, "column"), "schema", where, findings)


def _attempt(what: Callable[[], object], area: str, subject: str, findings: Findings) -> None:
    try:
        what()
    except ConfigError as error:
        # A column that two features misspell is two mistakes; a part that fails for another's is none of its own.
        if area == "features" or not findings.has_said(str(error)):
            findings.wrong(area, subject, str(error))


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
