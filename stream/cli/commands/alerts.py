"""`stream alerts`: what operators see of alerts and do about them, through the control plane's API."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any

import typer

from stream.cli.commands.control import default_tokens_file
from stream.control.client import ControlClient
from stream.control.tokens import parse_tokens
from stream.errors import ConfigError

entry = typer.Typer()

URL = typer.Option("http://127.0.0.1:8600", envvar="STREAM_CONTROL_URL", help="Where the control plane answers.")
TOKEN = typer.Option(
    "",
    envvar="STREAM_CONTROL_TOKEN",
    show_envvar=True,
    help="Yours; from the tokens file on this machine if not given.",
)
AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")
ALERT = typer.Argument(help="The alert's id.")
_STYLES = {"critical": "bold red", "warning": "yellow", "open": "bold", "resolved": "dim"}


@entry.command("list")
def list_alerts(
    state: str = typer.Option("", help="open, acknowledged or resolved."),
    severity: str = typer.Option("", help="info, warning or critical."),
    model: str = typer.Option("", help="Alerts of this model only."),
    limit: int = typer.Option(100, help="At most this many, newest first."),
    after: str = typer.Option("", help="Begin behind the alert of this id: the next page."),
    url: str = URL,
    token: str = TOKEN,
    as_json: bool = AS_JSON,
) -> None:
    """List alerts, newest first.

    Example: stream alerts list --state open --severity critical
    """
    asked = {"state": state, "severity": severity, "model": model}
    with _client(url, token) as client:
        page = client.list({name: value for name, value in asked.items() if value}, limit, after or None)
    if as_json:
        print(json.dumps(page))
    elif sys.stdout.isatty():
        _print_table(page)
    else:
        for alert in page["alerts"]:
            print("\t".join(_row(alert)))


@entry.command()
def show(alert: str = ALERT, url: str = URL, token: str = TOKEN, as_json: bool = AS_JSON) -> None:
    """Show one alert with what was done about it.

    Example: stream alerts show fraud/payments/0/1200/error/ADWIN
    """
    with _client(url, token) as client:
        _print_one(client.show(alert), as_json)


@entry.command()
def ack(
    alert: str = ALERT,
    reason: str = typer.Option("", help="Why, or what you do about it."),
    url: str = URL,
    token: str = TOKEN,
    as_json: bool = AS_JSON,
) -> None:
    """Acknowledge an alert: someone looks at it.

    Example: stream alerts ack fraud/payments/0/1200/error/ADWIN --reason "looking at the new terminals"
    """
    with _client(url, token) as client:
        _print_one(client.acknowledge(alert, reason), as_json)


@entry.command()
def resolve(
    alert: str = ALERT,
    reason: str = typer.Option(..., help="What it was, or what was done."),
    url: str = URL,
    token: str = TOKEN,
    as_json: bool = AS_JSON,
) -> None:
    """Resolve an alert: it is over.

    Example: stream alerts resolve fraud/payments/0/1200/error/ADWIN --reason "holiday prices, as last year"
    """
    with _client(url, token) as client:
        _print_one(client.resolve(alert, reason), as_json)


def _client(url: str, token: str) -> ControlClient:
    return ControlClient(url, token or _token_on_this_machine(default_tokens_file()))


def _token_on_this_machine(path: Path) -> str:
    """The token of this user, or the only one there is; raises ConfigError where it is not clear."""
    if not path.exists():
        raise ConfigError(f"no token: set STREAM_CONTROL_TOKEN or --token (there is no {path} on this machine)")
    by_name = parse_tokens(path.read_text(), str(path)).by_name
    name = getpass.getuser()
    if name in by_name:
        return by_name[name]
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    raise ConfigError(f"{path} has no token for {name}: set STREAM_CONTROL_TOKEN or --token")


def _row(alert: dict[str, Any]) -> list[str]:
    return [alert["state"], alert["severity"], alert["processing_time"], alert["id"], alert["sentence"]]


def _print_table(page: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("state", "severity", "raised", "alert")
    for alert in page["alerts"]:
        state, severity, raised, alert_id, sentence = _row(alert)
        story = Text(sentence)
        story.append(f"\n{alert_id}", style="dim")
        table.add_row(Text(state, _STYLES.get(state, "")), Text(severity, _STYLES.get(severity, "")), raised, story)
    console = Console()
    console.print(table)
    shown, total = len(page["alerts"]), page["total"]
    console.print(f"{shown} of {total}" + (f"; more with --after {page['next']}" if page["next"] else ""), markup=False)


def _print_one(alert: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(alert))
        return
    print(alert["sentence"])
    for name, value in alert.items():
        if name not in ("sentence", "history", "parameters"):
            print(f"{name}: {'-' if value is None else value}")
    print("parameters: " + ", ".join(f"{name}={value:g}" for name, value in alert["parameters"].items()))
    for step in alert["history"]:
        why = f": {step['reason']}" if step["reason"] else ""
        print(f"{step['state']} by {step['by']} at {step['at']}{why}")
