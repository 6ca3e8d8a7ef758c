"""Pages for whoever runs an app: settings, the command line, topics and schemas, Prometheus metrics."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import orjson
import typer

from docs.generator.docstrings import markdown_of
from docs.generator.python_api import field_comments, member_comments
from stream.cli.main import COMMANDS, make_app
from stream.config import FIXED_BY_PROTOCOL, TopicNames
from stream.engine.metrics import CycleMetrics, DriftStatistic, LabelOutcome, Losses, Standing
from stream.kafka.input_margins import InputReport
from stream.kafka.topic_plan import topics_of_app
from stream.records import TopicPartition
from stream.runtime import settings as runtime_settings
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.settings import PASSED_THROUGH, PREFIX, Settings

_EXAMPLE = re.compile(r"^Example: (stream .*)$")
_KINDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
_SCHEMAS = Path(__file__).parents[2] / "schemas"


def settings_page() -> str:
    """Every setting of a worker with its environment variable and default, and what may not be passed through."""
    notes = field_comments(Settings)
    rows = [["setting", "environment", "default", "meaning"]]
    passed = [["table", "environment", "meaning"]]
    for field in fields(Settings):
        if not notes[field.name]:
            raise ValueError(f"setting {field.name} has no comment at the end of its line: say what it is")
        variable = f"`{PREFIX}{field.name.upper()}`"
        if field.name in PASSED_THROUGH:
            passed.append([f"`{field.name}`", f"`{PREFIX}{field.name.upper()}_*`", notes[field.name]])
        else:
            rows.append([f"`{field.name}`", variable, _value(field.default), notes[field.name]])
    fixed = [
        ["librdkafka setting", "why it is refused"],
        *([f"`{key}`", why] for key, why in FIXED_BY_PROTOCOL.items()),
    ]
    return "\n\n".join(
        (
            "# Settings",
            markdown_of(runtime_settings),
            f"The file is `{runtime_settings.FILE}` in the folder where a command starts, or the one that `--config` "
            f"or `{PREFIX}CONFIG` names. `stream check` shows each value and where it came from.",
            table(rows),
            "## Passed through",
            "Settings of the libraries underneath: in the file as tables, in the environment with `_` for `.`. "
            f"`{PREFIX}LIBRDKAFKA_SECURITY_PROTOCOL=SASL_SSL` is `security.protocol` of every client.",
            table(passed),
            "What the protocol of exactly-once learning fixes is refused there; the rules are those of "
            "[guarantees.md](../guarantees.md).",
            table(fixed),
        )
    )


def command_line_page() -> str:
    """What `--help` says of every command."""
    parts = [
        "# Command line",
        "Every command has `--help`. Errors are one message on stderr and exit status 1; wrong arguments exit with 2, "
        "a worker whose poll loop hung with 70, Ctrl-C with 130. "
        "`run`, `control` and `produce` finish what they have begun at Ctrl-C and exit as at any end: "
        "with 0 if nothing went wrong. A second Ctrl-C ends `run` at once.",
    ]
    for name in COMMANDS:
        group = typer.main.get_command(make_app(name))
        context = group.make_context("stream", [name, "--help"], resilient_parsing=True)
        parts += _command(group.get_command(context, name), f"stream {name}", 2)  # type: ignore[attr-defined]
    return "\n\n".join(parts)


def _command(command: Any, path: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}"
    inner = getattr(command, "commands", {})
    yield _unwrapped(command.help or COMMANDS.get(path.removeprefix("stream "), ""))
    parameters = [item for item in command.params if "--help" not in item.opts]
    if not inner:
        yield f"```console\n{' '.join([path, *(map(_usage, parameters))])}\n```"
    if parameters:
        yield table([["", "meaning", "default"], *map(_parameter, parameters)])
    for name, below in inner.items():
        yield from _command(below, f"{path} {name}", level + 1)


def _unwrapped(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.replace("\f", "").split("\n\n"))
    return "\n\n".join(_EXAMPLE.sub(r"Example: `\1`", paragraph) for paragraph in paragraphs)


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = _kind(parameter, parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
        return name if parameter.required else f"[{name.strip('[]')}]"
    option = parameter.opts[0] if getattr(parameter, "is_flag", False) else f"{parameter.opts[0]} {_kind(parameter)}"
    return option if parameter.required else f"[{option}]"


def _parameter(parameter: Any) -> list[str]:
    is_argument = parameter.param_type_name == "argument"
    names = (
        [parameter.metavar or parameter.name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    )
    text = getattr(parameter, "help", None) or ""
    if parameter.envvar:
        text += f" Environment: `{parameter.envvar}`."
    has_default = not parameter.required and parameter.default is not None and not callable(parameter.default)
    default = "required" if parameter.required else _value(parameter.default) if has_default else ""
    return [", ".join(f"`{name}`" for name in names), text.strip(), default]


def _kind(parameter: Any, word: str = "") -> str:
    """What stands for its value: the choices of an enum, otherwise its metavar or a word for its type."""
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(choice.value) for choice in annotation)
    return str(parameter.metavar or word or _KINDS.get(annotation, "VALUE"))


def topics_page() -> str:
    """The topics that an app owns, and the schema of what is in them."""
    names = TopicNames.of("APP")
    rows = [["topic", "settings it is created with"]]
    for spec in topics_of_app(names, 1):
        config = ", ".join(f"`{key}={value}`" for key, value in spec.config.items())
        rows.append([f"`{spec.name}`", config or "the broker's defaults"])
    between = topics_of_app(names, 1, repartition=("APP.repartition",))
    (hop,) = (spec for spec in between if spec.name == "APP.repartition")
    kept = ", ".join(f"`{key}={value}`" for key, value in hop.config.items())
    parts = [
        "# Topics and schemas",
        "An app reads one event topic and, if it declares one, a label topic. It owns these topics, each with as many "
        "partitions as the event topic. A prefix and other names are [settings](settings.md).",
        table(rows),
        "An app with [stages](../guarantees.md#stages) has more: `APP.STAGE.journal` and `APP.STAGE.snapshots` for "
        "each stage but the last, whose are those above, and between stages `APP.by-KEY.repartition` for each other "
        f"key and `APP.repartition`, with {kept}. All have as many partitions as the event topic. Their groups and "
        "transactional ids are `APP.STAGE` and `APP.STAGE-SLOT`; the last stage's are the app's. `stream topics create "
        "APP --plan --partitions N` lists topics and rights.",
        "## Schemas",
        (_SCHEMAS / "README.md").read_text().strip(),
    ]
    parts += [_schema(file) for file in sorted(_SCHEMAS.glob("*/v*.avsc"))]
    return "\n\n".join(parts)


def _schema(file: Path) -> str:
    schema = orjson.loads(file.read_bytes())
    rows = [["field", "type", "meaning"], *_fields(schema, "")]
    title = (
        f"### {file.parent.name}\n\n`schemas/{file.parent.name}/{file.name}`, `{schema['namespace']}.{schema['name']}`."
    )
    return f"{title} {schema.get('doc', '')}\n\n{table(rows)}"


def _fields(record: Mapping[str, Any], prefix: str) -> Iterator[list[str]]:
    for field in record["fields"]:
        name = f"{prefix}{field['name']}"
        yield [f"`{name}`", _type(field["type"]), field.get("doc", "")]
        inner = field["type"].get("items") if isinstance(field["type"], dict) else None
        if isinstance(inner, dict) and inner["type"] == "record":
            yield from _fields(inner, f"{name}[].")


def _type(of: Any) -> str:
    """A type as a person would say it."""
    if isinstance(of, str):
        return of
    if isinstance(of, list):
        return " or ".join(map(_type, of))
    match of["type"]:
        case "enum":
            return f"enum: {', '.join(of['symbols'])}"
        case "array":
            return f"array of {_type(of['items'])}"
        case "map":
            return f"map of {_type(of['values'])}"
        case "record":
            return str(of["name"])
    return f"{of['type']} ({of['logicalType']})" if "logicalType" in of else _type(of["type"])


def prometheus_page() -> str:
    """Every metric of a worker."""
    rows = [["metric", "type", "labels", "meaning"]]
    for metric in _sample_metrics().registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        rows.append(
            [f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in _labels(metric)), metric.documentation]
        )
    return "\n\n".join(
        (
            "# Prometheus metrics",
            "A worker serves `/metrics`, `/healthz` and `/readyz` on `metrics_host:metrics_port` "
            "([settings](settings.md)). The dashboard in `deploy/grafana` and the rules in `deploy/prometheus` use "
            "them.",
            table(rows),
            "## Stages",
            "Where an app has [stages](../guarantees.md#stages), each series has its stage as a further label: "
            '`stage="entry"`, one for each other key such as `stage="by-terminal"`, and `stage="last"`, which '
            'predicts. An app of one stage has no such label, so that `{stage=~"|last"}` is what predicts in any app. '
            "Events are counted by each stage; `stream_lag_records` is of what a stage reads: of a repartition topic "
            "the markers of transactions count. `stream_latency_seconds` of `entry` ends with the commit that sends an "
            "event on.",
            "## What became of a label",
            "The `outcome` of `stream_labels_total`, where labels come on a topic of their own. Only a label that "
            "meets its event, at once or after it was early, is learned from.",
            table([["outcome", "meaning"], *_outcomes()]),
        )
    )


def _outcomes() -> list[list[str]]:
    notes = member_comments(LabelOutcome)
    return [[f"`{outcome.value}`", notes[outcome.name]] for outcome in LabelOutcome]


def _sample_metrics() -> WorkerMetrics:
    """A worker's metrics with a series of each, so that all labels are there."""
    metrics = WorkerMetrics("app", ["champion"], ["error"])
    drift = (DriftStatistic("champion", "error", "ADWIN", 0.0),)
    metrics.record_cycle(0, CycleMetrics(0, 0, {}, {}, {}, 0, Losses()))
    metrics.record_standing(0, Standing({"champion": {"roc_auc": 0.5}}, drift, 0, 0))
    metrics.record_lag(0, 0)
    metrics.record_snapshot(0, 0)
    metrics.record_restore(0, 1.0, 0.0)
    metrics.record_failed(0, False)
    metrics.record_order(0, 0)
    metrics.record_inputs(InputReport((), {}, {TopicPartition("payments", 0): 0}), {0})
    metrics.record_standby(0, 0, 0)
    return metrics


def _labels(metric: Any) -> list[str]:
    found = {label: None for sample in metric.samples for label in sample.labels if label != "le"}
    return list(found)


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def _value(value: object) -> str:
    if value == "" or value is None:
        return ""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`"
