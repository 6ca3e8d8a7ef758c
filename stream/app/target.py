"""From a target column to what models learn."""

from collections.abc import Mapping

from stream import models
from stream.app.declaration import App
from stream.app.suggest import one_of
from stream.engine.plan import TargetPlan
from stream.errors import ConfigError
from stream.models import TaskKind
from stream.records import Column, Kind


def target_plan(app: App, columns: Mapping[str, Column], name: str, what: str) -> TargetPlan:
    """Where the truth stands; raises ConfigError for a column that can be none."""
    column = columns[one_of(name, columns, what, "column")]
    if column.kind is Kind.ENUM:
        return TargetPlan(column, column.symbols)
    if column.kind is Kind.STRING:
        if len(app.classes) < 2:
            raise ConfigError(
                f"{what}: {name!r} is a text; say what it means: "
                'app.target("binary", classes=(NEGATIVE, POSITIVE)) or app.target("multiclass", classes=(...))'
            )
        return TargetPlan(column, app.classes)
    if column.kind in (Kind.BOOLEAN, Kind.LONG, Kind.DOUBLE):
        return TargetPlan(column, ())
    raise ConfigError(f"{what}: {name!r} is a column of kind {column.kind.value}; a number, text or enum is wanted")


def problem_of(app: App, target: TargetPlan | None) -> models.Task:
    """What the models are asked: as the app says, otherwise by the target's type."""
    if target is None:
        if app.problem not in (None, "anomaly"):
            raise ConfigError(f"target({app.problem!r}): there is no label to learn it from; declare app.labels(...)")
        return models.Task(TaskKind.ANOMALY)
    kind = TaskKind(app.problem) if app.problem else _kind_by_type(target)
    if kind is TaskKind.BINARY and target.classes and len(set(target.classes)) + len(target.classes) != 4:
        raise ConfigError(f"a binary target has two classes, and here are {', '.join(map(repr, target.classes))}")
    if kind is not TaskKind.MULTICLASS:
        return models.Task(kind)
    classes = target.classes or app.classes
    if not classes:
        raise ConfigError('target("multiclass") of a numeric target wants classes=(...), the names of 0, 1, 2, ...')
    return models.Task(kind, classes)


def _kind_by_type(target: TargetPlan) -> TaskKind:
    if target.column.kind is Kind.DOUBLE:
        return TaskKind.REGRESSION
    return TaskKind.MULTICLASS if len(target.classes) > 2 else TaskKind.BINARY
