"""`stream check`: what is wrong with an app, before anything runs."""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from stream.cli.checks.costs import Costs
    from stream.cli.checks.findings import Findings
    from stream.runtime.loading import LoadedApp
    from stream.runtime.settings import LoadedSettings, Settings

_STYLES = {"ok": "green", "note": "cyan", "wrong": "bold red", "skipped": "dim"}
# How state grows: the fields of costs, and what they are called.
_COSTS = {"key_bytes": "bytes a key", "event_bytes": "bytes an event", "fixed_bytes": "bytes a partition"}
_RULE = re.compile(r"\brules? \d")
_SECRET = ("password", "secret", "userinfo", "user.info", "token", "key.pem")


def entry(
    target: str = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app"),
    offline: bool = typer.Option(False, "--offline", help="Only the declaration; no broker, no registry."),
    reproducible: bool = typer.Option(
        False, "--reproducible", help="Also run the whole engine several times over generated events, and compare bits."
    ),
    rate: float = typer.Option(
        0.0, "--rate", min=0.0, help="Events a second in one partition: what their labels' horizon takes, in bytes."
    ),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Check declaration, schemas, features, models, topics, broker and registry; show settings and state costs.

    All mistakes of the declaration are shown at once, then all of the cluster's; they come last. The exit status is 1
    if there are any. What is wrong with topics and brokers a worker refuses too, before it joins; notes are for you to
    judge.

    --reproducible makes up events and labels of the app's schemas, runs them through the whole engine four times
    (again, cut into other batches, saved and loaded half way), and compares state and outputs bit for bit (rule 28).
    Models of River are tried in any case.

    --rate says how many bytes all that waits for its label takes at that rate, in memory and in its topic, and whether
    the budgets hold it for the whole horizon (rule 36).

    Example: stream check fraud:app --offline --reproducible --rate 250
    """
    from stream.app import schema_names
    from stream.cli.checks.cluster import check_cluster, check_registry
    from stream.cli.checks.declaration import check_declaration, check_task
    from stream.cli.checks.findings import Findings
    from stream.cli.checks.label_costs import check_label_rate
    from stream.cli.checks.stages import note_hops_of_several
    from stream.errors import StreamError
    from stream.runtime.loading import LoadedApp, find_app, read_schema
    from stream.runtime.settings import Settings, load_settings, misspelt_variables
    from stream.runtime.worker import use_kernel_cache

    findings, plan, loaded, costs = Findings(), None, None, None
    try:
        loaded = load_settings(config)
        use_kernel_cache(loaded.values)
    except StreamError as error:
        findings.wrong("settings", str(config or "stream.toml"), str(error))
    for text in misspelt_variables():
        findings.wrong("settings", "environment", text)
    try:
        app, folder = find_app(target)
        plan = check_declaration(app, folder, findings)
    except StreamError as error:
        findings.wrong("declaration", target, str(error))
    if plan is not None:
        check_task(plan, loaded.values if loaded else Settings(), findings)
        schemas = {name: read_schema(name, folder) for name in schema_names(app)}
        whole = LoadedApp(app, plan, folder, schemas)
        costs = _costs(whole, loaded.values if loaded else Settings())
        if rate:
            check_label_rate(plan, rate, findings)
        if reproducible:
            from stream.cli.checks.reproducible import check_plan_reproducible

            check_plan_reproducible(plan, findings)
        if offline:
            note_hops_of_several(whole, loaded.values if loaded else Settings(), findings)
        elif loaded is not None:
            _check_settings(plan.app, loaded, findings)
            check_cluster(whole, loaded.values, target, findings)
            check_registry(plan, loaded.values, findings)
    elif not offline:
        findings.skipped("cluster", target, "looked at once the declaration compiles")
    if as_json:
        print(json.dumps(_as_object(target, findings, loaded, costs)))
    else:
        _print(findings, loaded, costs)
    raise typer.Exit(1 if findings.problems else 0)


def _costs(app: "LoadedApp", settings: "Settings") -> "Costs":
    """Of the app, and of its stages if it can have any."""
    from stream.cli.checks.costs import costs_of
    from stream.cli.checks.stages import stages_of_several
    from stream.errors import ConfigError

    try:
        stages = stages_of_several(app, settings)
    except ConfigError:  # a finding of its own
        stages = ()
    return costs_of(app.plan, stages if len(stages) > 1 else ())


def _check_settings(app: str, loaded: "LoadedSettings", findings: "Findings") -> None:
    from stream.errors import StreamError

    try:
        loaded.values.kafka(app)
    except StreamError as error:
        findings.wrong("settings", app, str(error))


def _as_object(
    target: str, findings: "Findings", loaded: "LoadedSettings | None", costs: "Costs | None"
) -> dict[str, Any]:
    return {
        "app": target,
        "problems": findings.problems,
        "findings": findings.as_json(),
        "settings": {name: {"value": value, "origin": origin} for name, value, origin in _settings(loaded)},
        "costs": asdict(costs) if costs else None,
    }


def _settings(loaded: "LoadedSettings | None") -> list[tuple[str, Any, str]]:
    if loaded is None:
        return []
    values = asdict(loaded.values)
    return [(name, _without_secrets(values[name]), loaded.origins[name]) for name in values]


def _without_secrets(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: "(hidden)" if any(word in key for word in _SECRET) else item for key, item in value.items()}


def _print(findings: "Findings", loaded: "LoadedSettings | None", costs: "Costs | None") -> None:
    from stream.cli.evaluation.report import plain_table

    found = [[each.status.value, each.area, each.subject, each.text] for each in findings.found]
    settings = [[name, str(value), origin] for name, value, origin in _settings(loaded)]
    if sys.stdout.isatty():
        _print_tables(found, settings, costs)
    else:
        if settings:
            print("\n".join([*("\t".join(row) for row in settings), ""]))
        if costs is not None:
            print("\n".join(plain_table(["state", *_COSTS.values()], _cost_rows(costs))))
            print("\n".join([*_budget_lines(costs), ""]))
        for row in found:
            print("\t".join(row))
    noun = "problem" if findings.problems == 1 else "problems"
    if any(_RULE.search(each.text) for each in findings.found):
        print("rules are those of docs/guarantees.md")
    print(f"{findings.problems} {noun}" if findings.problems else "nothing is wrong")


def _cost_rows(costs: "Costs | None") -> list[list[str]]:
    if costs is None:
        return []
    kept = [cost for cost in costs.features if any(cost[sort] for sort in _COSTS)]
    rows = [[cost["feature"], *(str(cost[sort]) for sort in _COSTS)] for cost in kept]
    return [*rows, ["all features", *(str(getattr(costs, sort)) for sort in _COSTS)]]


def _budget_lines(costs: "Costs") -> list[str]:
    lines = []
    if costs.keys_at_most is not None:
        lines.append(f"state_bytes has room for {costs.keys_at_most:,} keys a partition")
    if costs.window_events_at_most is not None:
        lines.append(f"and for {costs.window_events_at_most:,} events in windows")
    if costs.labels is not None:
        lines.append(
            f"an event that waits for its label takes {costs.labels.row_bytes} bytes, and 16 for each sparse feature; "
            f"{costs.labels.state_bytes:,} bytes may be used a partition: room for {costs.labels.rows_at_most:,}"
        )
        if costs.labels.spilled_bytes:
            lines.append(f"and for the ids of {costs.labels.ids_at_most:,} whose features wait in a topic")
        lines.append(f"that is a horizon of labels at {costs.labels.rate_at_most:,.3g} events/s a partition (--rate)")
    for stage in costs.stages:
        events = stage["window_events_at_most"]
        in_windows = "" if events is None else f" and {events:,} events in windows"
        room = f", and has room for {stage['keys_at_most']:,} keys{in_windows}" if stage["keys_at_most"] else ""
        lines.append(
            f"where there are several partitions, stage {stage['stage']} takes {stage['key_bytes']} bytes a key, "
            f"{stage['event_bytes']} an event and {stage['fixed_bytes']:,} a partition{room}"
        )
    return lines


def _print_tables(found: list[list[str]], settings: list[list[str]], costs: "Costs | None") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if settings:
        table = Table("setting", "value", "origin")
        for name, value, origin in settings:
            table.add_row(name, Text(value), Text(origin), style="dim" if origin == "default" else None)
        console.print(table)
    if costs is not None:
        table = Table("state", title="kept in memory")
        for name in _COSTS.values():
            table.add_column(name, justify="right")
        for row in _cost_rows(costs):
            table.add_row(*row)
        console.print(table)
        console.print("\n".join(_budget_lines(costs)), markup=False, highlight=False, soft_wrap=True)
    table = Table("", "area", "what", "")
    for status, area, subject, text in found:
        table.add_row(Text(status, _STYLES[status]), area, Text(subject), Text(text))
    console.print(table)
